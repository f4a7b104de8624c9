"""What a recording disk writes down, and what a power cut may leave of it. Pure: no disk here.

The rules are those that POSIX grants, the least that every file system keeps:

- What a file holds is on the disk after its fsync or fdatasync, its mode after its fsync.
- A name (made, renamed, linked or removed) is on the disk after the fsync of its directory; that of
  the file does not reach it. A rename is there whole or not at all, whichever directory is synced.
- Anything else may be there or not, each by itself and in any order: the second of two writes
  without the first, a name without the bytes of its file, and of one write any of its sectors.
- A sync that fails says so once. What it should have brought down is lost, and no later sync
  brings it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

ROOT = 1
SECTOR = 512
"""Bytes that a disk writes whole."""


class Make(msgspec.Struct, tag=True, frozen=True):
    """A new inode *ino* under a new name."""

    parent: int
    name: bytes
    ino: int
    mode: int


class Link(msgspec.Struct, tag=True, frozen=True):
    parent: int
    name: bytes
    ino: int


class Rename(msgspec.Struct, tag=True, frozen=True):
    parent: int
    name: bytes
    to_parent: int
    to_name: bytes
    ino: int


class Unlink(msgspec.Struct, tag=True, frozen=True):
    parent: int
    name: bytes


class Write(msgspec.Struct, tag=True, frozen=True):
    ino: int
    offset: int
    data: bytes


class Cut(msgspec.Struct, tag=True, frozen=True):
    """ftruncate."""

    ino: int
    size: int


class Mode(msgspec.Struct, tag=True, frozen=True):
    ino: int
    mode: int


class Sync(msgspec.Struct, tag=True, frozen=True):
    """fsync, or fdatasync, of a file or a directory; it ended well."""

    ino: int
    data_only: bool


class SyncFailed(msgspec.Struct, tag=True, frozen=True):
    """The same, ended in EIO."""

    ino: int


class Mark(msgspec.Struct, tag=True, frozen=True):
    """What a test said between two of the others."""

    text: str


Step = Make | Link | Rename | Unlink | Write | Cut | Mode | Sync | SyncFailed | Mark

Keep = Callable[[Step], Sequence[Step]]
"""Chooses what a power cut leaves of a step that no sync reached: nothing, all, or some of it."""


@dataclass(slots=True)
class Inode:
    mode: int
    data: bytearray = field(default_factory=bytearray)
    names: dict[bytes, int] = field(default_factory=dict)


@dataclass(slots=True)
class Tree:
    """A disk as it is found: inodes by number, ROOT is the highest directory."""

    inodes: dict[int, Inode]

    def write_to(self, target: Path) -> None:
        """Lay the tree down below the empty directory *target*, made if need be."""
        target.mkdir(parents=True, exist_ok=True)
        self._write(ROOT, target, {})

    def _write(self, ino: int, target: Path, done: dict[int, Path]) -> None:
        for name, child in self.inodes[ino].names.items():
            inode, path = self.inodes[child], target / os.fsdecode(name)
            if child in done:
                path.hardlink_to(done[child])
            elif stat.S_ISDIR(inode.mode):
                path.mkdir()
                self._write(child, path, done)
            else:
                path.write_bytes(inode.data)
                path.chmod(stat.S_IMODE(inode.mode))
                done[child] = path


class Disk:
    """What is certain after the steps so far: which of them a sync has reached."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._loose: set[int] = set()
        """Places of the steps that no sync has reached."""
        self._waiting: dict[int, list[int]] = {}
        """By inode, the places of the steps that its next sync brings down, if they are loose."""
        self._lost: set[int] = set()

    def take(self, step: Step) -> None:
        """Note one more *step*."""
        if type(step) is Write:  # most are: the chain below took most of the time
            self._loose.add(len(self.steps))
            self._waiting.setdefault(step.ino, []).append(len(self.steps))
            self.steps.append(step)
            return
        match step:
            case Sync(ino, data_only):
                self._loose.difference_update(self._synced(ino, data_only))
            case SyncFailed(ino):
                lost = self._loose.intersection(self._synced(ino, data_only=True))
                self._lost |= lost
                self._loose -= lost
            case Mark():
                pass
            case _:
                place = len(self.steps)
                self._loose.add(place)
                for ino in _brought_down_by(step):
                    self._waiting.setdefault(ino, []).append(place)
        self.steps.append(step)

    def _synced(self, ino: int, data_only: bool) -> list[int]:
        """Return the places of what a sync of *ino* brings down; they wait no more."""
        waiting = self._waiting.pop(ino, [])
        if data_only and (modes := [at for at in waiting if isinstance(self.steps[at], Mode)]):
            self._waiting[ino] = modes
            return [at for at in waiting if not isinstance(self.steps[at], Mode)]
        return waiting

    def marks(self) -> list[str]:
        """Return what was said so far."""
        return [step.text for step in self.steps if isinstance(step, Mark)]

    def copy(self) -> Disk:
        """Return the disk of this moment."""
        made = Disk()
        made.steps, made._loose, made._lost = self.steps[:], set(self._loose), set(self._lost)
        made._waiting = {ino: places[:] for ino, places in self._waiting.items()}
        return made

    def after_power_cut(self, keep: Keep) -> Tree:
        """Return the disk as it may be found if the power is cut now."""
        kept: list[Step] = []
        for at, step in enumerate(self.steps):
            if at in self._loose:
                kept += keep(step)
            elif at not in self._lost:
                kept.append(step)
        return replayed(kept)


