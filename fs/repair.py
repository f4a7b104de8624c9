"""Gets a workstation off a history that the bucket has lost or never had.

First comes a look that changes nothing. Then there are two ways: the entries that the bucket has
lost and this node has kept are put back, the very same signed bytes, for everybody; or this
workstation starts again from the bucket, and keeps what others never got beside what is there.
Either can be broken off and done again at any point: the old replica counts until the new one is
whole, and then takes its place in one step.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lucidnode.fs.committer import Committer, JournalService
from lucidnode.fs.entries_ahead import EntriesAhead
from lucidnode.fs.entry_codec import EntryCodec
from lucidnode.fs.errors import BadEntry, FsError, KeyMissing, ReplicaError
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.carry import carry
from lucidnode.fs.replica.changes import Head, Touched
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.replica import Replica, changed_content
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.durable import sync_directory
from lucidnode.node.client.errors import Malformed, NodeError, Refused, Unavailable
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import EntryHeader, entry_hash, follows
from lucidnode.node.client.wire import CommitReply, CommitRequest, Slot

REPLICA_FILE = "replica.db"
LOST_FILE = "replica.lost.db"
"""The replica that was replaced last, whole: for people who miss something."""

_NEW_FILE = "replica.new.db"

_NOTHING = Seq(0)

_NOBODY = DeviceId("00" * 16)
"""Nothing is sealed here, so no device is needed."""


class Journal(JournalService, Protocol):
    """What the daemon does for a repair (DaemonClient)."""

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return entry *seq* as this node saw it last, or None if it is not kept."""

    async def put_back(self, project: ProjectId, seq: Seq) -> CommitReply:
        """Create the kept entry *seq* in the bucket, if nothing is there and it follows."""

    async def forget(self, project: ProjectId) -> None:
        """Drop what is to be committed and what is kept. Raises Refused while it is mounted."""


class Access(Protocol):
    """What one member may do in one project (ProjectAccess)."""

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
    in their places, and they lead from *common* to *head*.
    """

    head: Seq
    stands: bool
    common: Seq = _NOTHING
    lost: tuple[Seq, ...] = ()
    can_put_back: bool = False


async def examine(journal: Journal, project: ProjectId, head: Head) -> Findings:
    """Compare *head* and what led there with the bucket. Raises Unavailable."""
    if head.seq == 0:
        return Findings(head.seq, stands=True)
    there = await journal.proven(project, head.seq)
    if there is not None and follows(head.link, there.hash):
        return Findings(head.seq, stands=True)
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
        free = free and there is None
        seq, link = Seq(seq - 1), _previous(kept)
    return Findings(head.seq, False, seq, tuple(lost), can_put_back=free)


async def has_leftovers(journal: Journal, project: ProjectId, head: Head) -> bool:
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


async def put_back(journal: Journal, project: ProjectId, lost: Sequence[Seq]) -> None:
    """Create the entries *lost* anew in the bucket, lowest first.

    Raises Refused if somebody has gone on meanwhile, Unavailable if it cannot be told how it ended.
    """
    for seq in lost:
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
                    f"it is not known whether journal entry {seq} was put back: run it again"
                )


async def start_again(
    journal: Journal,
    access: Access,
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
        new = Replica.open(directory / _NEW_FILE, access.keys().replica, access.workstation)
        try:
            await _caught_up(journal, access, new, clock)
            files = old.unsent_files() | await _files_of(journal, access, lost)
            carried = carry(old, new, files, access.workstation, clock.wall_ns())
            await new.barrier()
        finally:
            new.close()
    finally:
        old.close()
    _swap(directory)
    # Last, since what is kept is needed for another try until here.
    await journal.forget(access.keys().project)
    return carried


async def _caught_up(journal: Journal, access: Access, replica: Replica, clock: Clock) -> None:
    """Apply every entry of the bucket to *replica*, judged as a mount judges them."""
    async with asyncio.TaskGroup() as tasks:
        ahead = EntriesAhead(journal.entry, clock, tasks)
        committer = Committer(
            replica,
            _Reading(journal, ahead),
            access.keys().project,
            _codec(access),
            _Bystander(access),
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


async def _files_of(journal: Journal, access: Access, lost: Sequence[Seq]) -> frozenset[InodeNo]:
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


def _codec(access: Access) -> EntryCodec:
    return EntryCodec(access.keys, _NOBODY, access.writer_key, os.urandom)


class _Reading:
    """The journal for a replica that only follows."""

    def __init__(self, journal: Journal, ahead: EntriesAhead[Slot]) -> None:
        self._ahead = ahead
        self.proven = journal.proven

    async def entry(self, project: ProjectId, seq: Seq) -> Slot | None:
        return await self._ahead.entry(project, seq)

    async def commit(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:  # noqa: ARG002
        raise AssertionError("a repair commits nothing")


class _Bystander:
    """Hooks of a committer when nobody looks at the tree."""

    def __init__(self, access: Access) -> None:
        self.refresh_roster = access.refresh

    def before_batch(self) -> None:
        """Nothing is written here."""

    def touched(self, touched: Touched) -> None:
        """Nobody has a file open."""
