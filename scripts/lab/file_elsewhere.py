"""The journal that a file layer commits to, and another workstation that commits to it as well."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

from committer_fixture import Bucket, Daemon
from file_layer_fixture import KEYS, PROJECT
from replica_fixture import Blocks, Node

from lab.file_models import LINE, PROGRAMS, SLOT, SLOTS, offset
from lab.virtual_loop import LoopClock
from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.format.block import BlockName, seal
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import NewExtent, SetAttributes, Write
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.wire import CommitReply, CommitRequest

_LATE_S = 20.0
"""Seconds at most after which the store carries out what its sender has given up."""


class Door(Daemon):
    """One workstation's daemon, behind a network that cuts, loses answers, and holds requests."""

    def __init__(self, entries: Bucket, name: str, bucket: Path, chance: Random) -> None:
        super().__init__(entries, name.encode().ljust(32, b"."), PROJECT)
        self._bucket = bucket
        self._chance = chance
        self.happened: Counter[str] = Counter()

    async def commit(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        await asyncio.sleep(self._chance.random() * 0.2)
        while any(  # noqa: ASYNC110  # blocks arrive without a word
            not (self._bucket / need.hex()).exists() for need in request.needs
        ):
            await asyncio.sleep(0.5)
        fault = self._chance.choice(["none"] * 6 + ["unreachable", "unknown", "applied", "late"])
        self.happened[f"commit: {fault}"] += 1
        if fault == "late":
            # Its sender may have been killed by then, and have begun anew.
            later = self._chance.random() * _LATE_S
            asyncio.get_running_loop().call_later(later, self._apply, seq, self.signed(request))
            raise Unavailable("the connection was cut")
        self.faults = [fault]  # type: ignore[list-item]  # one of them
        return await super().commit(project, seq, request)

    def _apply(self, seq: Seq, body: bytes) -> None:
        if self.is_next(seq, body):
            self.bucket.entries[seq] = body


class SealedBlocks(Blocks):
    """Blocks as the file layer seals them, in the bucket at once."""

    def __init__(self, bucket: Path) -> None:
        super().__init__()
        self._bucket = bucket

    def seal(self, data: bytes) -> BlockName:
        name, ciphertext = seal(KEYS, data)
        (self._bucket / name.id.hex()).write_bytes(ciphertext)
        return name


class Elsewhere:
    """Another workstation: logs into the same log, and writes into the same file. It never dies."""

    def __init__(self, home: Path, door: Door, bucket: Path, seed: int) -> None:
        self._chance = Random(f"elsewhere {seed}")  # noqa: S311  # seeded
        self.door = door
        self.node = Node(home / "elsewhere.db", "studio-b", SealedBlocks(bucket), seed)
        self.lines: list[bytes] = []
        self.is_used = True
        self.devices: dict[DeviceId, bytes] = {}
        self.alerts = Alerts(LoopClock())

    async def run(self) -> None:
        """Commit, follow, and be used, until cancelled."""
        codec = EntryCodec(
            lambda: KEYS,
            self.door.device,
            lambda device, _: self.devices.get(device),
            self._chance.randbytes,
        )
        committer = Committer(
            self.node.replica, self.door, PROJECT, codec, self, self.alerts, LoopClock()
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(committer.run())
            group.create_task(self._use())

    async def _use(self) -> None:
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / 3))
            if not self.is_used:
                return  # nothing more is written while both come to rest
            match self._chance.randrange(8):
                case 0:
                    self._write()
                case 1:
                    self._change_mode()
                case _:
                    self.append()

    def append(self) -> None:
        """Log a line, where the log ends as far as it is known here."""
        log = self.node.replica.tree.lookup(ROOT, b"log")
        if log is not None:
            word = f"b {self._chance.getrandbits(64):016x} ".encode()
            line = word.ljust(LINE - 1, b".") + b"\n"
            block = self.node.blocks.seal(line)
            extent = NewExtent(log.size, LINE, block.id, 0)
            time = self.node.time()
            self.node.replica.apply(Write(log.ino, [extent], [block], time, appended=True))
            self.lines.append(line)

    def _write(self) -> None:
        shared = self.node.replica.tree.lookup(ROOT, b"shared")
        if shared is not None:
            at = offset(self._chance.randrange(SLOTS), PROGRAMS)
            data = self._chance.randbytes(self._chance.choice([1, 4000, SLOT]))
            self.node.write(shared.ino, data, at)

    def _change_mode(self) -> None:
        shared = self.node.replica.tree.lookup(ROOT, b"shared")
        if shared is not None:
            mode = self._chance.choice([0o600, 0o644])
            self.node.replica.apply(SetAttributes(shared.ino, self.node.time(), mode=mode))

    # -- hooks of its committer --------------------------------------------------------------

    def before_batch(self) -> None:
        """Nothing waits as tails here."""

    def touched(self, touched: Touched) -> None:
        """Nothing is open here."""

    def passed(self, seq: Seq, changeset: bytes | None, *, ours: bool) -> None:
        """No checkpoint is made here."""

    async def refresh_roster(self) -> None:
        """Everybody is known from the beginning."""
