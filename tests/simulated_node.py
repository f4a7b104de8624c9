"""A replica whose user does random things."""

from __future__ import annotations

from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure can be repeated

from replica_fixture import Blocks, Node

from lucidnode.fs.errors import FileError
from lucidnode.fs.replica.inode import ROOT, Attributes, InodeNo, Kind
from lucidnode.fs.replica.intents import (
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    Forget,
    Link,
    Rename,
    Rmdir,
    SetAttributes,
)
from lucidnode.node.client.ids import BlockId

NAMES = [b"a", b"b", b"c", b"d.mov"]


class SlowShipping:
    """A way to the bucket on which blocks arrive sooner or later, while programs are at files."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.here: set[BlockId] = set()

    def has_arrived(self, block: BlockId) -> bool:
        if self._random.random() < 0.3:
            self.here.add(block)
        return block in self.here

    def is_unfinished(self, ino: InodeNo) -> bool:
        return self._random.random() < 0.3

    def is_young(self, ino: InodeNo) -> bool:
        return self._random.random() < 0.3

    def may_name(self, directory: InodeNo) -> bool:
        return self._random.random() < 0.7

    def may_give(self, directory: InodeNo) -> bool:
        return self._random.random() < 0.3


class SimulatedNode(Node):
    """A node whose user does random things, and remembers what must not get lost."""

    def __init__(self, path: Path, name: str, blocks: Blocks, seed: int) -> None:
        super().__init__(path, name, blocks, seed)
        self.random = Random(f"{name} {seed} user")
        self.shipping = SlowShipping(Random(f"{name} {seed} uplink"))
        self.open: set[InodeNo] = set()
        self.unstaged: set[BlockId] = set()
        """Blocks whose staged file was deleted: nobody has them."""
        self.written = 0

    def directories(self) -> list[InodeNo]:
        found = [ROOT]
        for directory in found:
            found += [
                a.ino
                for _, a in self.replica.tree.list_names(directory, None, 1000)
                if a.is_directory
            ]
        return found

    def act(self) -> None:
        """Do one random thing; what Linux refuses, it refuses."""
        directory = self.random.choice(self.directories())
        name = self.random.choice(NAMES)
        try:
            self._act(directory, name, self.replica.tree.lookup(directory, name))
        except FileError:
            return

    def _act(self, directory: InodeNo, name: bytes, found: Attributes | None) -> None:
        other, new_name = self.random.choice(self.directories()), self.random.choice(NAMES)
        match self.random.randrange(12):
            case 0 | 1:
                self.write_new(self.create(name, directory))
            case 2:
                self.mkdir(name, directory)
            case 3 | 4 | 5 if found is not None and found.kind is Kind.FILE:
                self.write_new(found.ino)
            case 6 if found is not None:
                keep = self.random.random() < 0.3
                self.unlink(name, directory, keep=keep)
                if keep:
                    self.open.add(found.ino)
            case 7:
                self.replica.apply(Rmdir(directory, name, self.time()))
            case 8 | 9:
                flags = self.random.choice([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE])
                self.replica.apply(Rename(directory, name, other, new_name, self.time(), flags))
            case 10 if found is not None:
                if self.random.random() < 0.5:
                    self.replica.apply(Link(found.ino, other, new_name, self.time()))
                else:
                    self.replica.apply(SetAttributes(found.ino, self.time(), mode=0o640))
            case 11 if self.open:
                ino = self.random.choice(sorted(self.open))
                self.open.discard(ino)
                self.replica.apply(Forget(ino))
            case _:
                self.truncate(self.found(name, directory).ino, 3) if found else None

    def drop_deleted(self) -> bool:
        """Drop what need not be sent of files that are gone; nothing that is seen may change."""
        before = self.rows()
        dropped = self.replica.deleted.drop(self.shipping.here.__contains__)
        assert {**before, "block": []} == {**self.rows(), "block": []}
        candidates = self.replica.deleted.blocks()
        let_go = set(candidates) - self.replica.deleted.needed(candidates)
        self.unstaged |= let_go - self.shipping.here
        self.replica.deleted.forget(candidates)
        return dropped

    def write(self, ino: InodeNo, data: bytes, offset: int = 0) -> None:
        """Do as a node does: a block that lay in staging once lies there again."""
        self.unstaged.discard(self.blocks.seal(data).id)
        super().write(ino, data, offset)

    def write_new(self, ino: InodeNo) -> None:
        self.written += 1
        data = f"{self.name}:{self.written};".encode()
        if self.random.random() < 0.4:
            self.replica.tails.put(ino, 0, data, self.time())
        else:
            self.write(ino, data)
