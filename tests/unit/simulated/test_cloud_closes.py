"""How long `close` waits for the bucket at durability `cloud`: for its own save, and no longer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from committer_fixture import Bucket, Daemon
from file_layer_fixture import BLOCK, PROJECT, Commits, FileLayer, file_layer
from lab.soak_files import VirtualClock
from lab.virtual_loop import LoopClock, run_virtual

from lucidnode.fs.files.file_system import AttributeChanges
from lucidnode.fs.files.range_changes import KEEP_SIZE, PUNCH_HOLE
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.write.shipments import ASK_EVERY_S
from lucidnode.fs.write.write_back import MAX_AGE_S

SOON_S = 2 * ASK_EVERY_S
"""Virtual seconds in which a few blocks are known to be in the bucket, and their entry is made."""

Act = Callable[[FileLayer, InodeNo, int], Awaitable[object]]


async def cut(layer: FileLayer, ino: InodeNo, handle: int) -> None:
    await layer.files.set_attributes(ino, AttributeChanges(size=7), handle)


async def longer(layer: FileLayer, ino: InodeNo, handle: int) -> None:
    await layer.files.set_attributes(ino, AttributeChanges(size=1 << 40), handle)


async def punched(layer: FileLayer, ino: InodeNo, handle: int) -> None:
    await layer.files.ranges.allocate(handle, 10, BLOCK, PUNCH_HOLE | KEEP_SIZE)


async def grown(layer: FileLayer, ino: InodeNo, handle: int) -> None:
    await layer.files.ranges.allocate(handle, 0, 4 * BLOCK, 0)


async def copied(layer: FileLayer, ino: InodeNo, handle: int) -> None:
    assert await layer.files.ranges.copy(handle, 0, handle, 2 * BLOCK, BLOCK)


def in_the_cloud(home: Path, work: Callable[[FileLayer], Awaitable[None]]) -> None:
    """Do *work* on a mount at durability `cloud`, on virtual time."""

    async def run() -> None:
        layers: list[FileLayer] = []

        async def wait(ino: InodeNo | None) -> None:
            assert layers[0].committer is not None
            await layers[0].committer.until_committed(ino)

        door = Daemon(Bucket(), b"a" * 32, PROJECT)
        async with file_layer(
            home,
            clock=VirtualClock(),
            commit_wait=wait,
            commits=Commits(door, door.device, {door.device: door.public}.get, lambda _: None),
        ) as layer:
            layers.append(layer)
            await work(layer)

    run_virtual(run, 1)


async def saved(layer: FileLayer) -> tuple[InodeNo, int]:
    """Return a file of two blocks in the bucket, and a handle of it."""
    ino, handle = await layer.create()
    await layer.files.write(handle, 0, b"old" * BLOCK)
    await layer.files.flush(handle)
    layer.files.release(handle)
    assert not layer.replica.pending.is_pending(ino)
    handle, _ = await layer.files.open(ino, os.O_RDWR)
    return ino, handle


@pytest.mark.parametrize("act", [cut, longer, punched, grown, copied])
def test_a_close_waits_for_what_moved_no_bytes_no_longer_than_its_entry_takes(
    tmp_path: Path, act: Act
) -> None:
    async def work(layer: FileLayer) -> None:
        ino, handle = await saved(layer)
        await act(layer, ino, handle)
        begun = LoopClock().boot()
        await layer.files.flush(handle)
        assert LoopClock().boot() - begun < SOON_S < MAX_AGE_S
        assert not layer.replica.pending.is_pending(ino)

    in_the_cloud(tmp_path, work)


def test_a_shell_that_empties_a_file_waits_for_the_bucket_once_it_has_been_written(
    tmp_path: Path,
) -> None:
    """Others must not see it empty, so the first close of the descriptor has nothing to wait for."""

    async def work(layer: FileLayer) -> None:
        ino, handle = await saved(layer)
        layer.files.release(handle)
        handle, _ = await layer.files.open(ino, os.O_WRONLY | os.O_TRUNC)
        begun = LoopClock().boot()
        await layer.files.flush(handle)
        assert LoopClock().boot() - begun < 1.0
        assert layer.replica.pending.is_pending(ino)
        await layer.files.write(handle, 0, b"new")
        await layer.files.flush(handle)
        assert LoopClock().boot() - begun < SOON_S
        assert not layer.replica.pending.is_pending(ino)

    in_the_cloud(tmp_path, work)


@pytest.mark.parametrize("call", ["fsync", "close"])
def test_who_writes_on_keeps_nobody_else_waiting_for_the_bucket(tmp_path: Path, call: str) -> None:
    async def work(layer: FileLayer) -> None:
        ino, handle = await saved(layer)
        other, _ = await layer.files.open(ino, os.O_RDWR)

        async def write_on() -> None:
            for number in range(1 << 20):
                await layer.files.write(other, number % BLOCK, b"a")
                await asyncio.sleep(0)
                if number % 50 == 0:
                    await asyncio.sleep(0.01)

        writing = asyncio.ensure_future(write_on())
        await layer.files.write(handle, BLOCK, b"mine")
        begun = LoopClock().boot()
        await (layer.files.sync(handle) if call == "fsync" else layer.files.flush(handle))
        assert LoopClock().boot() - begun < SOON_S
        assert not writing.done()
        writing.cancel()

    in_the_cloud(tmp_path, work)
