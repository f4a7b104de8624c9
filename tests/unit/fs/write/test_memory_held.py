"""What a mount holds in memory for what it cannot save is what it counts, and it is given back."""

from __future__ import annotations

import contextlib
import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_layer_fixture import BLOCK, FileLayer, file_layer

from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.write.block_plan import MAX_TAIL_BYTES
from lucidnode.fs.write.stager import MAX_BLOCKS_AT_ONCE

FILES, BLOCKS, ROUNDS = 6, 4, 3
PACKS = 48
TAIL = MAX_TAIL_BYTES - 1
SPARE_BYTES = (MAX_BLOCKS_AT_ONCE + 6) * BLOCK
"""What is sealed at this moment, and rows, tasks, frames: all that is no content."""


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Count the bytes of Python; what only its collector of cycles would find stays."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


def held() -> int:
    return tracemalloc.get_traced_memory()[0]


async def failed_saves(layer: FileLayer, handles: list[int]) -> None:
    for handle in handles:
        with pytest.raises(OSError, match="cache directory"):
            await layer.files.flush(handle)


@pytest.mark.usefixtures("uncollected")
async def test_saves_that_fail_again_and_again_hold_their_bytes_once(tmp_path: Path) -> None:
    async with file_layer(tmp_path, saves_by_age=False) as layer:
        opened = [await layer.create(b"file-%d" % number) for number in range(FILES)]
        handles = [handle for _, handle in opened]
        (tmp_path / "staging").rename(tmp_path / "away")
        before = held()
        for number, handle in enumerate(handles):
            for block in range(BLOCKS):
                await layer.files.write(handle, block * BLOCK, bytes([number + 1]) * BLOCK)
        for _ in range(ROUNDS):
            await failed_saves(layer, handles)
        assert layer.buffer.size == FILES * BLOCKS * BLOCK
        assert held() - before < layer.buffer.size + SPARE_BYTES
        for number, handle in enumerate(handles):
            layer.files.unlink(ROOT, b"file-%d" % number)
            layer.files.release(handle)
        assert layer.buffer.size == 0
        assert held() - before < SPARE_BYTES
        with contextlib.suppress(FileNotFoundError):
            (tmp_path / "away").rename(tmp_path / "staging")


@pytest.mark.usefixtures("uncollected")
async def test_packs_that_cannot_be_staged_hold_their_bytes_once(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("Changes cannot be committed now")
    async with file_layer(tmp_path) as layer:
        (tmp_path / "staging").rename(tmp_path / "away")
        before = held()
        for number in range(PACKS):
            _, handle = await layer.create(b"small-%d" % number)
            await layer.files.write(handle, 0, bytes([number + 1]) * (TAIL))
            layer.packer.pack()
            await layer.files.flush(handle)
            layer.files.release(handle)
            layer.packer.pack()
        while sum(alert.count for alert in layer.alerts.current()) < ROUNDS * PACKS:
            await layer.clock.sleep(0.1)
        assert layer.buffer.size == PACKS * TAIL
        assert held() - before < layer.buffer.size + SPARE_BYTES
        (tmp_path / "away").rename(tmp_path / "staging")
