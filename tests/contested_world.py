"""A small tree that two people change at once, and what must be true whoever was first.

Each operation takes a `Person`: a node, and the directory below which the tree lies. What it put,
removed, overwrote and claimed is not declared but seen, by comparing the tree before and after.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from replica_fixture import Node

from lucidnode.fs.errors import FileError, IsDirectory
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.conflict_name import is_conflict_name
from lucidnode.fs.replica.inode import ROOT, InodeNo, Kind
from lucidnode.fs.replica.intents import (
    RENAME_EXCHANGE,
    Forget,
    Link,
    MovedExtent,
    NewExtent,
    Punch,
    Rekey,
    Rename,
    Rmdir,
    SetAttributes,
    Write,
)

BASE = {
    b"f": b"f at first",
    b"g": b"g at first",
    b"d/x": b"x at first",
    b"d/s/y": b"y at first",
    b"p/z": b"z at first",
    b"one": b"linked twice",
}


def plant(node: Node, name: bytes) -> InodeNo:
    """Make the tree in a new directory *name* of the root; return that directory."""
    world = node.mkdir(name)
    directories = {b"": world}
    for path in (b"d", b"d/s", b"p", b"e"):
        above, _, last = path.rpartition(b"/")
        directories[path] = node.mkdir(last, directories[above])
    for path, content in BASE.items():
        above, _, last = path.rpartition(b"/")
        node.write(node.create(last, directories[above]), content)
    one = node.found(b"one", world).ino
    node.replica.apply(Link(one, world, b"two", node.time()))
    return world


class NotSeen(Exception):
    """A name that a person wants to use is not there."""


@dataclass
class Person:
    """Somebody who works in the tree through *node*. *saves_late*: his bytes wait as tails."""

    node: Node
    world: InodeNo
    saves_late: bool = False
    holds_open: bool = False
    opened: list[InodeNo] = field(default_factory=list)
    told: list[Touched] = field(default_factory=list)

    def at(self, path: bytes) -> tuple[InodeNo, bytes]:
        above, _, name = path.rpartition(b"/")
        here = self.world
        for part in above.split(b"/") if above else []:
            here = self._found(part, here)
        return here, name

    def ino(self, path: bytes) -> InodeNo:
        parent, name = self.at(path)
        return self._found(name, parent)

    def _found(self, name: bytes, parent: InodeNo) -> InodeNo:
        found = self.node.replica.tree.lookup(parent, name)
        if found is None:
            raise NotSeen(name)
        return found.ino

    def put(self, ino: InodeNo, data: bytes, offset: int = 0) -> None:
        found = self.node.replica.tree.attributes(ino)
        if found is None or found.kind is not Kind.FILE:
            raise IsDirectory("not a file")
        if self.saves_late:
            self.node.replica.tails.put(ino, offset, data, self.node.time())
        else:
            self.node.write(ino, data, offset)

    def content(self, what: str) -> bytes:
        return f"{what} by {self.node.name}".encode()

    # -- what people do ----------------------------------------------------------------------

    def create(self, path: bytes, what: str = "new") -> None:
        parent, name = self.at(path)
        self.put(self.node.create(name, parent), self.content(what))

    def mkdir(self, path: bytes) -> None:
        parent, name = self.at(path)
        self.node.mkdir(name, parent)

    def symlink(self, path: bytes) -> None:
        parent, name = self.at(path)
        self.node.create(name, parent, Kind.SYMLINK, self.content("link"))

    def write(self, path: bytes) -> None:
        self.put(self.ino(path), self.content("written over it"))

    def append(self, path: bytes) -> None:
        ino = self.ino(path)
        self.put(ino, self.content("; appended"), len(self.node.read(ino)))

    def save_by_truncating(self, path: bytes) -> None:
        ino = self.ino(path)
        self.node.truncate(ino, 0)
        self.put(ino, self.content("saved"))

    def cut(self, path: bytes) -> None:
        self.node.truncate(self.ino(path), 3 + len(self.node.name))

    def punch(self, path: bytes) -> None:
        self.node.replica.apply(Punch(self.ino(path), 1, 2, self.node.time()))

    def copy_over(self, source: bytes, path: bytes) -> None:
        """Have the file at *path* begin with the blocks of another."""
        extents = self.node.replica.tree.extents(self.ino(source), 0, 1 << 30)
        new = [NewExtent(e.offset, e.length, e.block.id, e.block_offset) for e in extents]
        blocks = list({e.block.id: e.block for e in extents}.values())
        self.node.replica.apply(Write(self.ino(path), new, blocks, self.node.time()))

    def unlink(self, path: bytes) -> None:
        parent, name = self.at(path)
        if self.holds_open:
            self.opened.append(self.ino(path))
        self.node.unlink(name, parent, keep=self.holds_open)

    def rename(self, path: bytes, to: bytes, flags: int = 0) -> None:
        (parent, name), (new_parent, new_name) = self.at(path), self.at(to)
        there = self.node.replica.tree.lookup(new_parent, new_name)
        keep = self.holds_open and there is not None and not there.is_directory and not flags
        if keep and there is not None:
            self.opened.append(there.ino)
        now = self.node.time()
        self.node.replica.apply(Rename(parent, name, new_parent, new_name, now, flags, keep))

    def link(self, path: bytes, to: bytes) -> None:
        self.node.replica.apply(Link(self.ino(path), *self.at(to), self.node.time()))

    def save_by_renaming(self, path: bytes) -> None:
        above, slash, _ = path.rpartition(b"/")
        scratch = above + slash + b".scratch"
        self.create(scratch, "saved")
        self.rename(scratch, path)

    def save_by_removing(self, path: bytes) -> None:
        self.unlink(path)
        self.create(path, "saved")

    def rmdir(self, path: bytes) -> None:
        self.node.replica.apply(Rmdir(*self.at(path), self.node.time()))

    def remove_tree(self, path: bytes) -> None:
        for name, found in self.node.replica.tree.list_names(self.ino(path), None, 1000):
            below = path + b"/" + name
            if found.is_directory:
                self.remove_tree(below)
            else:
                self.unlink(below)
        self.rmdir(path)

    def rekey(self, path: bytes) -> None:
        """Have the file at *path* lie in blocks that are sealed anew."""
        ino = self.ino(path)
        extents = self.node.replica.tree.extents(ino, 0, 1 << 30)
        anew = {e.block.id: self.node.blocks.sealed_anew(e.block.id) for e in extents}
        moves = [MovedExtent(e.offset, e.block.id, anew[e.block.id].id) for e in extents]
        self.node.replica.apply(Rekey(ino, moves, [*anew.values()]))

    def chmod(self, path: bytes) -> None:
        now = self.node.time()
        self.node.replica.apply(SetAttributes(self.ino(path), now, mode=0o600))

    def set_xattr(self, path: bytes) -> None:
        self.node.set_xattr(self.ino(path), b"user.by", self.node.name.encode())

    def close_all(self) -> None:
        for ino in self.opened:
            now = ino
            for touched in self.told:
                now = touched.moved.get(now, now)
            self.node.replica.apply(Forget(now))
        self.opened.clear()

    # -- what is seen ------------------------------------------------------------------------

    def above(self) -> dict[InodeNo, frozenset[InodeNo]]:
        """Return every directory in the tree, with all that it lies in."""
        found: dict[InodeNo, frozenset[InodeNo]] = {}

        def look(directory: InodeNo, above: frozenset[InodeNo]) -> None:
            for _, attributes in self.node.replica.tree.list_names(directory, None, 1000):
                if attributes.is_directory:
                    found[attributes.ino] = above
                    look(attributes.ino, above | {attributes.ino})

        look(self.world, frozenset())
        return found

    def files(self) -> tuple[dict[bytes, Found], set[bytes]]:
        """Return everything in the tree that is no directory, by path, and the directories."""
        found: dict[bytes, Found] = {}
        directories: set[bytes] = set()

        def look(directory: InodeNo, prefix: bytes) -> None:
            for name, attributes in self.node.replica.tree.list_names(directory, None, 1000):
                path, ino = prefix + name, attributes.ino
                if attributes.is_directory:
                    directories.add(path)
                    look(ino, path + b"/")
                elif attributes.kind is Kind.SYMLINK:
                    target = self.node.replica.tree.readlink(ino)
                    found[path] = Found(ino, target, (directory, name))
                else:
                    found[path] = Found(ino, self.node.read(ino), (directory, name))

        look(self.world, b"")
        return found, directories


Operation = tuple[tuple[str, *tuple[bytes | int, ...]], ...]
"""What a person does, step by step: each a method of `Person` and its arguments."""

OPERATIONS: dict[str, Operation] = {
    "create": (("create", b"n"),),
    "create in a directory": (("create", b"d/n"),),
    "create deeper": (("create", b"d/s/n"),),
    "create in an empty directory": (("create", b"e/n"),),
    "mkdir": (("mkdir", b"n"),),
    "mkdir and fill it": (
        ("mkdir", b"n"),
        ("create", b"n/new"),
    ),
    "mkdir in an empty directory": (("mkdir", b"e/n"),),
    "symlink": (("symlink", b"n"),),
    "symlink in a directory": (("symlink", b"d/n"),),
    "write": (("write", b"f"),),
    "write in a directory": (("write", b"d/x"),),
    "write deeper": (("write", b"d/s/y"),),
    "append": (("append", b"f"),),
    "save by truncating": (("save_by_truncating", b"f"),),
    "cut": (("cut", b"f"),),
    "punch": (("punch", b"f"),),
    "copy over": (("copy_over", b"one", b"f"),),
    "create and copy over": (("create", b"n"), ("copy_over", b"f", b"n")),
    "unlink": (("unlink", b"f"),),
    "unlink in a directory": (("unlink", b"d/x"),),
    "unlink one of two links": (("unlink", b"one"),),
    "unlink both links": (
        ("unlink", b"one"),
        ("unlink", b"two"),
    ),
    "rename": (("rename", b"f", b"n"),),
    "rename twice": (
        ("rename", b"f", b"m"),
        ("rename", b"m", b"n"),
    ),
    "rename one of two links": (("rename", b"one", b"n"),),
    "move in": (("rename", b"f", b"d/n"),),
    "move into an empty directory": (("rename", b"f", b"e/n"),),
    "move out": (("rename", b"d/x", b"n"),),
    "move out from deeper": (("rename", b"d/s/y", b"n"),),
    "rename over": (("rename", b"f", b"g"),),
    "rename over, the other way": (("rename", b"g", b"f"),),
    "move out over": (("rename", b"d/x", b"f"),),
    "save by renaming": (("save_by_renaming", b"f"),),
    "save by renaming in a directory": (("save_by_renaming", b"d/x"),),
    "save by removing": (("save_by_removing", b"f"),),
    "exchange": (("rename", b"f", b"g", RENAME_EXCHANGE),),
    "exchange with one in a directory": (("rename", b"f", b"d/x", RENAME_EXCHANGE),),
    "exchange directories": (("rename", b"d", b"e", RENAME_EXCHANGE),),
    "exchange file and directory": (("rename", b"f", b"d", RENAME_EXCHANGE),),
    "link": (("link", b"f", b"n"),),
    "link into an empty directory": (("link", b"f", b"e/n"),),
    "link out": (("link", b"d/x", b"n"),),
    "rename by linking": (
        ("link", b"f", b"n"),
        ("unlink", b"f"),
    ),
    "rmdir": (("rmdir", b"e"),),
    "remove a tree": (("remove_tree", b"d"),),
    "empty a directory by moving": (
        ("rename", b"p/z", b"n"),
        ("rmdir", b"p"),
    ),
    "rename a directory": (("rename", b"d", b"n"),),
    "move a directory into another": (("rename", b"d", b"p/n"),),
    "move a directory into an empty one": (("rename", b"d", b"e/n"),),
    "move the other into it": (("rename", b"p", b"d/n"),),
    "move a directory out": (("rename", b"d/s", b"n"),),
    "rename a directory over an empty one": (("rename", b"d", b"e"),),
    "rename a directory, change it": (
        ("rename", b"d", b"n"),
        ("create", b"n/new"),
    ),
    "write and rename": (
        ("write", b"f"),
        ("rename", b"f", b"n"),
    ),
    "write and unlink": (
        ("write", b"f"),
        ("unlink", b"f"),
    ),
    "write and link": (
        ("write", b"f"),
        ("link", b"f", b"n"),
    ),
    "rekey": (
        ("rekey", b"f"),
        ("rekey", b"d/x"),
        ("rekey", b"one"),
    ),
    "chmod": (("chmod", b"f"),),
    "set an attribute": (("set_xattr", b"f"),),
}


class Found(NamedTuple):
    """A file as it is seen at a path. *entry* is its directory's inode and its name there."""

    ino: InodeNo
    content: bytes
    entry: tuple[InodeNo, bytes]


