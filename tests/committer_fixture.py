"""Committers in one loop, on virtual time: real replicas and seals, a bucket that is a dictionary."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure can be repeated
from typing import Literal

from replica_fixture import Blocks, Node

from lucidnode.fs.checkpoints.keeper import CheckpointKeeper
from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.format import sodium
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.changes import Touched
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import (
    EntryHeader,
    entry_hash,
    follows,
    is_entry_of,
    signed,
    signing_message,
)
from lucidnode.node.client.wire import CommitReply, CommitRequest, Slot

PROJECT = ProjectId("ab" * 16)
KEYS = ProjectKeys.of(PROJECT, {1: b"K" * 32})

Fault = Literal["none", "unreachable", "unknown", "applied", "hang"]
"""What a commit meets. applied: it is done, but the answer is lost. hang: no answer at all."""


class VirtualClock:
    """Time that stands still until everybody waits for it, and then jumps to the next waiter.

    `until` and `pass_by` move it, never while one of *threads* says that it is at work.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._number = 0
        self.threads: list[Callable[[], bool]] = []

    def boot(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return int(self.now * 1e9) + 10**18

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self._number += 1
        heapq.heappush(self._sleepers, (self.now + seconds, self._number, event))
        await event.wait()

    async def until(self, done: Callable[[], bool], seconds: float = 600) -> None:
        """Let time pass until *done*, at most *seconds* of it."""
        end = self.now + seconds
        await self._rest()
        while not done():
            if self._sleepers:
                assert self._sleepers[0][0] <= end, f"not done after {seconds} virtual seconds"
                self._wake()
            await self._rest()

    async def pass_by(self, seconds: float) -> None:
        """Let *seconds* go by."""
        end = self.now + seconds
        await self._rest()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._wake()
            await self._rest()
        self.now = max(self.now, end)

    def _wake(self) -> None:
        due, _, event = heapq.heappop(self._sleepers)
        self.now = max(self.now, due)
        event.set()

    async def _rest(self) -> None:
        """Return when everybody waits for time or for a test, however slow the machine is.

        A moment alone is not enough: on a busy machine it is over before others have had their turns.
        """
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # asyncio's queue
        await asyncio.sleep(0.001)
        while ready or any(busy() for busy in self.threads):
            await asyncio.sleep(0 if ready else 0.001)


class Bucket:
    """The journal in the bucket: what exists, and what each node's next requests meet."""

    def __init__(self) -> None:
        self.entries: dict[int, bytes] = {}


class Daemon:
    """One node's daemon: signs and creates entries, and meets the faults that a test lined up."""

    def __init__(self, bucket: Bucket, seed: bytes, project: ProjectId = PROJECT) -> None:
        self.bucket = bucket
        self.project = project
        self.seed = seed
        self.public = sodium.signing_public(seed)
        self.device = DeviceId(seed[:16].hex())
        self.faults: list[Fault] = []
        self.reachable = True
        self.why = ""
        """While it is not empty, why the bucket takes no entry."""
        self.requests: list[tuple[int, CommitRequest]] = []
        self.reads = self.proofs = 0
        self.glances: dict[int, Callable[[Slot | None], Slot | None]] = {}
        self.before_answer: Callable[[], None] | None = None
        self.has_signed: set[bytes] = set()
        """Hashes of the entries that it has signed, for whatever process."""

    async def commit(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        assert project == self.project
        self.requests.append((seq, request))
        await asyncio.sleep(0)
        fault = self.faults.pop(0) if self.faults else "none"
        if fault == "unreachable" or not self.reachable:
            raise Unavailable("no route to the bucket")
        if self.why:
            return CommitReply("unknown", b"", self.why)
        if fault == "unknown":
            return CommitReply("unknown", b"")
        if fault == "hang":
            await asyncio.Event().wait()
        body = self.signed(request)
        if not self.is_chained(seq, body):
            return CommitReply("unchained", b"")
        self.has_signed.add(entry_hash(body))
        there = self.bucket.entries.setdefault(seq, body)
        if self.before_answer is not None:
            self.before_answer()
        if fault == "applied":
            return CommitReply("unknown", b"")
        return CommitReply(
            "committed" if there == body else "lost",
            there,
            signed_here=entry_hash(there) in self.has_signed,
        )

    def signed(self, request: CommitRequest) -> bytes:
        """Return the entry that *request* becomes."""
        return signed(request.unsigned, sodium.sign(self.seed, signing_message(request.unsigned)))

    async def entry(
        self, project: ProjectId, seq: Seq, max_bytes: int | None = None
    ) -> Slot | None:
        assert project == self.project
        self.reads += 1
        await asyncio.sleep(0)
        if not self.reachable:
            raise Unavailable("no route to the bucket")
        glance = self.glances.pop(seq, None)
        return self._slot(seq) if glance is None else glance(self._slot(seq))

    async def proven(self, project: ProjectId, seq: Seq) -> Slot | None:
        assert project == self.project
        self.proofs += 1
        await asyncio.sleep(0)
        if not self.reachable:
            raise Unavailable("no route to the bucket")
        return self._slot(seq)

    def is_next(self, seq: Seq, body: bytes) -> bool:
        """Tell whether the store would create *body* as entry *seq*."""
        return seq not in self.bucket.entries and self.is_chained(seq, body)

    def is_chained(self, seq: int, body: bytes) -> bool:
        """Tell whether *body* follows the entry before slot *seq*."""
        before = self.bucket.entries.get(seq - 1)
        link = EntryHeader.parse(body).previous
        return seq == 1 or (before is not None and follows(link, entry_hash(before)))

    def _slot(self, seq: int) -> Slot | None:
        body = self.bucket.entries.get(seq)
        if body is None:
            return None
        hash_ = entry_hash(body)
        shaped = body if is_entry_of(self.project, Seq(seq), body) else None
        return Slot(hash_, shaped, hash_ in self.has_signed)


class Desk:
    """A workstation: replica, committer and daemon. It is its committer's hooks as well."""

    def __init__(self, path: Path, name: str, bucket: Bucket, clock: VirtualClock) -> None:
        self.node = Node(path / f"{name}.db", name, Blocks())
        self.daemon = Daemon(bucket, name.encode().ljust(32, b"."))
        self.clock = clock
        self.keys = KEYS
        self.devices = {self.daemon.device: self.daemon.public}
        self.unread: dict[DeviceId, bytes] = {}
        self.seen: list[Touched] = []
        self.alerts = Alerts(clock)
        self.keeper: CheckpointKeeper | None = None
        clock.threads.append(self.is_syncing)
        self.committer = self._committer()

    def is_syncing(self) -> bool:
        """Tell whether the replica's barrier is in its thread."""
        return self.node.replica._barrier._turn.locked()

    def _committer(self) -> Committer:
        codec = EntryCodec(
            lambda: self.keys, self.daemon.device, self.writer_key, Random(self.node.name).randbytes
        )
        return Committer(
            self.node.replica, self.daemon, PROJECT, codec, self, self.alerts, self.clock
        )

    def writer_key(self, device: DeviceId, epoch: int) -> bytes | None:
        return self.devices.get(device)

    def crash(self) -> None:
        """Lose everything in memory, as after kill -9; the loops must be cancelled already."""
        self.node.crash()
        self.committer = self._committer()

    def before_batch(self) -> None:
        self.node.pack_tails()

    def touched(self, touched: Touched) -> None:
        self.seen.append(touched)

    def passed(self, seq: Seq, changeset: bytes | None, *, ours: bool) -> None:
        if self.keeper is not None:
            self.keeper.passed(seq, changeset, ours=ours)

    async def refresh_roster(self) -> None:
        self.devices.update(self.unread)

    def causes(self) -> str:
        """Return what its people are told now."""
        return "\n".join(alert.cause for alert in self.alerts.current())

    def caught_up(self) -> bool:
        return (
            not self.node.replica.pending.has_work()
            and self.node.replica.pending.head().seq == len(self.daemon.bucket.entries)
        )
