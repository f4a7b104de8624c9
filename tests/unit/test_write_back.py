"""What programs wrote is saved whoever flushes when, and without a flush as well."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest
from file_layer_fixture import BLOCK, PROJECT, FileLayer, file_layer

from lucidnode.fs.errors import NoSpace
from lucidnode.fs.write.flusher import MAX_AGE_S
from lucidnode.node.client.ids import BlockId


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


def state(layer: FileLayer, ino: int) -> bytes:
    return layer.files.get_xattr(ino, b"user.lucid.state")  # type: ignore[arg-type]


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
        layer.writer.pack_tails()
        await until(lambda: layer.writer.buffered == 0)
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
        layer.writer.pack_tails()
        await until(lambda: layer.writer.buffered == 0)


async def test_what_is_dirty_for_long_is_saved_without_a_flush(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, b"a line of a log\n")
        began = layer.clock.boot()
        await until(lambda: state(layer, ino) != b"dirty")
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
        await until(lambda: state(layer, ino) != b"dirty")
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
        await until(lambda: state(layer, ino) != b"dirty")
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
        assert layer.replica.tails_of(small)


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
