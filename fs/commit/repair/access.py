"""What a repair asks of the daemon and of the roster, and what it reads in entries."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Protocol

from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.node.client.errors import Malformed, Unavailable
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import EntryHeader, epoch_of, is_sound
from lucidnode.node.client.wire import CommitReply

LOOKED_AT_ENTRIES = 256
"""Entries before the head that are looked at for what is missing, or judged otherwise."""

_NOBODY = DeviceId("00" * 16)
"""Nothing is sealed here, so no device is needed."""


class RepairJournal(JournalClient, Protocol):
    """What the daemon does for a repair (DaemonJournal)."""

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return entry *seq* as this node saw it last, or None if it is not kept."""

    async def lost(self, project: ProjectId) -> list[Seq]:
        """Return the entries that the bucket has lost, as far as this node has found out."""

    async def put_back(self, project: ProjectId, seq: Seq) -> CommitReply:
        """Create the kept entry *seq* in the bucket, if nothing is there and it follows."""

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

    def writer_key(self, device: DeviceId, epoch: int) -> bytes | None:
        """Return the Ed25519 key of a device whose entries of *epoch* count, else None."""

    async def refresh(self) -> None:
        """Read the roster again."""


def reading_codec(access: RepairAccess) -> EntryCodec:
    """Return a codec that opens the entries of the project, and seals none."""
    return EntryCodec(access.keys, _NOBODY, access.writer_key, os.urandom)


def is_by_a_writer(access: RepairAccess, seq: Seq, entry: bytes) -> bool:
    """Tell whether *entry* is whole, and made as *seq* by a device that may write."""
    try:
        epoch = epoch_of(entry)
    except Malformed:
        return False
    return is_sound(
        access.keys().project, seq, entry, lambda device: access.writer_key(device, epoch)
    )


def previous(entry: bytes) -> bytes:
    """Return the link that *entry* follows. Raises Malformed."""
    return EntryHeader.parse(entry).previous


def previous_or(body: bytes, link: bytes) -> bytes:
    """Return the link that *body* follows, *link* if it is no entry."""
    try:
        return previous(body)
    except Malformed:
        return link


async def begin_proofs(journal: RepairJournal, project: ProjectId, seqs: Sequence[Seq]) -> None:
    """Have the bucket asked for all of *seqs*: a proof may take a minute, and all can take the same.

    Raises a NodeError other than Unavailable.
    """
    for seq in seqs:
        with contextlib.suppress(Unavailable):
            await journal.proven(project, seq)
