"""Gets a workstation off a history that the bucket has lost or never had.

First comes a look that changes nothing. Then there are two ways: the entries that the bucket has
lost or spoiled and this node has kept are put back, the very same signed bytes, for everybody; or
this workstation starts again from the bucket, and keeps what others never got beside what is there.
Either can be broken off and done again at any point: the old replica counts until the new one is
whole, and then takes its place in one step.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lucidnode.fs.commit.carry import carry
from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entries_ahead import EntriesAhead
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.errors import BadEntry, FsError, KeyMissing, ReplicaError
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.changes import Head, Touched
from lucidnode.fs.replica.inode import MAX_FILE_SIZE, InodeNo
from lucidnode.fs.replica.named_blocks import changed_content, named_blocks
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.durable import sync_directory
from lucidnode.node.client.errors import Malformed, NodeError, Refused, Unavailable
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq, block_ids
from lucidnode.node.client.journal import EntryHeader, entry_hash, follows, is_sound
from lucidnode.node.client.wire import BlocksPutBack, CommitReply, CommitRequest, Slot

REPLICA_FILE = "replica.db"
LOST_FILE = "replica.lost.db"
"""The replica that was replaced last, whole: for people who miss something."""

_NEW_FILE = "replica.new.db"

_LOOKED_AT = 256
"""Entries before the head that are looked at for a sign that others judged one otherwise."""

_SEEN_AGAIN = 64
"""Entries that are read once more at the end of a new start."""

_BLOCKS_AT_ONCE = 64
"""Blocks that the daemon is asked for in one question."""

_NOTHING = Seq(0)

_NOBODY = DeviceId("00" * 16)
"""Nothing is sealed here, so no device is needed."""


class RepairJournal(JournalClient, Protocol):
    """What the daemon does for a repair (DaemonClient)."""

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return entry *seq* as this node saw it last, or None if it is not kept."""

    async def lost(self, project: ProjectId) -> list[Seq]:
        """Return the entries that the bucket has lost, as far as this node has found out."""

    async def put_back(self, project: ProjectId, seq: Seq) -> CommitReply:
        """Create the kept entry *seq* in the bucket, if nothing is there and it follows."""

    async def put_back_blocks(self, project: ProjectId, blocks: Sequence[BlockId]) -> BlocksPutBack:
        """Have *blocks* in the bucket, from wherever the office has them. Raises a NodeError."""

    async def forget(self, project: ProjectId) -> None:
        """Drop what is to be committed and what is kept. Raises Refused while it is mounted."""


class RepairAccess(Protocol):
    """What one member may do in one project (ProjectAccess)."""

    @property
    def device(self) -> DeviceId:
        """The id of this machine."""

    @property
    def workstation(self) -> str:
        """What people call this machine."""

    def keys(self) -> ProjectKeys:
        """Return the project's keys."""

    def writer_key(self, device: DeviceId) -> bytes | None:
        """Return the Ed25519 key of a device whose entries count, else None."""

    async def refresh(self) -> None:
        """Read the roster again."""


@dataclass(frozen=True, slots=True)
class Findings:
    """How the history of a workstation and the bucket's compare.

    *head* is where the workstation stands, and *stands* whether the bucket has that entry. If not,
    *common* is the newest entry known to be in both (0: none), and *lost* are the entries after
    it, as far as they are kept here. They can be put back if *can_put_back*: the bucket has nothing
    in their places, or what no device of the studio made, and they lead from *common* to *head*.
    *gap*: the bucket has *head*, but not all before it as they were seen here; *lost* are these, not
    always in a row. To put them back is what mends that: who starts again makes nothing of all that
    was built on them, and gets no further than *common* if something is *absent*, and not exchanged.
    """

    head: Seq
    stands: bool
    common: Seq = _NOTHING
    lost: tuple[Seq, ...] = ()
    can_put_back: bool = False
    gap: bool = False
    absent: bool = False


async def examine(journal: RepairJournal, access: RepairAccess, head: Head) -> Findings:
    """Compare *head* and what led there with the bucket. Raises Unavailable."""
    project = access.keys().project
    if head.seq == 0:
        return Findings(head.seq, stands=True)
    there = await journal.proven(project, head.seq)
    if there is not None and follows(head.link, there.hash):
        return await _gap(journal, access, head.seq)
    lost: list[Seq] = []
    free = True
    seq, link = head.seq, head.link
    while seq > 0:
        there = await journal.entry(project, seq)
        if there is not None and follows(link, there.hash):
            break
        kept = await journal.kept(project, seq)
        if kept is None or not follows(link, entry_hash(kept)):
            return Findings(head.seq, stands=False, lost=tuple(lost))
        lost.insert(0, seq)
        free = free and _is_nobodys(access, seq, there)
        seq, link = Seq(seq - 1), _previous(kept)
    return Findings(head.seq, False, seq, tuple(lost), can_put_back=free)