def replayed(steps: Iterable[Step]) -> Tree:
    """Return what *steps* make of an empty disk. A step may build on one that is missing."""
    inodes: dict[int, Inode] = {ROOT: Inode(stat.S_IFDIR)}
    steps = list(steps)
    for step in steps:
        if type(step) is Write:
            continue
        if isinstance(step, Make):
            inodes[step.ino] = Inode(step.mode)
        elif isinstance(step, Link | Rename) and step.ino not in inodes:
            # The name under which it was made is lost; the file is not.
            inodes[step.ino] = Inode(stat.S_IFREG | 0o600)

    def inode(number: int) -> Inode:
        found = inodes.get(number)
        if found is None:
            # Of a file whose every name is lost nobody sees what is written here.
            found = inodes[number] = Inode(stat.S_IFREG | 0o600)
        return found

    for step in steps:
        if type(step) is Write:  # most are: it costs half of the time to find that out last
            found = inodes.get(step.ino)
            held = (inode(step.ino) if found is None else found).data
            offset, data = step.offset, step.data
            if offset > len(held):
                held.extend(bytes(offset - len(held)))
            held[offset : offset + len(data)] = data
            continue
        match step:
            case Make(parent, name, ino) | Link(parent, name, ino):
                inode(parent).names[name] = ino
            case Rename(parent, name, to_parent, to_name, ino):
                if inode(parent).names.get(name) == ino:
                    del inode(parent).names[name]
                inode(to_parent).names[to_name] = ino
            case Unlink(parent, name):
                inode(parent).names.pop(name, None)
            case Cut(ino, size):
                held = inode(ino).data
                del held[size:]
                held.extend(bytes(size - len(held)))
            case Mode(ino, mode):
                inode(ino).mode = mode
            case _:
                pass
    return Tree(inodes)


def sectors(step: Step) -> list[Step]:
    """Return *step* as the parts of which a power cut may leave some only."""
    if not isinstance(step, Write):
        return [step]
    edges = [
        step.offset,
        *range(-(-(step.offset + 1) // SECTOR) * SECTOR, step.offset + len(step.data), SECTOR),
    ]
    ends = [*edges[1:], step.offset + len(step.data)]
    return [
        Write(step.ino, start, step.data[start - step.offset : end - step.offset])
        for start, end in zip(edges, ends, strict=True)
    ]


def _brought_down_by(step: Step) -> tuple[int, ...]:
    """Return the inodes of which a sync brings *step* to the disk."""
    match step:
        case Write(ino=ino) | Cut(ino=ino) | Mode(ino=ino):
            return (ino,)
        case Make(parent=parent) | Link(parent=parent) | Unlink(parent=parent):
            return (parent,)
        case Rename(parent=parent, to_parent=to_parent):
            return (parent, to_parent)
        case _:
            return ()
