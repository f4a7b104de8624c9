"""Entries of the journal read once more, and known by the links between them to be those that counted.

What a replica stands on is proven: its head's link names the newest entry, and says whether it
counted. Each entry names the one before it in the same way. So from the head back nothing has to
be judged again, and nothing can be slipped in.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.errors import FormatError
from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.fs.replica.tree.row_rules import checked_changes
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import EntryHeader, empty_link, entry_hash
from lucidnode.node.client.wire import Slot


class EntryGone(Exception):
    """What lay in a slot cannot be had any more, or not be read."""


class KeptJournal(Protocol):
    """Where entries are read (DaemonJournal). Everything raises NodeError."""

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return entry *seq* as this node saw it last, or None if it is not kept."""

    async def entry(self, project: ProjectId, seq: Seq) -> Slot | None:
        """Return what one look at slot *seq* shows, or None if there is nothing."""


class PastEntry(NamedTuple):
    """An entry that was committed. *previous* is its link to the one before.

    One that counted as empty has no *changes*.
    """

    device: DeviceId
    wall_ns: int
    previous: bytes
    changes: list[RowChange]


class EntryChain:
    """Reads past entries of one project."""

    def __init__(self, journal: KeptJournal, project: ProjectId, codec: EntryCodec) -> None:
        self._journal = journal
        self._project = project
        self._codec = codec

    async def entry(self, seq: Seq, link: bytes) -> PastEntry:
        """Return entry *seq*, which what comes after it names by *link*.

        Raises EntryGone, and a NodeError while the bucket cannot be asked.
        """
        raw = await self._journal.kept(self._project, seq)
        if raw is None or link not in _links(raw):
            slot = await self._journal.entry(self._project, seq)
            raw = None if slot is None else slot.body
        if raw is None or link not in _links(raw):
            raise EntryGone
        try:
            header = EntryHeader.parse(raw)
            if link != entry_hash(raw):
                return PastEntry(header.device, 0, header.previous, [])
            body = self._codec.open(raw, seq, header.previous)
            changes = checked_changes(body.changeset) if body.changeset else []
        except (Malformed, FormatError, ChangesetUnfit) as error:
            raise EntryGone from error
        return PastEntry(header.device, body.wall_ns, header.previous, changes)


def _links(raw: bytes) -> tuple[bytes, bytes]:
    hash_ = entry_hash(raw)
    return hash_, empty_link(hash_)
