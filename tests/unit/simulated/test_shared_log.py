"""Two mounts append to one file: what is still in memory moves with the end as well."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure can be repeated

import pytest
from file_layer_fixture import BLOCK, FileLayer, file_layer
from replica_fixture import Journal

from lucidnode.fs.replica.inode import ROOT
from lucidnode.node.client.ids import Seq


class Office:
    """Mounts `a` and `b` of one project, and one file that both hold open to append."""

    def __init__(self, a: FileLayer, b: FileLayer) -> None:
        self.a, self.b = self.layers = (a, b)
        self.journal = Journal()
        for layer in self.layers:
            layer.replica.entries.set_dirty_source(layer.unsaved.appended_only)

    async def begin(self) -> None:
        self.log, handle = await self.a.create(b"log")
        await self.a.files.write(handle, 0, b"begin\n")
        await self.a.files.flush(handle)
        self.a.files.release(handle)
        await self.settle()
        self.handles = [
            (await layer.files.open(self.log, os.O_WRONLY | os.O_APPEND))[0]
            for layer in self.layers
        ]

    async def append(self, layer: FileLayer, line: bytes) -> None:
        await layer.files.write(self.handles[self.layers.index(layer)], 0, line)

    async def flush(self, layer: FileLayer) -> None:
        await layer.files.flush(self.handles[self.layers.index(layer)])

    async def commit(self, layer: FileLayer) -> None:
        """Have *layer* commit what it has in its replica, on top of what is there."""
        self.pull(layer)
        while layer.replica.pending.has_work():
            layer.packer.pack()
            batch = layer.replica.pending.next_batch(None)
            if batch is None:
                return
            layer.replica.pending.set_in_flight(batch, batch.changeset)
            await layer.packer.staged(batch.needs)
            for block in batch.needs:
                layer.daemon.upload(block)
            if self.journal.create(batch.seq, batch.changeset):
                layer.replica.pending.mark_committed(batch.seq, self.journal.hash(batch.seq))
            self.pull(layer)

    def pull(self, layer: FileLayer) -> None:
        while (head := layer.replica.pending.head().seq) < len(self.journal.entries):
            seq = Seq(head + 1)
            touched = layer.replica.entries.apply_entry(
                seq, self.journal.hash(seq), self.journal.entries[head]
            )
            layer.effects.follow(touched)

    async def settle(self) -> None:
        for layer in (*self.layers, *self.layers):
            await layer.writer.flush_all()
            await self.commit(layer)

    def names(self) -> list[bytes]:
        return [name for name, _ in self.b.replica.tree.list_names(ROOT, None, 1000)]

    async def read(self, layer: FileLayer) -> bytes:
        return await layer.contents(self.log)


@contextlib.asynccontextmanager
async def office(path: Path) -> AsyncIterator[Office]:
    for name in ("a", "b"):
        (path / name).mkdir()
    (path / "a" / "bucket").mkdir()
    (path / "b" / "bucket").symlink_to(path / "a" / "bucket")
    async with file_layer(path / "a") as a, file_layer(path / "b") as b:
        office = Office(a, b)
        await office.begin()
        yield office


async def test_unsaved_lines_follow_the_end(tmp_path: Path) -> None:
    async with office(tmp_path) as studio:
        await studio.append(studio.b, b"b, unsaved\n")
        await studio.append(studio.a, b"a\n")
        await studio.flush(studio.a)
        await studio.commit(studio.a)
        studio.pull(studio.b)
        assert await studio.read(studio.b) == b"begin\na\nb, unsaved\n"
        await studio.append(studio.b, b"b again\n")
        await studio.settle()
        assert await studio.read(studio.a) == b"begin\na\nb, unsaved\nb again\n"
        assert studio.names() == [b"log"]


async def test_the_end_may_move_while_lines_are_being_saved(tmp_path: Path) -> None:
    async with office(tmp_path) as studio:
        await studio.append(studio.a, b"a\n")
        await studio.flush(studio.a)
        await studio.commit(studio.a)
        await studio.append(studio.b, b"b" * (2 * BLOCK) + b"\n")
        saving = asyncio.create_task(studio.flush(studio.b))  # noqa: TID251  # awaited below
        await asyncio.sleep(0)
        file = studio.b.unsaved.get(studio.log)
        assert file is not None
        assert any(block_write.pieces for block_write in file.in_flight), "nothing is on its way"
        studio.pull(studio.b)
        await saving
        await studio.settle()
        assert await studio.read(studio.a) == b"begin\na\n" + b"b" * (2 * BLOCK) + b"\n"
        assert studio.names() == [b"log"]


async def test_lines_that_move_across_the_border_of_a_block_are_packed_whole(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as studio:
        long = b"." * (BLOCK - 20) + b"\n"
        await studio.append(studio.a, long)
        await studio.settle()
        await studio.append(studio.b, b"b, across the border of a block\n")
        await studio.flush(studio.b)
        assert len(studio.b.replica.tails.loose()) == 2
        await studio.append(studio.a, b"a\n")
        await studio.flush(studio.a)
        await studio.commit(studio.a)
        studio.pull(studio.b)
        studio.b.packer.pack()
        [packed] = studio.b.replica.tails.packs().values()
        assert packed == b"b, across the border of a block\n"
        await studio.settle()
        expected = b"begin\n" + long + b"a\nb, across the border of a block\n"
        assert await studio.read(studio.a) == expected


async def test_a_program_that_writes_elsewhere_gets_one_copy_and_goes_on_in_it(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as studio:
        handle, _ = await studio.b.files.open(studio.log, os.O_RDWR)
        for number in range(3):
            await studio.b.files.write(handle, 3 * number, b"%d b" % number)
            await studio.append(studio.a, b"a\n")
            await studio.flush(studio.a)
            await studio.commit(studio.a)
            studio.pull(studio.b)
            await studio.b.files.flush(handle)
            await studio.commit(studio.b)
        await studio.settle()
        [_, copy] = studio.names()
        assert b"(conflict, " in copy
        found = studio.b.replica.tree.lookup(ROOT, copy)
        assert found is not None
        assert await studio.b.contents(found.ino) == b"0 b1 b2 b"
        assert await studio.read(studio.b) == b"begin\na\na\na\n"


@pytest.mark.parametrize("seed", range(4))
async def test_all_lines_are_in_one_file_whatever_happens_between_them(
    tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    expected: list[bytes] = []
    async with office(tmp_path) as studio, asyncio.TaskGroup() as group:
        for number in range(80):
            layer = random.choice(studio.layers)
            name = b"a" if layer is studio.a else b"b"
            length = random.choice([0, 20, BLOCK // 3, BLOCK])
            line = b"%b %d %b\n" % (name, number, b"." * length)
            await studio.append(layer, line)
            expected.append(line)
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
            match random.randrange(6):
                case 0:
                    _ = group.create_task(studio.flush(layer))
                case 1:
                    await studio.commit(layer)
                case 2:
                    studio.pull(random.choice(studio.layers))
                case _:
                    pass
        await studio.settle()
        lines = (await studio.read(studio.a)).splitlines(keepends=True)[1:]
        assert await studio.read(studio.b) == await studio.read(studio.a)
        assert studio.names() == [b"log"]
    assert sorted(lines) == sorted(expected)
    for name in (b"a", b"b"):
        ours = [line for line in lines if line.startswith(name)]
        assert ours == [line for line in expected if line.startswith(name)]