@dataclass(frozen=True)
class Deed:
    """What an operation did to the tree, as it was seen on its own node at once.

    *claimed* contents got a name, by path; *carried* ones a path, with a directory above them.
    *over* says what the same file held next, also of files that were removed after that.
    *under* tells of the directories that it moved into which others, *lay* in which each of
    *carried* lies then.
    """

    put: frozenset[bytes]
    removed: frozenset[bytes]
    replaced: frozenset[bytes]
    overwrote: frozenset[bytes]
    over: dict[bytes, bytes]
    claimed: dict[bytes, bytes]
    carried: dict[bytes, bytes]
    only_removes: bool
    under: dict[InodeNo, frozenset[InodeNo]]
    lay: dict[bytes, frozenset[InodeNo]]


def deed(person: Person, operation: Operation, *, at_random: bool = False) -> Deed:
    """Have *person* do *operation*; return what it did.

    Steps taken *at_random* may be refused: what they are about is not there any more.
    """
    before, directories = person.files()
    above_before = person.above()
    replaced: set[bytes] = set()
    over: dict[bytes, bytes] = {}
    for verb, *arguments in operation:
        seen = {found.entry: found for found in person.files()[0].values()}
        try:
            getattr(person, verb)(*arguments)
        except (FileError, NotSeen):
            if not at_random:
                raise
        now = {found.entry: found for found in person.files()[0].values()}
        replaced |= {f.content for e, f in seen.items() if now.get(e, f).ino != f.ino}
        held = {found.ino: found.content for found in now.values()}
        over |= {f.content: held[f.ino] for f in seen.values() if f.ino in held}
    after, directories_after = person.files()
    contents_before = {found.content for found in before.values()}
    contents_after = {found.content for found in after.values()}
    inodes_after = {found.ino for found in after.values()}
    entries = {found.entry for found in before.values()}
    gone = [found for found in before.values() if found.content not in contents_after]
    there = {found.entry for found in after.values()}
    renamed = {
        path: found
        for path, found in after.items()
        if found.content in contents_before
        and (path not in before or before[path].ino != found.ino)
    }
    above = person.above()
    carried = {p: f.content for p, f in renamed.items() if f.entry in entries}
    return Deed(
        put=frozenset(contents_after - contents_before),
        removed=frozenset(f.content for f in gone if f.ino not in inodes_after),
        replaced=frozenset(f.content for f in gone if f.content in replaced or f.entry in there),
        overwrote=frozenset(f.content for f in gone if f.ino in inodes_after),
        over={old: new for old, new in over.items() if old != new},
        claimed={p: f.content for p, f in renamed.items() if f.entry not in entries},
        carried=carried,
        only_removes=after.items() <= before.items() and directories_after <= directories,
        under={
            ino: over - above_before[ino]
            for ino, over in above.items()
            if over - above_before.get(ino, over)
        },
        lay={
            content: above[after[path].entry[0]] | {after[path].entry[0]}
            for path, content in carried.items()
            if after[path].entry[0] in above
        },
    )


