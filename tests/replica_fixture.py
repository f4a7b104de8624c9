"""Replicas on real files, blocks that need no cipher, and a journal that is a list."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a test can be repeated
from typing import Any

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.format.geometry import padded_size
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import ROOT, Attributes, InodeNo, Kind
from lucidnode.fs.replica.intents import Create, NewExtent, SetXattr, Truncate, Unlink, Write
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.sqlite.schema import REPLICATED
from lucidnode.node.client.ids import BlockId, DeviceId, Seq

KEY = bytes(range(32))


class Blocks:
    """Content by block id, shared by the nodes of a test as the bucket would be."""

    def __init__(self) -> None:
        self._held: dict[bytes, bytes] = {}

    def seal(self, data: bytes) -> BlockName:
        digest = hashlib.sha256(data).digest()
        self._held[digest] = data
        return BlockName(BlockId(digest), 1, digest, padded_size(max(len(data), 1)))

    def sealed_anew(self, block: BlockId) -> BlockName:
        """Return another block with the content of *block*, as of a later epoch."""
        digest = hashlib.sha256(b"anew" + block).digest()
        data = self._held[digest] = self._held[block]
        return BlockName(BlockId(digest), 2, digest, padded_size(max(len(data), 1)))

    def part(self, block: BlockId, offset: int, length: int) -> bytes:
        part = self._held[block][offset : offset + length]
        assert len(part) == length, "an extent reaches past its block"
        return part


def rows_of(replica: Replica) -> dict[str, list[tuple[Any, ...]]]:
    """Return the replicated tables of *replica*, whole."""
    return {
        table: replica._database.rows(f"SELECT * FROM {table} ORDER BY 1, 2")
        for table in REPLICATED
    }


class Node:
    """One replica and what a mount would do with it."""

    def __init__(self, path: Path, name: str, blocks: Blocks, seed: int = 0) -> None:
        self.path = path
        self.name = name
        self.blocks = blocks
        self._entropy = Random(f"{name} {seed}")
        self.now = 1_000_000_000_000_000_000 + len(name)
        self.replica = self._open()

    def _open(self) -> Replica:
        device = DeviceId(self.name.encode().ljust(16, b".")[:16].hex())
        return Replica.open(self.path, KEY, self.name, device, self._entropy.randbytes)

    def close(self) -> None:
        self.replica.close()

    def crash(self) -> None:
        """Go on from the bytes that are on the disk now, as after kill -9."""
        number = len(list(self.path.parent.glob(f"{self.name}-after-*.db")))
        after = self.path.with_name(f"{self.name}-after-{number}.db")
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{self.path}{suffix}", f"{after}{suffix}")
        self.replica.close()
        self.path = after
        self.replica = self._open()

    def time(self) -> int:
        self.now += 1_000_000_000
        return self.now

    # -- operations --------------------------------------------------------------------------

    def create(
        self, name: bytes, parent: InodeNo = ROOT, kind: Kind = Kind.FILE, target: bytes = b""
    ) -> InodeNo:
        ino = self.replica.new_ino()
        self.replica.apply(
            Create(parent, name, ino, kind, 0o644, 1000, 1000, self.time(), target=target)
        )
        return ino

    def mkdir(self, name: bytes, parent: InodeNo = ROOT) -> InodeNo:
        return self.create(name, parent, Kind.DIRECTORY)

    def write(self, ino: InodeNo, data: bytes, offset: int = 0) -> None:
        block = self.blocks.seal(data)
        extent = NewExtent(offset, len(data), block.id, 0)
        self.replica.apply(Write(ino, [extent], [block], self.time()))

    def write_loosely(self, ino: InodeNo, data: bytes) -> None:
        """Do as `write`, at durability `relaxed`: the block may not survive a power cut."""
        block = self.blocks.seal(data)
        extent = NewExtent(0, len(data), block.id, 0)
        self.replica.apply(Write(ino, [extent], [block], self.time()), [block.id])

    def truncate(self, ino: InodeNo, size: int) -> None:
        self.replica.apply(Truncate(ino, size, self.time()))

    def unlink(self, name: bytes, parent: InodeNo = ROOT, *, keep: bool = False) -> None:
        self.replica.apply(Unlink(parent, name, self.time(), keep))

    def set_xattr(self, ino: InodeNo, name: bytes, value: bytes) -> None:
        self.replica.apply(SetXattr(ino, name, value, self.time()))

    def oldest(self) -> int | None:
        """Return the number of the operation that is first in the line."""
        return self.replica.pending._ground.journal.oldest()

    def pack_tails(self) -> None:
        """Do what the writer does before a batch; the block counts as staged at once."""
        if (pack := self.pack_tails_unsent()) is not None:
            self.replica.tails.release_pack(pack)

    def pack_tails_unsent(self) -> BlockId | None:
        """Put the tails into a block, and return it; None if there are none."""
        tails = self.replica.tails.loose()
        if not tails:
            return None
        block = self.blocks.seal(b"".join(tail.data for tail in tails))
        places, writes, start = [], [], 0
        for tail in tails:
            places.append((tail.row, start))
            extent = NewExtent(tail.offset, len(tail.data), block.id, start)
            writes.append(Write(tail.ino, [extent], [block], 0))
            start += len(tail.data)
        self.replica.tails.packed(block, places, writes)
        return block.id

    # -- what a user sees --------------------------------------------------------------------

    def found(self, name: bytes, parent: InodeNo = ROOT) -> Attributes:
        attributes = self.replica.tree.lookup(parent, name)
        assert attributes is not None, f"{name!r} is not there"
        return attributes

    def names(self, parent: InodeNo = ROOT) -> list[bytes]:
        return [name for name, _ in self.replica.tree.list_names(parent, None, 1000)]

    def read(self, ino: InodeNo) -> bytes:
        attributes = self.replica.tree.attributes(ino)
        assert attributes is not None
        data = bytearray(attributes.size)
        for extent in self.replica.tree.extents(ino, 0, attributes.size):
            part = self.blocks.part(extent.block.id, extent.block_offset, extent.length)
            data[extent.offset : extent.offset + extent.length] = part
        for tail in self.replica.tree.tails_of(ino):
            data[tail.offset : tail.end] = tail.data
        return bytes(data)

    def content(self, name: bytes, parent: InodeNo = ROOT) -> bytes:
        return self.read(self.found(name, parent).ino)

    def tree(self, directory: InodeNo = ROOT, prefix: bytes = b"") -> dict[bytes, Any]:
        """Return everything below *directory* by path, as a user can see it."""
        seen: dict[bytes, Any] = {}
        for name, attributes in self.replica.tree.list_names(directory, None, 1_000_000):
            path = prefix + b"/" + name
            if attributes.is_directory:
                seen[path] = "directory"
                seen.update(self.tree(attributes.ino, path))
            elif attributes.kind is Kind.SYMLINK:
                seen[path] = self.replica.tree.readlink(attributes.ino)
            else:
                seen[path] = self.read(attributes.ino)
        return seen

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the replicated tables, whole."""
        return rows_of(self.replica)

    def check(self) -> None:
        """Assert what is true of every sound tree, whatever happened to it."""
        rows = self.rows()
        inodes = {row[0]: row for row in rows["inode"]}
        counted = dict.fromkeys(inodes, 0)
        for parent, _, ino in rows["name"]:
            assert inodes[parent][1] == Kind.DIRECTORY, "a name lies in no directory"
            counted[ino] += 1
            if inodes[ino][1] == Kind.DIRECTORY:
                counted[parent] += 1
        blocks = {row[0]: row for row in rows["block"]}
        end: dict[int, int] = {}
        for ino, offset, length, block, block_offset in rows["extent"]:
            assert offset >= end.get(ino, 0), "extents overlap"
            end[ino] = offset + length
            assert end[ino] <= inodes[ino][5], "an extent reaches past the file"
            assert block_offset + length <= blocks[block][3], "an extent reaches past its block"
        for ino, row in inodes.items():
            directory = row[1] == Kind.DIRECTORY
            links = counted[ino] + (2 if ino == ROOT else 1 if directory else 0)
            assert row[6] == links, f"inode {ino} has {links} links, not {row[6]}"
        above = {ino: parent for parent, _, ino in rows["name"] if inodes[ino][1] == Kind.DIRECTORY}
        rooted = {int(ROOT)}
        for start in list(above):
            here, way = start, dict[int, None]()
            while here not in rooted:
                assert here in above, "a loose directory"
                assert here not in way, "a directory in itself"
                way[here] = None
                here = above[here]
            rooted.update(way)
        assert all(row[0] in inodes for row in rows["xattr"])
        size, count = self.replica.tree._queries.usage()
        assert self.replica.tree.usage() == (min(size, 2**63 - 1), count)


