"""What programs wrote is saved whoever flushes when, and without a flush as well."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest
from file_layer_fixture import BLOCK, PROJECT, file_layer

from lucidnode.fs.errors import NoSpace
from lucidnode.fs.files.file_system import AttributeChanges
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.write.write_back import MAX_AGE_S
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.staging import is_promised


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


async def test_a_write_among_several_flushes_of_its_file_is_kept(tmp_path: Path) -> None:
    """Whoever waits for the file's turn must not let go of bytes that came meanwhile."""
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, b"a" * BLOCK)

        async def write_once_let_go() -> None:
            while layer.unsaved.get(ino) is not None:
                await asyncio.sleep(0)
            await layer.files.write(handle, 0, b"b" * 1000)

        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(write_once_let_go())
            for _ in range(8):
                tasks.create_task(layer.writer.flush(ino))
            await writing
            assert bytes(await layer.files.read(handle, 0, 1000)) == b"b" * 1000
        assert bytes(await layer.files.read(handle, 0, 1000)) == b"b" * 1000
        await layer.files.sync(handle)
        layer.packer.pack()
        await until(lambda: layer.buffer.size == 0)
    async with file_layer(tmp_path) as layer:
        assert (await layer.contents(ino))[:1000] == b"b" * 1000


@pytest.mark.parametrize("seed", range(4))
async def test_one_writer_and_four_who_sync_lose_nothing(tmp_path: Path, seed: int) -> None:
    generator = Random(seed)
    async with file_layer(tmp_path, max_buffered=6 * BLOCK) as layer:
        ino, handle = await layer.create()
        reference = bytearray(3 * BLOCK)
        done = False

        async def sync() -> None:
            while not done:
                await layer.files.sync(handle)
                await asyncio.sleep(generator.random() / 500)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(sync())
            for _ in range(150):
                offset = generator.randrange(len(reference) - 9000)
                data = generator.randbytes(generator.randrange(1, 9000))
                reference[offset : offset + len(data)] = data
                await layer.files.write(handle, offset, data)
                found = bytes(await layer.files.read(handle, offset, len(data)))
                assert found == data
                await asyncio.sleep(0)
            done = True
        await layer.files.sync(handle)
        size = layer.files.attributes(ino).size
        assert await layer.contents(ino) == bytes(reference[:size])
        layer.packer.pack()
        await until(lambda: layer.buffer.size == 0)


async def test_what_is_dirty_for_long_is_saved_without_a_flush(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, b"a line of a log\n")
        began = layer.clock.boot()
        await until(lambda: not layer.unsaved.is_dirty(ino))
        assert layer.clock.boot() - began >= MAX_AGE_S
    async with file_layer(tmp_path) as layer:
        assert await layer.contents(ino) == b"a line of a log\n"


async def test_what_came_after_the_last_flush_is_saved_at_the_last_release(
    tmp_path: Path,
) -> None:
    """As a map that is written to after `close`, and unmapped."""
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        await layer.files.flush(handle)
        await layer.files.write(handle, 0, b"through the map")
        began = layer.clock.boot()
        layer.files.release(handle)
        await until(lambda: not layer.unsaved.is_dirty(ino))
        assert layer.clock.boot() - began < MAX_AGE_S / 2
    async with file_layer(tmp_path) as layer:
        assert await layer.contents(ino) == b"through the map"