def check_kept(person: Person, deeds: list[Deed]) -> None:
    """Assert that nothing died, in the tree as it is once all has come to rest."""
    found = {path: file.content for path, file in person.files()[0].items()}
    contents = set(found.values())
    for content in set(BASE.values()).union(*(each.put for each in deeds)):
        if _has_to_live(content, deeds):
            lives = any(content in contents for content in _versions(content, deeds))
            assert lives, f"{content!r} is nowhere: {found}"


def check_places(person: Person, one: Deed, other: Deed) -> None:
    """Assert that what the one claimed is where he put it, if the other has only removed."""
    found = {path: file.content for path, file in person.files()[0].items()}
    for mine, theirs in ((one, other), (other, one)):
        if theirs.only_removes and not mine.only_removes:
            for path, content in (mine.claimed | mine.carried).items():
                assert found.get(path) == content, f"{path!r} was claimed: {found}"


def _has_to_live(content: bytes, deeds: list[Deed]) -> bool:
    """Tell whether nobody took *content* away, or somebody else claimed it."""
    if any(content in each.overwrote for each in deeds):
        return False  # what lies over it was put there
    circular = _circular(deeds)
    return all(
        content not in by.removed
        or any(
            _is_claimed(content, by, claimant, circular)
            for claimant in deeds
            if content not in claimant.removed
        )
        for by in deeds
    )