class Journal:
    """A bucket's journal with create-if-absent. An entry is a changeset, its hash a digest."""

    def __init__(self) -> None:
        self.entries: list[bytes | None] = []

    def hash(self, seq: int) -> bytes:
        return hashlib.sha256(f"{seq}".encode() + (self.entries[seq - 1] or b"")).digest()

    def create(self, seq: int, body: bytes) -> bool:
        if seq != len(self.entries) + 1:
            assert seq <= len(self.entries), "a slot was left out"
            return False
        self.entries.append(body)
        return True

    def commit(self, node: Node) -> Touched | None:
        """Let *node* try once: None if it won or had nothing, else what the winner touched."""
        node.pack_tails()
        batch = node.replica.pending.next_batch(None)
        if batch is None:
            return None
        node.replica.pending.set_in_flight(batch, batch.changeset)
        if self.create(batch.seq, batch.changeset):
            node.replica.pending.mark_committed(batch.seq, self.hash(batch.seq))
            return None
        return self.pull_one(node)

    def pull_one(self, node: Node) -> Touched:
        seq = Seq(node.replica.pending.head().seq + 1)
        return node.replica.entries.apply_entry(seq, self.hash(seq), self.entries[seq - 1])

    def pull(self, node: Node) -> list[Touched]:
        touched = []
        while node.replica.pending.head().seq < len(self.entries):
            touched.append(self.pull_one(node))
        return touched

    def settle(self, *nodes: Node) -> None:
        """Have every node commit everything and see everything."""
        for node in nodes:
            while node.replica.pending.has_work():
                self.commit(node)
        for node in nodes:
            self.pull(node)
