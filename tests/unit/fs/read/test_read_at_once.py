"""Reads that wait for nothing, and files that are read whole."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path

from file_layer_fixture import FileLayer, file_layer

from lucidnode.fs.replica.inode import InodeNo

SIZE = 4096


async def small_files(layer: FileLayer) -> list[InodeNo]:
    """Return two files that lie in one segment."""
    files = []
    for number in range(2):
        ino, handle = await layer.create(b"file %d" % number)
        await layer.files.write(handle, 0, bytes([number]) * SIZE)
        await layer.files.flush(handle)
        layer.files.release(handle)
        files.append(ino)
    layer.packer.pack()
    async with asyncio.timeout(10):
        while layer.replica.tree._tails.packs() or any(layer.daemon.staging_dir.glob("*/*")):
            await asyncio.sleep(0.001)
    return files


async def test_the_second_file_of_a_segment_is_read_at_once(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        await small_files(layer)
    async with file_layer(tmp_path) as layer:
        first, second = (layer.files.lookup(InodeNo(1), b"file %d" % n).ino for n in range(2))
        handle, _ = await layer.files.open(first, 0)
        begun = layer.files.begin_read(handle, 0, SIZE)
        assert isinstance(begun, Coroutine)
        assert await begun == bytes([0]) * SIZE
        handle, _ = await layer.files.open(second, 0)
        for offset, length, found in ((0, SIZE, SIZE), (0, 2 * SIZE, SIZE), (100, 7, 7)):
            assert layer.files.begin_read(handle, offset, length) == bytes([1]) * found
        assert layer.counts.memory == 2 * SIZE + 7
        writer, _ = await layer.files.open(second, 2)
        await layer.files.write(writer, 10, b"unsaved")
        begun = layer.files.begin_read(handle, 0, SIZE)
        assert isinstance(begun, Coroutine)
        read = bytes(await begun)
        assert read == bytes([1]) * 10 + b"unsaved" + bytes([1]) * (SIZE - 17)


async def test_a_file_read_whole_is_published_when_somebody_reads_it_again(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino, _ = await small_files(layer)
    async with file_layer(tmp_path, channel=True) as layer:
        assert layer.channel_files is not None
        handle, _ = await layer.files.open(ino, 0)
        for published in (False, True):
            await layer.files.read(handle, 0, SIZE)
            assert (handle in layer.channel_files._inodes) == published
        layer.files.release(handle)
        assert handle not in layer.channel_files._inodes
