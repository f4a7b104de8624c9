"""Makes the checkpoints that fall to this workstation, and checks those of others.

A checkpoint is due at every EVERY-th entry. The workstation whose entry that is makes it; every
other one works out the same as it passes that entry, and compares once it is there. So nobody asks
who is to do it, and a false one is noticed by all who were mounted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import msgspec

from lucidnode.fs.checkpoints.attested import words_on
from lucidnode.fs.checkpoints.checkpoint_client import CheckpointClient
from lucidnode.fs.checkpoints.pieces import digest_of, plaintext_of
from lucidnode.fs.checkpoints.state_parts import Plan, by_digest, is_base_due, plan
from lucidnode.fs.checkpoints.touched_rows import TouchedRows, keys_of
from lucidnode.fs.commit.commit_signals import set_within
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.errors import BadCheckpoint, BadEntry, FsError, KeyMissing
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.format.checkpoint import (
    CheckpointContents,
    CheckpointPart,
    CheckpointPiece,
    open_checkpoint,
    seal_checkpoint,
)
from lucidnode.fs.replica.changes import Head
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.sqlite.snapshot import Snapshot
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.attestation import manifest_hash
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed, NodeError
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.journal import NONCE_SIZE, EntryHeader, empty_link, entry_hash
from lucidnode.node.client.wire import CommitRequest

log = logging.getLogger(__name__)

EVERY = 1000
"""Entries from one checkpoint to the next: as many requests a newcomer makes at most for the rest."""

LOOKS_S = (10.0, 60.0, 600.0)
"""Seconds after which it is looked for a checkpoint that another makes; then no more."""

ATTESTED_WITHIN_S = 60
"""Seconds over which the devices are spread that attest a checkpoint, so that mostly one does."""

MOST_REMEMBERED = 5 * EVERY
"""Entries that are read again, from this node's own disk, to know what has changed since the last
checkpoint before the mount."""


class SeenJournal(Protocol):
    """Where entries are read again (DaemonJournal)."""

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return entry *seq* as this node saw it last, or None if it is not kept. Raises NodeError."""


class PieceStaging(Protocol):
    """What is asked of whoever stages blocks (Stager)."""

    async def stage(self, plaintext: bytes) -> BlockName:
        """Stage *plaintext* as a block. Raises NoSpace."""


@dataclass(frozen=True, slots=True)
class _Due:
    """A checkpoint to be made or checked: the state at *seq*, as long as *snapshot* is open."""

    seq: Seq
    link: bytes
    ours: bool
    plan: Plan
    snapshot: Snapshot