async def _gap(journal: RepairJournal, access: RepairAccess, head: Seq) -> Findings:
    """Return what is missing or spoiled before *head*, which stands.

    That is looked for among the newest entries; of older ones the daemon tells what it has found.
    """
    project = access.keys().project
    lost: list[Seq] = []
    are_kept, absent = True, False
    newest = range(head - 1, max(0, head - _LOOKED_AT), -1)
    older = {seq for seq in await journal.lost(project) if seq < newest.stop + 1}
    for number in [*newest, *sorted(older, reverse=True)]:
        seq = Seq(number)
        there = await journal.entry(project, seq)
        if not _is_nobodys(access, seq, there):
            continue
        kept = await journal.kept(project, seq)
        if there is None or (kept is not None and entry_hash(kept) != there.hash):
            lost.insert(0, seq)
            are_kept = are_kept and kept is not None
            absent = absent or there is None
    if not lost:
        return Findings(head, stands=True)
    common = Seq(lost[0] - 1)
    return Findings(
        head, False, common, tuple(lost), can_put_back=are_kept, gap=True, absent=absent
    )


def _is_nobodys(access: RepairAccess, seq: Seq, there: Slot | None) -> bool:
    """Tell whether nothing is *there*, or nothing that a device of the studio made as it is."""
    return there is None or there.body is None or not _is_by_a_writer(access, seq, there.body)


@dataclass(frozen=True, slots=True)
class OtherVerdicts:
    """What a new look at the journal made of it, where it differs from this workstation's.

    *unheard* are entries of this workstation that count as empty for whoever reads the journal now:
    what is in them nobody else has.
    """

    unheard: tuple[Seq, ...]


async def examine_verdicts(
    journal: RepairJournal,
    access: RepairAccess,
    directory: Path,
    head: Head,
    clock: Clock,
    *,
    is_alarmed: bool = False,
) -> OtherVerdicts | None:
    """Judge the journal up to *head*, which stands, anew if a sign says that it is worth it.

    Returns None if the verdicts are the same. The sign is an entry by a device of the studio that
    counts as empty here, or that follows *head* as judged otherwise: each entry says what its
    author made of the one before. Another is that the daemon *is_alarmed*: the bucket shows another
    entry than this workstation has read, one that was put back after it had counted as empty, and
    no chain tells what was made of it. *directory* is the project's. Raises a NodeError or FsError.
    """
    await access.refresh()
    if not is_alarmed and not await _is_contradicted(journal, access, head):
        return None
    _remove(directory / _NEW_FILE)
    new = Replica.open(directory / _NEW_FILE, access.keys().replica, access.workstation)
    judged = _Judged(access, new)
    try:
        await _caught_up(journal, access, new, clock, judged, last=head.seq)
        if new.pending.head() == head and not is_alarmed:
            return None
    finally:
        new.close()
        _remove(directory / _NEW_FILE)
    unheard: list[Seq] = []
    for seq, link in sorted(judged.links.items()):
        kept = await journal.kept(access.keys().project, seq)
        is_ours = kept is not None and EntryHeader.parse(kept).device == access.device
        if kept is not None and is_ours and link != entry_hash(kept):
            unheard.append(seq)
    return OtherVerdicts(tuple(unheard))


async def _is_contradicted(journal: RepairJournal, access: RepairAccess, head: Head) -> bool:
    project, seq, link = access.keys().project, Seq(head.seq + 1), head.link
    behind = await journal.entry(project, seq)
    if behind is not None and behind.body is not None and _previous_or(behind.body, link) != link:
        return _is_by_a_writer(access, seq, behind.body)
    for number in range(head.seq, max(0, head.seq - _LOOKED_AT), -1):
        slot = await journal.entry(project, Seq(number))
        if slot is None or slot.body is None:
            return False
        if link != slot.hash:
            return _is_by_a_writer(access, Seq(number), slot.body)
        link = _previous(slot.body)
    return False


