"""Brings a replica that stands on nothing the state of the newest checkpoint that holds what it says."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Protocol

import msgspec

from lucidnode.fs.checkpoints.attested import words_on
from lucidnode.fs.checkpoints.checkpoint_client import CheckpointClient
from lucidnode.fs.checkpoints.pieces import RowKey, TableRows, rows_in
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.errors import BadCheckpoint, BlockError, KeyMissing
from lucidnode.fs.format.block import open_block
from lucidnode.fs.format.checkpoint import (
    CheckpointContents,
    CheckpointPiece,
    open_checkpoint,
)
from lucidnode.fs.replica.changes import Head
from lucidnode.fs.replica.first_state import StateLoad
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Corrupt, Malformed, NodeError, NotThere, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.in_turn import in_turn
from lucidnode.node.client.journal import EntryHeader, epoch_of, follows
from lucidnode.node.client.roster import FIRST_EPOCH
from lucidnode.node.client.wire import Slot, Source

log = logging.getLogger(__name__)

MOST_TRIED = 3
"""Checkpoints that are tried, newest first, before the journal is read from its beginning."""

Progress = Callable[[int, int], None]
"""Hears how many bytes of rows have been loaded, of how many; of another checkpoint from the beginning."""

_ATTESTED, _ONE_WORD, _CONTRADICTED = range(3)
"""What is known of a checkpoint before it is loaded, the best first."""

ATTEMPTS = 3
"""Attempts where the bucket does not answer; after that the journal is followed, which waits for it."""

AGAIN_S = 3.0
"""Seconds between them."""

AT_ONCE = 8
"""Pieces that are fetched and held at once, 8 MiB at most."""

PATIENCE_S = 40.0
"""Seconds that one piece may take to come."""


class JournalSlots(Protocol):
    """Where entries are looked at (DaemonJournal). Everything raises NodeError."""

    async def entry(self, project: ProjectId, seq: Seq) -> Slot | None:
        """Return what one look at slot *seq* shows, or None if there is nothing."""

    async def proven(self, project: ProjectId, seq: Seq) -> Slot | None:
        """Return what is proven to lie in slot *seq*, or None if nothing is."""


class PieceSource(Protocol):
    """Where the blocks of pieces come from (DaemonBlocks)."""

    async def obtain(
        self, project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool = False
    ) -> tuple[Source, bytes | None]:
        """Return *block* as bytes. Raises a NodeError."""


class NewcomerClient(Protocol):
    """What the daemon does for a newcomer (DaemonClient)."""

    @property
    def checkpoints(self) -> CheckpointClient:
        """The checkpoints in the bucket."""

    @property
    def journal(self) -> JournalSlots:
        """The journal in the bucket."""

    @property
    def blocks(self) -> PieceSource:
        """The blocks of the pieces."""


class _Halfway(Exception):
    """A newcomer cannot go on from there as the others do, though nothing is false: it says why."""


class Newcomer:
    """Loads a checkpoint into *replica*, which has to be opened anew then."""

    def __init__(
        self,
        replica: Replica,
        daemon: NewcomerClient,
        codec: EntryCodec,
        alerts: Alerts,
        clock: Clock,
        progress: Progress = lambda _done, _total: None,
    ) -> None:
        self._replica = replica
        self._progress = progress
        self._checkpoints = daemon.checkpoints
        self._journal = daemon.journal
        self._blocks = daemon.blocks
        self._codec = codec
        self._project = codec.keys().project
        self._alerts = alerts
        self._clock = clock

    async def load(self, upto: Seq | None = None, *, halfway: bool = True) -> Seq | None:
        """Return the entry that the replica stands on now, or None if it stands where it did.

        It is that of the newest checkpoint, of those up to entry *upto* if that is given. Without
        *halfway*, none in which a content is not whole. Raises NoSpace, or a ReplicaError.
        """
        if not self._replica.first_state.is_wanted():
            return None
        for attempt in range(1, ATTEMPTS + 1):
            try:
                stands = await self._newest(upto, whole=True)
                if stands is None and halfway:
                    stands = await self._newest(upto, whole=False)
                return stands
            except (NodeError, KeyMissing) as error:
                log.warning("no checkpoint can be loaded now: %s", error)
                if attempt < ATTEMPTS:
                    await self._clock.sleep(AGAIN_S)
        return None

    async def _newest(self, upto: Seq | None, *, whole: bool) -> Seq | None:
        """Load the newest that holds; with *whole*, in which no content is halfway."""
        for seq, read in await self._candidates(upto):
            device = "unknown"
            try:
                manifest = read or await self._checkpoints.manifest(self._project, seq)
                if manifest is None:
                    continue
                header, contents = open_checkpoint(
                    self._codec.keys(), manifest, seq, self._codec.may_write_now
                )
                device = header.device
                head = await self._place(seq, header.link)
                await self._load(head, contents, whole=whole)
            except _Halfway as error:
                log.info("the checkpoint at entry %d %s", seq, error)
                continue
            except (BadCheckpoint, ChangesetUnfit, BlockError, NotThere, Corrupt) as error:
                self._tell(seq, device, error)
                continue
            log.info("loaded the checkpoint at entry %d", seq)
            return seq
        return None

    async def _candidates(self, upto: Seq | None) -> list[tuple[Seq, bytes | None]]:
        """Return the newest checkpoints in the order in which they are tried, with what was read of them.

        First those that a second device has attested, last those of which one has attested another:
        whoever makes a false one has to find somebody who says that it is true.
        """
        there = reversed(await self._checkpoints.seqs(self._project))
        seqs = [seq for seq in there if upto is None or seq <= upto][:MOST_TRIED]
        listed = await self._checkpoints.attestations(self._project) if seqs else []
        found: list[tuple[int, Seq, bytes | None]] = []
        for seq in seqs:
            if all(at != seq for at, _ in listed):
                found.append((_ONE_WORD, seq, None))
                continue
            manifest = await self._checkpoints.manifest(self._project, seq)
            if manifest is None:
                continue
            words = await words_on(self._checkpoints, self._codec, seq, manifest, listed)
            if words.other is not None:
                found.append((_CONTRADICTED, seq, manifest))
                self._alerts.begin(
                    f"attestation:{seq}",
                    f"The checkpoint at journal entry {seq} is not the one that device "
                    f"{words.other[:8]} has checked and found to be true.",
                    "Somebody has exchanged it, the bucket has damaged it, or that device says what "
                    "is false: find out who uses it, and who can write to the bucket.",
                    lasts_s=EVENT_S,
                )
            else:
                found.append((_ONE_WORD if words.true is None else _ATTESTED, seq, manifest))
        return [(seq, manifest) for _, seq, manifest in sorted(found, key=lambda each: each[0])]

    async def _place(self, seq: Seq, link: bytes) -> Head:
        """Return where a replica with the state at *seq* stands.

        Raises BadCheckpoint unless the journal has an entry of this *link* there, and goes on from it;
        _Halfway if that counted as empty, and so does not tell which epoch had begun.
        """
        for look in (self._journal.entry, self._journal.proven):
            slot = await look(self._project, seq)
            if slot is not None and follows(link, slot.hash):
                break
        else:
            raise BadCheckpoint("it names another entry than the journal has")
        behind = await self._journal.entry(self._project, Seq(seq + 1))
        if behind is not None and behind.body is not None:
            previous = _previous(behind.body)
            # Applied there and empty here, or the other way: all that follows would count as astray.
            if previous is not None and follows(previous, slot.hash) and previous != link:
                raise BadCheckpoint("it judges its entry other than those who went on from it")
        if max(self._codec.keys().announced) == FIRST_EPOCH:
            return Head(seq, link)
        if slot.body is None or link != slot.hash:
            raise _Halfway("stands on an entry that counted as empty")
        return Head(seq, link, epoch_of(slot.body))

    async def _load(self, head: Head, contents: CheckpointContents, *, whole: bool) -> None:
        async with self._replica.first_state.loading(head) as load:
            with _no_search_for_cycles():
                try:
                    async with asyncio.TaskGroup() as fetches:
                        await self._put_all(load, contents, fetches)
                except ExceptionGroup as failed:
                    raise failed.exceptions[0] from failed
            if whole and await load.has_parts():
                raise _Halfway("is in the midst of a content")
            await load.keep(head, msgspec.msgpack.encode(contents))

    async def _put_all(
        self, load: StateLoad, contents: CheckpointContents, fetches: asyncio.TaskGroup
    ) -> None:
        """Put the rows of each piece in its turn, while the next ones come."""
        wanted = iter([(part.since, piece) for part in contents.parts for piece in part.pieces])
        coming = deque(
            (since, piece, fetches.create_task(self._fetched(piece)))
            for since, piece in islice(wanted, AT_ONCE)
        )
        read = _Reading()
        total, done = sum(piece.size for part in contents.parts for piece in part.pieces), 0
        self._progress(done, total)
        while coming:
            since, piece, fetch = coming.popleft()
            plaintext = await fetch
            coming.extend(
                (later, other, fetches.create_task(self._fetched(other)))
                for later, other in islice(wanted, 1)
            )
            # What has arrived is taken from the daemon, and the next is asked for.
            await asyncio.sleep(0)
            await load.put(partial(read.rows, since, piece, plaintext))
            done += piece.size
            self._progress(done, total)

    async def _fetched(self, piece: CheckpointPiece) -> bytes:
        """Return what the block of *piece* holds. Raises a NodeError, BlockError or KeyMissing."""
        name = piece.block
        _, body = await in_turn(
            self._blocks.obtain, self._project, name.id, patience_s=PATIENCE_S, as_bytes=True
        )
        if body is None:
            raise Unavailable("the daemon sent no bytes")
        return open_block(self._codec.keys(), name, body)

    def _tell(self, seq: Seq, device: str, error: Exception) -> None:
        self._alerts.begin(
            f"checkpoint:{seq}",
            f"The checkpoint at journal entry {seq}, by device {device[:8]}, is not used here: "
            f"{error}.",
            "Nothing is missing: an older one is read, or the whole journal. Find out who uses "
            "that device.",
            lasts_s=EVENT_S,
        )


class _Reading:
    """Where a reader of pieces stands: the part, by the entry it begins behind, and its last row."""

    def __init__(self) -> None:
        self._part = -1
        self._last: RowKey | None = None

    def rows(self, since: int, piece: CheckpointPiece, plaintext: bytes) -> list[TableRows]:
        """Return the rows of the next *piece*, of the part behind entry *since*. Raises BadCheckpoint."""
        if since != self._part:
            self._part, self._last = since, None
        found, self._last = rows_in(plaintext, piece.digest, is_base=since == 0, after=self._last)
        return found


@contextlib.contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Within, Python does not look for unused objects that name each other: a fifth of the work.

    Rows by the million name nothing, and what is made here beside them is little.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _previous(entry: bytes) -> bytes | None:
    try:
        return EntryHeader.parse(entry).previous
    except Malformed:
        return None