async def test_what_a_full_disk_turned_away_is_saved_once_there_is_room(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += ["cannot be saved"]
    async with file_layer(tmp_path, staging_limit=2 * BLOCK) as layer:
        layer.daemon.uploads = False
        ino, handle = await layer.create()
        data = Random(1).randbytes(6 * BLOCK)
        await layer.files.write(handle, 0, data)
        with pytest.raises(NoSpace):
            await layer.files.flush(handle)
        layer.files.release(handle)
        await until(lambda: layer.alerts.is_on("unsaved"))
        layer.daemon.uploads = True
        for path in (layer.daemon.staging_dir / PROJECT).iterdir():
            layer.daemon.upload(BlockId(bytes.fromhex(path.name)))
        await until(lambda: not layer.unsaved.is_dirty(ino))
        await until(lambda: not layer.alerts.is_on("unsaved"))
    async with file_layer(tmp_path) as layer:
        assert await layer.contents(ino) == data


async def test_over_budget_writers_wait_for_blocks_and_make_no_packs(tmp_path: Path) -> None:
    """Packing tails takes memory: it is no way to make room."""
    async with file_layer(tmp_path, max_buffered=2 * BLOCK) as layer:
        small, handle = await layer.create(b"small")
        await layer.files.write(handle, 0, b"a tail")
        await layer.files.flush(handle)
        _, other = await layer.create(b"large")
        for number in range(12):
            await layer.files.write(other, number * BLOCK, Random(number).randbytes(BLOCK))
        assert layer.replica.tree.tails_of(small)


async def test_what_is_appended_goes_to_the_end_as_the_node_knows_it(tmp_path: Path) -> None:
    """The offset comes from the kernel, which knows no end but the one it asked for last."""
    async with file_layer(tmp_path) as layer:
        ino, _ = await layer.create()
        one, _ = await layer.files.open(ino, os.O_WRONLY | os.O_APPEND)
        other, _ = await layer.files.open(ino, os.O_WRONLY | os.O_APPEND)
        async with asyncio.TaskGroup() as tasks:
            for number in range(40):
                handle = one if number % 2 else other
                tasks.create_task(layer.files.write(handle, 0, b"line %02d\n" % number))
        lines = (await layer.contents(ino)).splitlines()
        assert sorted(lines) == [b"line %02d" % number for number in range(40)]


async def test_what_is_written_between_open_and_close_becomes_one_change(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        before = layer.replica.pending.count()
        data = Random(2).randbytes(7 * BLOCK)
        for offset in range(0, len(data), 100_000):
            await layer.files.write(handle, offset, data[offset : offset + 100_000])
        await until(lambda: layer.unsaved.of(ino).staged.end >= 7 * BLOCK)
        assert layer.replica.pending.count() == before
        assert await layer.contents(ino) == data
        assert layer.files.attributes(ino).size == len(data)
        await layer.files.flush(handle)
        assert layer.replica.pending.count() == before + 1
        batch = layer.replica.pending.next_batch(None)
        assert batch is not None
        assert len(batch.needs) == 7


async def test_blocks_are_durable_once_their_file_is_acknowledged_and_not_before(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, Random(3).randbytes(3 * BLOCK))
        await until(lambda: len(list(layer.unsaved.of(ino).staged.blocks())) == 3)
        staged = list((tmp_path / "staging" / PROJECT).iterdir())
        assert len(staged) == 3
        assert not any(is_promised(path) for path in staged)
        await layer.files.flush(handle)
        assert all(is_promised(path) for path in staged)


async def test_blocks_that_left_for_the_bucket_meanwhile_are_named_all_the_same(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        data = Random(4).randbytes(3 * BLOCK)
        await layer.files.write(handle, 0, data)
        await until(lambda: layer.unsaved.of(ino).staged.end == 3 * BLOCK)
        await until(lambda: not list((tmp_path / "staging" / PROJECT).iterdir()))
        await layer.files.flush(handle)
        layer.daemon.evict()
        assert await layer.contents(ino) == data


async def test_a_rewrite_of_staged_bytes_shows_and_is_the_one_that_is_named(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        data = bytearray(Random(5).randbytes(2 * BLOCK))
        await layer.files.write(handle, 0, bytes(data))
        await until(lambda: layer.unsaved.of(ino).staged.end == 2 * BLOCK)
        for offset, size in ((10, 100), (BLOCK, BLOCK), (2 * BLOCK - 5, 50)):
            piece = Random(size).randbytes(size)
            data[offset : offset + size] = piece
            await layer.files.write(handle, offset, piece)
            assert await layer.contents(ino) == data
        await layer.files.set_attributes(ino, AttributeChanges(size=BLOCK + 77), None)
        del data[BLOCK + 77 :]
        assert await layer.contents(ino) == data
        await layer.files.flush(handle)
        assert await layer.contents(ino) == data
    async with file_layer(tmp_path) as layer:
        assert await layer.contents(ino) == data


async def test_a_writer_short_of_memory_does_not_suffer_from_a_file_that_goes(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path, max_buffered=2 * BLOCK) as layer:
        ino, gone = await layer.create(b"gone")
        await layer.files.write(gone, 0, b"x" * (BLOCK + 200_000))
        await until(lambda: layer.unsaved.of(ino).staged.end == BLOCK)
        stays, handle = await layer.create(b"stays")
        writing = asyncio.ensure_future(layer.files.write(handle, 0, b"y" * (2 * BLOCK - 100_000)))
        while not layer.unsaved.of(ino).lock.locked():
            await asyncio.sleep(0)
        layer.files.unlink(ROOT, b"gone")
        layer.files.release(gone)
        await writing
        assert await layer.contents(stays) == b"y" * (2 * BLOCK - 100_000)


async def test_what_could_not_be_staged_lies_under_what_was_written_since(tmp_path: Path) -> None:
    async with file_layer(tmp_path, staging_limit=0) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, b"a" * BLOCK)
        [block_write] = layer.unsaved.of(ino).in_flight
        await layer.files.write(handle, 10, b"newer")
        await block_write.done.wait()
        assert isinstance(block_write.take_error(), NoSpace)
        expected = b"a" * 10 + b"newer" + b"a" * (BLOCK - 15)
        assert await layer.contents(ino) == expected


async def test_while_a_file_is_saved_its_bytes_are_never_in_neither_layer(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        size = 3 * BLOCK + 1000
        await layer.files.write(handle, 0, Random(6).randbytes(size))
        saving = asyncio.ensure_future(layer.files.flush(handle))
        while not saving.done():
            held = bytearray(size)
            lying = [
                *((at, len(data)) for at, data in layer.unsaved.within(ino, 0, size)),
                *((e.offset, e.length) for e in layer.unsaved.staged_extents(ino, 0, size)),
                *((e.offset, e.length) for e in layer.replica.tree.extents(ino, 0, size)),
                *((tail.offset, len(tail.data)) for tail in layer.replica.tree.tails_of(ino)),
            ]
            for at, length in lying:
                held[at : at + length] = b"x" * length
            assert held.count(b"x") == size
            await asyncio.sleep(0)
        await saving
