"""What is brought near ahead of a reader is also told to the kernel channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random  # noqa: TID251 - seeded
from typing import Any

import pytest
from file_layer_fixture import BLOCK, FileLayer, file_layer

from lucidnode.fs.channel import device
from lucidnode.fs.read.read_ahead import FIRST_WINDOW_BYTES
from lucidnode.fs.replica.inode import InodeNo

BLOCKS = 20
SIZE = BLOCKS * BLOCK


@asynccontextmanager
async def read_anew(
    home: Path, *, cold: bool, size: int = SIZE
) -> AsyncIterator[tuple[FileLayer, InodeNo, int]]:
    """Yield a layer that has just been started, a file of *size* bytes and a handle of it."""
    async with file_layer(home) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, Random(1).randbytes(size))
        await layer.files.flush(handle)
        layer.packer.pack()
        await until(lambda: not any(layer.daemon.staging_dir.glob("*/*")))
        layer.files.release(handle)
        if cold:
            layer.daemon.evict()
    async with file_layer(home, channel=True) as layer:
        handle, _ = await layer.files.open(ino, 0)
        yield layer, ino, handle


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.001)


async def read_until(is_so: Callable[[], bool], layer: FileLayer, handle: int) -> None:
    """Read a little, and again where the disk took so long that it was left alone for a while."""
    async with asyncio.timeout(30):
        while not is_so():
            await layer.files.read(handle, 0, 4096)
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await until(is_so)


def is_all_published(layer: FileLayer, ino: InodeNo, handle: int, stop: int) -> bool:
    assert layer.channel_files is not None
    return not layer.channel_files.show(handle, ino, 0, stop)


async def test_after_one_small_read_the_channel_knows_all_around_it(tmp_path: Path) -> None:
    async with read_anew(tmp_path, cold=False) as (layer, ino, handle):
        assert not is_all_published(layer, ino, handle, SIZE)
        await read_until(lambda: is_all_published(layer, ino, handle, SIZE), layer, handle)
        assert layer.daemon.asked == []
        assert layer.counts.ahead == 0


async def test_what_was_fetched_ahead_is_known_to_the_channel_before_it_is_read(
    tmp_path: Path,
) -> None:
    async with read_anew(tmp_path, cold=True) as (layer, ino, handle):
        for offset in (0, 4096):
            await layer.files.read(handle, offset, 4096)
        await until(lambda: is_all_published(layer, ino, handle, FIRST_WINDOW_BYTES))
        assert len(layer.daemon.asked) == len(set(layer.daemon.asked)) < BLOCKS


async def test_nothing_is_published_that_a_mount_before_has_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles, taken = [], list[bool]()

    def noted(*asked: Any, publish: Callable[..., bool] = device.publish) -> bool:
        taken.append(publish(*asked))
        return taken[-1]

    monkeypatch.setattr(device, "publish", noted)
    for size in (2 * BLOCK, 3 * BLOCK):
        async with read_anew(tmp_path / str(size), cold=False, size=size) as (layer, ino, handle):
            published = partial(is_all_published, layer, ino, handle, size)
            await read_until(published, layer, handle)
            handles.append(handle)
    assert handles[0] == handles[1]
    assert all(taken), "under the number of a handle was a file of another size"