def _versions(content: bytes, deeds: list[Deed]) -> set[bytes]:
    """Return *content* and what somebody wrote over it before he removed the file.

    If another has moved the file meanwhile, it comes back as he who wrote last left it.
    """
    found = {content}
    for by in deeds:
        newer = content
        while content in by.removed and newer in by.over and by.over[newer] not in found:
            newer = by.over[newer]
            found.add(newer)
    return found


def _is_claimed(content: bytes, by: Deed, claimant: Deed, circular: Collection[InodeNo]) -> bool:
    """Tell whether *content*, removed *by* one, has to live all the same.

    A directory that is moved takes along what was saved over a file in it.
    """
    if content in claimant.claimed.values():
        return True
    if not claimant.lay.get(content, frozenset()).isdisjoint(circular):
        return False  # a move that would make a circle is none
    return content in claimant.carried.values() and content not in by.replaced


def _circular(deeds: list[Deed]) -> set[InodeNo]:
    """Return the directories that several people have moved into each other."""
    under: dict[InodeNo, set[InodeNo]] = {}
    for each in deeds:
        for ino, over in each.under.items():
            under.setdefault(ino, set()).update(over)

    def reached(ino: InodeNo) -> set[InodeNo]:
        seen: set[InodeNo] = set()
        ahead = [ino]
        while ahead:
            further = under.get(ahead.pop(), set()) - seen
            seen |= further
            ahead += further
        return seen

    return {ino for ino in under if ino in reached(ino)}


def check_conflicts(persons: list[Person], *, most: int) -> None:
    """Assert that every conflict copy was told by the node that made it; *most* of one name."""
    told = {place for person in persons for touched in person.told for place in touched.conflicts}
    node, world = persons[0].node, persons[0].world
    seen: Counter[tuple[InodeNo, bytes]] = Counter()

    def look(directory: InodeNo) -> None:
        for name, attributes in node.replica.tree.list_names(directory, None, 1000):
            if is_conflict_name(name):
                assert (directory, name) in told, f"nobody told of {name!r}"
                stem = re.sub(rb" \(conflict, .*\)", b"", name)
                seen[directory, stem] += 1
                assert seen[directory, stem] <= most, f"too many conflict copies of {stem!r}"
            if attributes.is_directory:
                look(attributes.ino)

    look(world)
    assert not any(is_conflict_name(name) for name in node.names(ROOT))