class CheckpointKeeper:
    """The checkpoints of one project, as one mount sees to them. Keep `run` running."""

    def __init__(
        self,
        replica: Replica,
        checkpoints: CheckpointClient,
        journal: SeenJournal,
        codec: EntryCodec,
        staging: PieceStaging,
        staged: Callable[[BlockId], None],
        alerts: Alerts,
        clock: Clock,
        *,
        every: int = EVERY,
    ) -> None:
        """Take the parts it works with; *staged* hears of each block that lies in staging."""
        self._replica = replica
        self._checkpoints = checkpoints
        self._journal = journal
        self._codec = codec
        self._staging = staging
        self._staged = staged
        self._alerts = alerts
        self._clock = clock
        self._every = every
        head = replica.pending.head()
        self._began = head
        self._touched = TouchedRows(head.seq)
        self._known = self._kept()
        self._compared_all = False
        self._due: _Due | None = None
        self._creating = False
        """While blocks are on their way, perhaps for hours: a snapshot may not wait so long."""
        self._wake = asyncio.Event()
        self.newest = Seq(0) if self._known is None else self._known[0]
        """The entry of the newest checkpoint that is known here to be true; 0 if none is."""

    def passed(self, seq: Seq, changeset: bytes | None, *, ours: bool) -> None:
        """Hear of entry *seq*, which the replica stands on now, in the same step; None: it is empty.

        With *ours*, this device made it.
        """
        if changeset:
            self._touched.note(keys_of(changeset))
        if seq % self._every:
            return
        self._touched.mark(seq)
        if self._due is not None or self._creating:
            log.info("the checkpoint at entry %d is passed over: another is at work", seq)
            return
        if self._known is not None and self._is_listed(self._known[1]):
            # Nobody else needs it any more, as after weeks away: its pieces go, or have gone. Also
            # of a list that only stands: a manifest is no entry that would take them back.
            self._known = None
        work = plan(self._known, self._touched, seq)
        if not ours and work.touched is None and not self._is_base_expected():
            if self._compared_all:
                return
            # To read everything tells only if the other does so as well; so it is tried once.
            self._compared_all = True
        try:
            snapshot = self._replica.snapshot()
        except FsError as error:
            log.warning("no checkpoint at entry %d: %s", seq, error)
            return
        if snapshot is not None:
            self._due = _Due(seq, snapshot.link, ours, work, snapshot)
            self._wake.set()

    def _is_base_expected(self) -> bool:
        return self._known is not None and is_base_due(self._known[1])

    async def run(self) -> None:
        """Make and check until cancelled."""
        try:
            await self._remember()
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._due is not None:
                    await self._work(self._due)
        finally:
            if self._due is not None:
                self._due.snapshot.close()
                self._due = None

    def _is_listed(self, parts: tuple[CheckpointPart, ...]) -> bool:
        is_listed = self._replica.collected.is_listed
        return any(is_listed(BlockId(piece.id)) for part in parts for piece in part.pieces)

    # -- one checkpoint ----------------------------------------------------------------------

    async def _work(self, due: _Due) -> None:
        part: CheckpointPart | None = None
        digests: list[bytes] = []
        needs: list[BlockId] = []
        try:
            if due.ours:
                part, needs = await self._made(due)
            else:
                digests = [digest_of(content) async for content in self._contents(due)]
        except FsError as error:
            log.warning("no checkpoint at entry %d: %s", due.seq, error)
            return
        finally:
            due.snapshot.close()
            self._due = None
        try:
            if part is not None:
                await self._create(due, part, needs)
            else:
                await self._look_for(due, digests)
        except NodeError as error:
            log.info("the checkpoint at entry %d: %s", due.seq, error)

    async def _contents(self, due: _Due) -> AsyncIterator[bytes]:
        contents = due.plan.contents(due.snapshot)
        while (content := await asyncio.to_thread(_next, contents)) is not None:
            yield content

    async def _made(self, due: _Due) -> tuple[CheckpointPart, list[BlockId]]:
        held = {} if self._known is None else by_digest(self._known[1])
        found: list[CheckpointPiece] = []
        needs: list[BlockId] = []
        async for content in self._contents(due):
            digest = digest_of(content)
            piece = held.get(digest)
            if piece is None:
                name = await self._staging.stage(plaintext_of(content))
                piece = CheckpointPiece(name.id, name.epoch, name.nonce, name.size, digest)
                needs.append(name.id)
                self._staged(name.id)
            found.append(piece)
        return CheckpointPart(due.plan.since, due.seq, tuple(found)), needs

    async def _create(self, due: _Due, part: CheckpointPart, needs: list[BlockId]) -> None:
        contents = CheckpointContents((*due.plan.before, part))
        try:
            unsigned = seal_checkpoint(
                self._codec.keys(),
                due.seq,
                due.link,
                self._codec.device,
                contents,
                self._codec.random_bytes(NONCE_SIZE),
            )
        except FsError as error:
            log.warning("no checkpoint at entry %d: %s", due.seq, error)
            return
        request = CommitRequest(unsigned, [bytes(block) for block in needs])
        self._creating = True
        try:
            project = self._codec.keys().project
            reply = await self._checkpoints.make(project, due.seq, request)
        finally:
            self._creating = False
        match reply.outcome:
            case "committed":
                self._keep(due.seq, contents.parts)
            case "lost":
                self._judge(due, reply.body, [piece.digest for piece in part.pieces])
            case _:
                log.info("the checkpoint at entry %d: %s", due.seq, reply.why or reply.outcome)

    async def _look_for(self, due: _Due, digests: list[bytes]) -> None:
        for pause_s in LOOKS_S:
            await set_within(self._wake, pause_s, self._clock)
            manifest = await self._checkpoints.manifest(self._codec.keys().project, due.seq)
            if manifest is not None:
                if self._judge(due, manifest, digests):
                    await self._attest(due.seq, manifest)
                return
            if self._wake.is_set():
                return

    async def _attest(self, seq: Seq, manifest: bytes) -> None:
        """Say that a checkpoint is true, unless another device has: newcomers prefer it then."""
        if self._codec.may_write_now(self._codec.device) is None:
            return
        wait_s = int(self._codec.device[:8], 16) % ATTESTED_WITHIN_S
        await set_within(self._wake, wait_s, self._clock)
        project = self._codec.keys().project
        listed = await self._checkpoints.attestations(project)
        if (await words_on(self._checkpoints, self._codec, seq, manifest, listed)).true is None:
            await self._checkpoints.attest(project, seq, manifest_hash(manifest))

    def _judge(self, due: _Due, manifest: bytes, digests: list[bytes]) -> bool:
        """Compare what another made of the state at an entry with the *digests* of ours.

        Tell whether it is true, and by another device.
        """
        try:
            header, contents = open_checkpoint(
                self._codec.keys(), manifest, due.seq, self._codec.may_write_now
            )
        except (KeyMissing, BadCheckpoint) as error:
            # Perhaps a damaged answer, and nobody's in any case: no newcomer takes it either.
            log.info("the checkpoint at entry %d: %s", due.seq, error)
            return False
        *before, last = contents.parts
        if header.link != due.link:
            self._tell(due.seq, header.device, "it names another entry than the journal has")
        elif last.since != due.plan.since or tuple(before) != due.plan.before:
            log.debug("the checkpoint at entry %d is made in another way than ours", due.seq)
        elif [piece.digest for piece in last.pieces] != digests:
            self._tell(due.seq, header.device, "it says other than the journal")
        else:
            self._keep(due.seq, contents.parts)
            return header.device != self._codec.device
        return False

    def _tell(self, seq: Seq, device: str, what: str) -> None:
        self._alerts.begin(
            f"checkpoint:{seq}",
            f"The checkpoint at journal entry {seq}, by device {device[:8]}, is false: {what}.",
            "Find out who uses that device; have workstations that joined since run "
            "`lucidnode repair`.",
        )

    # -- what is known -----------------------------------------------------------------------

    def _keep(self, seq: Seq, parts: tuple[CheckpointPart, ...]) -> None:
        self._known = (seq, parts)
        self.newest = seq
        self._touched.forget(seq)
        try:
            kept = msgspec.msgpack.encode(CheckpointContents(parts))
            self._replica.known_checkpoint.keep(seq, kept)
        except FsError as error:
            log.info("the checkpoint at entry %d cannot be kept in mind: %s", seq, error)

    def _kept(self) -> tuple[Seq, tuple[CheckpointPart, ...]] | None:
        kept = self._replica.known_checkpoint.get()
        if kept is None:
            return None
        return kept[0], msgspec.msgpack.decode(kept[1], type=CheckpointContents).parts

    async def _remember(self) -> None:
        """Learn what entries before this mount have touched since the checkpoint that is known.

        They are read from this node's own disk, newest first: each names the hash of the one before,
        and by which link whether that counted. Where one is missing, the next checkpoint of ours is
        a base.
        """
        if self._known is None or self._began.seq - self._known[0] > MOST_REMEMBERED:
            return
        since, at = self._known[0], self._began
        touched = set()
        try:
            while at.seq > since:
                entry = await self._journal.kept(self._codec.keys().project, at.seq)
                if entry is None or at.link not in (
                    entry_hash(entry),
                    empty_link(entry_hash(entry)),
                ):
                    return
                previous = EntryHeader.parse(entry).previous
                if at.link == entry_hash(entry):
                    touched |= keys_of(self._codec.open(entry, at.seq, previous).changeset)
                at = Head(Seq(at.seq - 1), previous)
        except (NodeError, BadEntry, KeyMissing, Malformed) as error:
            log.info("what changed since the last checkpoint is not known here: %s", error)
            return
        self._touched.remember(since, touched)


def _next(contents: Iterator[bytes]) -> bytes | None:
    return next(contents, None)
