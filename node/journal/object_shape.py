"""What the bytes in a slot look like, whoever made them: what was asked for, ours elsewhere, or not.

A store, or what stands before it, that mixes its answers up shows entries in the places of others.
So an entry of another number, project or log says nothing of the slot that was asked for, unless
it is all that is seen there for long.
"""

from __future__ import annotations

from enum import Enum, auto

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.journal import EntryHeader, has_entry_size, split_signed
from lucidnode.node.client.roster_entry import RosterEntry, is_stand_in


class ObjectShape(Enum):
    """What some bytes look like for a slot."""

    ENTRY = auto()
    """An entry of this log and number."""
    ASTRAY = auto()
    """An entry of another number or another log."""
    DAMAGED = auto()
    """Nothing of ours, but of the size of an entry: it may have been one before it was damaged."""
    FOREIGN = auto()
    """Nothing of ours."""


def journal_shape(project: ProjectId, seq: Seq, body: bytes) -> ObjectShape:
    """Return what *body* looks like as journal entry *seq* of *project*."""
    place = _journal_place(body)
    if place == (project, seq):
        return ObjectShape.ENTRY
    if place is not None or is_stand_in(body) or _roster_seq(body) is not None:
        return ObjectShape.ASTRAY
    return ObjectShape.DAMAGED if has_entry_size(len(body)) else ObjectShape.FOREIGN


def roster_shape(seq: Seq, body: bytes) -> ObjectShape:
    """Return what *body* looks like as item *seq* of the roster. A stand-in fits everywhere.

    Entries of the roster have any size. What was damaged is looked at again by who keeps the log.
    """
    number = _roster_seq(body)
    if is_stand_in(body) or number == seq:
        return ObjectShape.ENTRY
    if number is not None or _journal_place(body) is not None:
        return ObjectShape.ASTRAY
    return ObjectShape.FOREIGN


def _journal_place(body: bytes) -> tuple[ProjectId, Seq] | None:
    try:
        header = EntryHeader.parse(split_signed(body)[0])
    except Malformed:
        return None
    return header.project, header.seq


def _roster_seq(body: bytes) -> int | None:
    try:
        return RosterEntry.parse(body).seq
    except Malformed:
        return None