def _is_by_a_writer(access: RepairAccess, seq: Seq, entry: bytes) -> bool:
    return is_sound(access.keys().project, seq, entry, access.writer_key)


async def has_leftovers(journal: RepairJournal, project: ProjectId, head: Head) -> bool:
    """Tell whether the daemon keeps entries of another history than *head*, which stands.

    A repair that was broken off at its very end leaves them. Raises Unavailable.
    """
    if head.seq > 0:
        kept = await journal.kept(project, head.seq)
        if kept is not None and not follows(head.link, entry_hash(kept)):
            return True
    after = Seq(head.seq + 1)
    if await journal.kept(project, after) is None:
        return False
    return await journal.proven(project, after) is None


@dataclass(frozen=True, slots=True)
class PutBack:
    """How many blocks were put back, and the files of those blocks that nobody has any more."""

    blocks: int
    bare: frozenset[InodeNo]


async def put_back(
    journal: RepairJournal, access: RepairAccess, replica: Replica, lost: Sequence[Seq]
) -> PutBack:
    """Create the entries *lost* anew in the bucket, lowest first, each after the blocks it names.

    *replica* is this workstation's, which tells the files that still need a block. An entry is put
    back also if a block of it is gone for good: that costs one file, and without the entry all that
    came after it would go. Raises Refused if somebody has gone on meanwhile, and Unavailable if it cannot be told how it
    ended, or while what lies in their places has not been seen there for long enough.
    """
    project = access.keys().project
    await _begin_proofs(journal, project, lost)
    blocks, missing, files = 0, set[BlockId](), set[InodeNo]()
    for seq in lost:
        named = await _blocks_of(journal, access, seq)
        for some in _groups(sorted(named)):
            answer = await journal.put_back_blocks(project, some)
            blocks += len(answer.put)
            for block in block_ids(answer.missing):
                missing.add(block)
                files |= named.get(block, set())
        reply = await journal.put_back(project, seq)
        match reply.outcome:
            case "committed":
                continue
            case "lost" | "unchained":
                raise Refused(
                    f"journal entry {seq} cannot be put back: others have gone on without it"
                )
            case "unknown":
                raise Unavailable(
                    f"it is not known whether journal entry {seq} was put back: {reply.why}",
                    "run it again",
                )
    return PutBack(blocks, frozenset(ino for ino in files if _needs(replica, ino, missing)))


async def _blocks_of(
    journal: RepairJournal, access: RepairAccess, seq: Seq
) -> dict[BlockId, set[InodeNo]]:
    """Return the blocks that entry *seq*, as kept here, names, with the files that lie in them."""
    kept = await journal.kept(access.keys().project, seq)
    if kept is not None:
        with contextlib.suppress(BadEntry, KeyMissing, Malformed):
            return named_blocks(_codec(access).open(kept, seq, _previous(kept)).changeset)
    return {}


def _groups(blocks: Sequence[BlockId]) -> Iterable[Sequence[BlockId]]:
    for at in range(0, len(blocks), _BLOCKS_AT_ONCE):
        yield blocks[at : at + _BLOCKS_AT_ONCE]


def _needs(replica: Replica, ino: InodeNo, missing: set[BlockId]) -> bool:
    """Tell whether the file still has a name, and lies in one of the blocks *missing*."""
    if not replica.tree.names_of(ino):
        return False
    return any(extent.block.id in missing for extent in replica.tree.extents(ino, 0, MAX_FILE_SIZE))


async def _begin_proofs(journal: RepairJournal, project: ProjectId, seqs: Sequence[Seq]) -> None:
    """Have the bucket asked for all of *seqs*: a proof may take a minute, and all can take the same."""
    for seq in seqs:
        with contextlib.suppress(Unavailable):
            await journal.proven(project, seq)


async def start_again(
    journal: RepairJournal,
    access: RepairAccess,
    directory: Path,
    old: Replica,
    lost: Sequence[Seq],
    clock: Clock,
) -> list[str]:
    """Put a replica made from the bucket in the place of *old*, and close that.

    Files whose content was never sent, or is in one of the entries *lost*, are carried over;
    returns their paths. *directory* is the project's. Raises a NodeError or FsError; the old one
    is whole then, and still the one that counts.
    """
    try:
        _remove(directory / _NEW_FILE)
        await _begin_proofs(journal, access.keys().project, lost)
        new = Replica.open(directory / _NEW_FILE, access.keys().replica, access.workstation)
        try:
            await _caught_up(journal, access, new, clock, _Bystander(access))
            files = old.pending.unsent_files() | await _files_of(journal, access, lost)
            head = new.pending.head().seq
            carried = carry(old, new, files, access.workstation, clock.wall_ns())
            await new.barrier()
        finally:
            new.close()
    finally:
        old.close()
    _swap(directory)
    # Last, since what is kept is needed for another try until here.
    project = access.keys().project
    await journal.forget(project)
    with contextlib.suppress(Unavailable):
        # The daemon takes note of what this workstation stands on now: others may still put back
        # what was just counted as empty.
        for number in range(max(1, head - _SEEN_AGAIN), head + 1):
            await journal.entry(project, Seq(number))
    return carried


