"""Takes files from a replica that stands on a lost history into one that stands on the bucket's.

Nothing is rebased: the two have no entry in common from which to go on. Each file is made anew
beside what is there, with the same content: its blocks are in staging or in the bucket already,
and what has no block yet is carried as a tail.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucidnode.fs.replica import intents
from lucidnode.fs.replica.conflict_name import conflict_names
from lucidnode.fs.replica.inode import ROOT, Attributes, Extent, InodeNo, Kind
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.ids import BlockId

_EXTENTS_AT_ONCE = 1024
"""Extents in one operation: far below what an entry can carry."""

_MAX_DEPTH = 4096


def carry(
    old: Replica, new: Replica, files: Iterable[InodeNo], device_name: str, time_ns: int
) -> list[str]:
    """Make *files* of *old* in *new*, as they are; return the paths they have there, for people.

    A file keeps its name where that is free, and is called a conflict copy of *device_name* at
    *time_ns* where it is not. One that *new* has already, with the same content, is left out, as is
    one that has no name any more. Missing directories are made.
    """
    unsealed = old.tails.packs()
    carried = []
    for ino in sorted(files):
        found = old.tree.attributes(ino)
        path = _path(old, ino)
        if found is None or not path:
            continue
        *above, name = path
        parent, depth = _directory(old, new, above, time_ns)
        if found.is_directory:
            _, made = _directory(old, new, path, time_ns)
            if made > depth:
                carried.append(_shown(path))
            continue
        if (there := new.tree.lookup(parent, name)) is not None:
            if _is_same(old, new, found, there):
                continue
            name = next(
                free
                for free in conflict_names(name, device_name, time_ns)
                if new.tree.lookup(parent, free) is None
            )
        _make(old, new, found, parent, name, time_ns, unsealed)
        carried.append(_shown([*above[:depth], name]))
    return carried


def _path(replica: Replica, ino: InodeNo) -> list[bytes]:
    """Return the names from the root to *ino*; empty for the root and for what has no name."""
    path: list[bytes] = []
    here = ino
    while here != ROOT:
        names = replica.tree.names_of(here)
        if not names or len(path) > _MAX_DEPTH:
            return []
        here, name = names[0]
        path.insert(0, name)
    return path


def _directory(old: Replica, new: Replica, path: list[bytes], time_ns: int) -> tuple[InodeNo, int]:
    """Return the directory at *path* in *new*, made if missing, and how much of *path* it is.

    Where something else has the name of a directory, it is the one above.
    """
    here, there = ROOT, ROOT
    for depth, name in enumerate(path):
        model = old.tree.lookup(there, name)
        found = new.tree.lookup(here, name)
        if model is None or (found is not None and not found.is_directory):
            return here, depth
        if found is None:
            found = _created(new, model, here, name, time_ns)
        here, there = found.ino, model.ino
    return here, len(path)


def _created(
    new: Replica, model: Attributes, parent: InodeNo, name: bytes, time_ns: int, target: bytes = b""
) -> Attributes:
    made = new.apply(
        intents.Create(
            parent=parent,
            name=name,
            ino=new.new_ino(),
            kind=model.kind,
            mode=model.mode,
            uid=model.uid,
            gid=model.gid,
            time_ns=time_ns,
            rdev=model.rdev,
            target=target,
        )
    )
    assert made is not None
    return made


def _is_same(old: Replica, new: Replica, ours: Attributes, theirs: Attributes) -> bool:
    if (ours.kind, ours.size) != (theirs.kind, theirs.size) or old.tree.tails_of(ours.ino):
        return False
    if ours.kind is Kind.SYMLINK:
        return old.tree.readlink(ours.ino) == new.tree.readlink(theirs.ino)
    return old.tree.extents(ours.ino, 0, ours.size) == new.tree.extents(theirs.ino, 0, theirs.size)


def _make(
    old: Replica,
    new: Replica,
    found: Attributes,
    parent: InodeNo,
    name: bytes,
    time_ns: int,
    unsealed: dict[BlockId, bytes],
) -> None:
    target = old.tree.readlink(found.ino) if found.kind is Kind.SYMLINK else b""
    ino = _created(new, found, parent, name, time_ns, target).ino
    if found.kind is Kind.FILE:
        extents = old.tree.extents(found.ino, 0, found.size)
        whole = [extent for extent in extents if extent.block.id not in unsealed]
        for start in range(0, len(whole), _EXTENTS_AT_ONCE):
            new.apply(_write(ino, whole[start : start + _EXTENTS_AT_ONCE], time_ns))
        if found.size:
            new.apply(intents.Truncate(ino, found.size, time_ns))
        for extent in extents:
            if extent.block.id in unsealed:
                data = unsealed[extent.block.id][extent.block_offset :][: extent.length]
                new.tails.put(ino, extent.offset, data, 0)
        for tail in old.tree.tails_of(found.ino):
            new.tails.put(ino, tail.offset, tail.data, 0)
    for attribute in old.tree.xattr_names(found.ino):
        value = old.tree.xattr(found.ino, attribute)
        new.apply(intents.SetXattr(ino, attribute, value, time_ns))
    new.apply(intents.SetAttributes(ino, time_ns, atime_ns=found.atime_ns, mtime_ns=found.mtime_ns))


def _write(ino: InodeNo, extents: list[Extent], time_ns: int) -> intents.Write:
    return intents.Write(
        ino,
        [intents.NewExtent(e.offset, e.length, e.block.id, e.block_offset) for e in extents],
        list({extent.block.id: extent.block for extent in extents}.values()),
        time_ns,
    )


def _shown(path: list[bytes]) -> str:
    return b"/".join(path).decode(errors="replace")
