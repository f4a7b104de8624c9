"""What was deleted, and as which state it comes back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from lucidnode.fs.errors import NoSuchPast, OlderNeeded
from lucidnode.fs.history.past import Past
from lucidnode.fs.history.past_log import EntryFacts, NameChange
from lucidnode.fs.history.past_places import Place, path_to
from lucidnode.fs.replica.inode import InodeNo, Kind
from lucidnode.node.client.ids import Seq

_PAUSE_S = 60
"""Seconds between two removals in one tree, by one workstation, that belong to one deletion."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What had a name that means nothing now, and who removed it.

    *size* is in bytes, None of what is no file. It was whole in entry *before*.
    """

    place: Place
    ino: InodeNo
    facts: EntryFacts
    is_directory: bool
    size: int | None
    before: Seq


def deleted_in(past: Past, directory: InodeNo) -> list[Deletion]:
    """Return what was deleted in *directory* since the past begins and is not there again, by name.

    Raises OlderNeeded if the past begins in the midst of such a deletion.
    """
    found: list[Deletion] = []
    for _, changes in groupby(past.log.in_directory(directory), lambda change: change.name):
        last = list(changes)[-1]
        if last.after is None and _is_deletion(past, last):
            found.append(_deletion(past, last))
    return found


def deletion_at(past: Past, place: Place) -> Deletion:
    """Return what was deleted last at *place*. Raises NoSuchPast."""
    changes = past.log.of_name(*place)
    if not changes and past.since and past.now.lookup(*place) is None:
        raise OlderNeeded(f"{path_to(past, place)} was not deleted since version {past.since}")
    if not changes or changes[-1].after is not None or not _is_deletion(past, changes[-1]):
        raise NoSuchPast(f"{path_to(past, place)} was not deleted")
    return _deletion(past, changes[-1])


def _is_deletion(past: Past, change: NameChange) -> bool:
    """Tell whether what lost its name by *change* lost it for good: else it was moved."""
    assert change.before is not None
    return not any(
        other.seq == change.seq and other.after == change.before
        for other in past.record.names_of(change.before)
    )


def _deletion(past: Past, change: NameChange) -> Deletion:
    assert change.before is not None
    size: int | None = None
    kind: int | None = None
    for each in past.record.of_inode(change.before):
        if each.seq <= change.seq and not each.is_gone:
            kind = each.kind if each.kind is not None else kind
            size = each.size if each.size is not None else size
    is_directory = kind == Kind.DIRECTORY
    begun = _begun(past, change) if is_directory else change.seq
    return Deletion(
        Place(change.parent, change.name),
        change.before,
        past.log.entry(change.seq),
        is_directory,
        size if kind == Kind.FILE else None,
        Seq(begun - 1),
    )


def _begun(past: Past, change: NameChange) -> Seq:
    """Return the first entry of the deletion of a whole tree that ended with *change*.

    What is in a directory goes before it, often in earlier entries. They are those in which the
    same workstation removed something in the tree, none more than a minute before the next. Raises
    OlderNeeded if there may be others before the past begins.
    """
    assert change.before is not None
    last = past.log.entry(change.seq)
    begun, at = change.seq, last.wall_ns
    for seq in sorted(_removals(past, change.before), reverse=True):
        facts = past.log.entry(seq)
        if seq > begun or facts.device != last.device:
            continue
        if at - facts.wall_ns > _PAUSE_S * 10**9:
            return begun
        begun, at = seq, facts.wall_ns
    # Whatever it removed before the past begins here is not known.
    if past.since and at - past.log.entry(Seq(past.since + 1)).wall_ns <= _PAUSE_S * 10**9:
        raise OlderNeeded(f"the history here begins at version {past.since}")
    return begun


def _removals(past: Past, directory: InodeNo) -> set[Seq]:
    """Return the entries that deleted something in *directory* or below it."""
    found: set[Seq] = set()
    seen, waiting = {directory}, [directory]
    while waiting:
        for change in past.log.in_directory(waiting.pop()):
            if change.before is None or change.after is not None:
                continue
            if _is_deletion(past, change):
                found.add(change.seq)
                if change.before not in seen:
                    seen.add(change.before)
                    waiting.append(change.before)
    return found
