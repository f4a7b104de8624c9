"""What happened to one path: its versions, who made each and when, renames followed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lucidnode.fs.history.past import Past
from lucidnode.fs.history.past_log import InodeChange, NameChange
from lucidnode.fs.history.past_places import Path, Place, no_such_past, path_to, place_of
from lucidnode.fs.replica.inode import ROOT, InodeNo, Kind, Version, is_partial
from lucidnode.node.client.ids import DeviceId, Seq

What = Literal["created", "changed", "attributes", "replaced", "renamed", "linked", "deleted"]

_FIRST, _NEVER = Seq(0), Seq(2**53)

_NOBODY = DeviceId("")
"""Who made what was there when the past begins: that is not told."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that entry *seq* did, by the clock of the workstation that made it.

    *path* is where it happened, *before* the path that a renamed file had; *size* is in bytes, of
    files that are there after it.
    """

    seq: Seq
    wall_ns: int
    device: DeviceId
    what: What
    path: str
    before: str | None
    size: int | None


@dataclass(frozen=True, slots=True)
class _Stay:
    """A time in which a name meant one file: behind what came, until what took it away."""

    ino: InodeNo
    came: NameChange
    left: NameChange | None


def events_of(past: Past, path: Path) -> list[Event]:
    """Return what happened at *path* since the past begins, the oldest first.

    Of a directory it is what came and went in it. A file that was saved by writing another and renaming that over it is one file here: what its
    name meant before is its past. One that was moved to a free name brings its past along. Raises
    NoSuchPast.
    """
    return [event for event in _events(past, path) if event.seq > past.since]


def _events(past: Past, path: Path) -> list[Event]:
    """Return the same, and events of the entry that the past begins behind: for what was there then."""
    if not path:
        return _of_directory(past, ROOT)
    place = place_of(past, path)
    stays = _stays(past.record.of_name(*place))
    if not stays:
        raise no_such_past(past, path)
    found: list[Event] = []
    for stay in stays:
        found += _of_stay(past, place, stay)
    if stays[-1].came.before is None:
        found += _of_life_before(past, stays[-1])
    if _is_directory(past, stays[-1].ino):
        found += _of_directory(past, stays[-1].ino)
    return sorted(found, key=lambda event: event.seq)


def _stays(changes: list[NameChange]) -> list[_Stay]:
    """Return who had the name, one after the other, of its *changes* in order."""
    stays: list[_Stay] = []
    for number, change in enumerate(changes):
        if change.after is not None:
            left = changes[number + 1] if number + 1 < len(changes) else None
            stays.append(_Stay(change.after, change, left))
    return stays


def _of_stay(past: Past, place: Place, stay: _Stay) -> list[Event]:
    """Return what happened to the file of *stay* from when it came until it had left."""
    until = _NEVER if stay.left is None else stay.left.seq
    changes = past.record.of_inode(stay.ino)
    here = path_to(past, place)
    size = _size_at(changes, stay.came.seq)
    if stay.came.before is not None:
        found = [_event(past, stay.came.seq, "replaced", here, None, size)]
    elif _born(changes, stay.came.seq) < stay.came.seq:
        found = _moved(past, stay.ino, stay.came, size)
    else:
        found = [_event(past, stay.came.seq, "created", here, None, size)]
    found += _of_contents(past, stay.ino, Seq(stay.came.seq + 1), until, here)
    if stay.left is not None and stay.left.after is None and not _lives_on(past, stay):
        found.append(_event(past, stay.left.seq, "deleted", here, None, None))
    return found


def _of_life_before(past: Past, stay: _Stay) -> list[Event]:
    """Return what happened to the file of *stay* before it came, under other names."""
    born = _born(past.record.of_inode(stay.ino), stay.came.seq)
    if born == stay.came.seq:
        return []
    return _of_contents(past, stay.ino, born, stay.came.seq)


def _of_contents(
    past: Past, ino: InodeNo, since: Seq, until: Seq, place: str | None = None
) -> list[Event]:
    """Return what was done to the file *ino*, and its names, in [since, until): at the path *place*, if given."""
    changes = past.record.of_inode(ino)
    found: list[Event] = []
    for change in changes:
        is_whole = change.version is None or not is_partial(Version(change.version))
        if since <= change.seq < until and not change.is_gone and is_whole:
            here = place or path_to(past, _place_at(past, ino, change.seq))
            what: What = "created" if change.kind is not None else "changed"
            if change.version is None:
                what = "attributes"
            size = _size_at(changes, change.seq)
            found.append(_event(past, change.seq, what, here, None, size))
    for moved in past.record.names_of(ino):
        if since <= moved.seq < until and moved.after == ino and moved.seq > _born(changes, until):
            found += _moved(past, ino, moved, _size_at(changes, moved.seq))
    return found


def _born(changes: list[InodeChange], seq: Seq) -> Seq:
    """Return when the file was made that has the inode number at entry *seq*: numbers may come again."""
    return max((c.seq for c in changes if c.kind is not None and c.seq <= seq), default=_FIRST)


def _place_at(past: Past, ino: InodeNo, seq: Seq) -> Place:
    """Return a place where the file *ino* was at entry *seq*: of several, the first in their order."""
    names = past.record.names_of(ino)
    held: set[Place] = set()
    for change in names:
        if change.seq > seq and held:
            break
        place = Place(change.parent, change.name)
        if change.after == ino:
            held.add(place)
        elif len(held) > 1:
            held.discard(place)
    return min(held)


def _moved(past: Past, ino: InodeNo, moved: NameChange, size: int | None) -> list[Event]:
    """Return the event of the name that *ino* got by *moved*, unless it was born with it."""
    lost = _lost_names(past, ino, moved.seq)
    there = path_to(past, Place(moved.parent, moved.name))
    if lost:
        before = path_to(past, Place(lost[0].parent, lost[0].name))
        return [_event(past, moved.seq, "renamed", there, before, size)]
    return [_event(past, moved.seq, "linked", there, None, size)]


def _lives_on(past: Past, stay: _Stay) -> bool:
    """Tell whether the file got another name as it lost this one: it was renamed."""
    assert stay.left is not None
    return any(
        change.seq == stay.left.seq and change.after == stay.ino
        for change in past.record.names_of(stay.ino)
    )


def _of_directory(past: Past, directory: InodeNo) -> list[Event]:
    """Return what came and went in *directory*, by name."""
    found: list[Event] = []
    for change in past.log.in_directory(directory):
        here = path_to(past, Place(change.parent, change.name))
        if change.after is None:
            assert change.before is not None
            found += _gone(past, change.before, change, here)
            continue
        size = _size_at(past.record.of_inode(change.after), change.seq)
        if change.before is not None:
            found.append(_event(past, change.seq, "replaced", here, None, size))
        elif _lost_names(past, change.after, change.seq):
            found += _moved(past, change.after, change, size)
        else:
            found.append(_event(past, change.seq, "created", here, None, size))
    return sorted(found, key=lambda event: event.seq)


def _gone(past: Past, ino: InodeNo, change: NameChange, path: str) -> list[Event]:
    """Return what became of the file *ino*, which lost its name by *change*."""
    gained = [c for c in past.record.names_of(ino) if c.seq == change.seq and c.after == ino]
    if not gained:
        return [_event(past, change.seq, "deleted", path, None, None)]
    if gained[0].parent == change.parent:
        return []  # told where it is now
    return _moved(past, ino, gained[0], _size_at(past.record.of_inode(ino), change.seq))


def _lost_names(past: Past, ino: InodeNo, seq: Seq) -> list[NameChange]:
    """Return the names that the file *ino* lost in entry *seq*."""
    return [c for c in past.record.names_of(ino) if c.seq == seq and c.before == ino != c.after]


def _is_directory(past: Past, ino: InodeNo) -> bool:
    kinds = [change.kind for change in past.record.of_inode(ino) if change.kind is not None]
    return bool(kinds) and kinds[-1] == Kind.DIRECTORY


def _size_at(changes: list[InodeChange], seq: Seq) -> int | None:
    """Return the size of a file's whole content at entry *seq*; None of what is no file."""
    size: int | None = None
    kind: int | None = None
    for change in changes:
        if change.seq > seq:
            break
        kind = change.kind if change.kind is not None else kind
        if change.version is not None and not is_partial(Version(change.version)):
            size = change.size if change.size is not None else size
    return size if kind == Kind.FILE else None


def _event(
    past: Past, seq: Seq, what: What, path: str, before: str | None, size: int | None
) -> Event:
    if seq <= past.since:
        return Event(seq, 0, _NOBODY, what, path, before, size)
    facts = past.log.entry(seq)
    return Event(seq, facts.wall_ns, facts.device, what, path, before, size)