async def _caught_up(
    journal: RepairJournal,
    access: RepairAccess,
    replica: Replica,
    clock: Clock,
    hooks: _Bystander,
    last: Seq | None = None,
) -> None:
    """Apply every entry of the bucket, up to *last*, to *replica*, judged as a mount does."""
    async with asyncio.TaskGroup() as tasks:
        ahead = EntriesAhead(journal.entry, clock, tasks)
        committer = Committer(
            replica,
            _Reading(journal, ahead, last),
            access.keys().project,
            _codec(access),
            hooks,
            Alerts(clock),
            clock,
        )
        failure: FsError | NodeError | None = None
        try:
            await committer.catch_up()
        except (FsError, NodeError) as error:
            failure = error  # as itself, not as a group of one
        ahead.stop()
    if failure is not None:
        raise failure


async def _files_of(
    journal: RepairJournal, access: RepairAccess, lost: Sequence[Seq]
) -> frozenset[InodeNo]:
    """Return the files that the entries *lost*, as kept here, gave a content."""
    found: frozenset[InodeNo] = frozenset()
    for seq in lost:
        kept = await journal.kept(access.keys().project, seq)
        if kept is not None:
            with contextlib.suppress(BadEntry, KeyMissing, Malformed):
                change = _codec(access).open(kept, seq, _previous(kept))
                found |= changed_content(change.changeset)
    return found


def _swap(directory: Path) -> None:
    """Put the new replica in the place of the old one, which stays beside it."""
    for name in (REPLICA_FILE, _NEW_FILE):
        log = directory / f"{name}-wal"
        if log.exists() and log.stat().st_size:
            raise ReplicaError(f"{directory / name} could not be closed: free some disk space")
        for suffix in ("-wal", "-shm"):
            (directory / f"{name}{suffix}").unlink(missing_ok=True)
    (directory / LOST_FILE).unlink(missing_ok=True)
    (directory / LOST_FILE).hardlink_to(directory / REPLICA_FILE)
    (directory / _NEW_FILE).replace(directory / REPLICA_FILE)
    sync_directory(directory)


def _remove(replica: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        replica.with_name(replica.name + suffix).unlink(missing_ok=True)


def _previous(entry: bytes) -> bytes:
    return EntryHeader.parse(entry).previous


def _previous_or(body: bytes, link: bytes) -> bytes:
    try:
        return _previous(body)
    except Malformed:
        return link


def _codec(access: RepairAccess) -> EntryCodec:
    return EntryCodec(access.keys, _NOBODY, access.writer_key, os.urandom)


class _Reading:
    """The journal for a replica that only follows."""

    def __init__(self, journal: RepairJournal, ahead: EntriesAhead[Slot], last: Seq | None) -> None:
        self._ahead = ahead
        self._last = last
        self.proven = journal.proven

    async def entry(self, project: ProjectId, seq: Seq) -> Slot | None:
        if self._last is not None and seq > self._last:
            return None
        return await self._ahead.entry(project, seq)

    async def commit(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:  # noqa: ARG002
        raise AssertionError("a repair commits nothing")


class _Bystander:
    """Hooks of a committer when nobody looks at the tree."""

    def __init__(self, access: RepairAccess) -> None:
        self.refresh_roster = access.refresh

    def before_batch(self) -> None:
        """Nothing is written here."""

    def touched(self, touched: Touched) -> None:
        """Nobody has a file open."""


class _Judged(_Bystander):
    """Takes note of the link to each entry, which says whether it was applied."""

    def __init__(self, access: RepairAccess, replica: Replica) -> None:
        super().__init__(access)
        self._replica = replica
        self.links: dict[Seq, bytes] = {}

    def touched(self, touched: Touched) -> None:  # noqa: ARG002
        head = self._replica.pending.head()
        self.links[head.seq] = head.link
