"""When a save begins and ends, as others shall see it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from file_layer_fixture import FileLayer, file_layer

from lucidnode.fs.files.file_system import AttributeChanges
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.write.write_back import MAX_AGE_S


async def saved(layer: FileLayer, name: bytes = b"doc") -> InodeNo:
    """Return a file with a content that is settled."""
    ino, handle = await layer.create(name)
    await layer.files.write(handle, 0, b"old")
    await layer.files.flush(handle)
    layer.files.release(handle)
    assert ino not in layer.unfinished
    return ino


async def test_truncating_and_writing_anew_is_one_save(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await saved(layer)
        handle, _ = await layer.files.open(ino, os.O_WRONLY | os.O_TRUNC)
        assert ino in layer.unfinished
        # A shell closes the descriptor that it has opened before the program writes.
        await layer.files.flush(handle)
        assert ino in layer.unfinished
        await layer.files.write(handle, 0, b"new")
        assert ino in layer.unfinished
        await layer.files.flush(handle)
        assert ino not in layer.unfinished


async def test_a_file_that_was_only_emptied_is_whole_once_it_is_closed(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await saved(layer)
        handle, _ = await layer.files.open(ino, os.O_WRONLY | os.O_TRUNC)
        await layer.files.flush(handle)
        layer.files.release(handle)
        assert ino not in layer.unfinished


async def test_a_file_that_was_only_cut_through_its_handle_is_whole_once_it_is_closed(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await saved(layer)
        handle, _ = await layer.files.open(ino, os.O_WRONLY)
        await layer.files.set_attributes(ino, AttributeChanges(size=1), handle)
        assert ino in layer.unfinished
        await layer.files.flush(handle)
        assert ino not in layer.unfinished


@pytest.mark.parametrize("wrote", [True, False])
async def test_a_sync_ends_a_save(tmp_path: Path, wrote: bool) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await saved(layer)
        handle, _ = await layer.files.open(ino, os.O_WRONLY)
        await layer.files.set_attributes(ino, AttributeChanges(size=0), None)
        if wrote:
            await layer.files.write(handle, 0, b"new")
        assert ino in layer.unfinished
        await layer.files.sync(handle)
        assert ino not in layer.unfinished


async def test_a_cut_by_nobody_who_has_it_open_is_whole_at_once(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await saved(layer)
        await layer.files.set_attributes(ino, AttributeChanges(size=1), None)
        assert ino not in layer.unfinished


async def test_a_save_that_lasts_is_shown_as_it_is(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await saved(layer)
        _, _ = await layer.files.open(ino, os.O_WRONLY | os.O_TRUNC)
        layer.clock.slept += MAX_AGE_S
        assert ino not in layer.unfinished


async def test_what_is_left_after_the_last_close_ends_the_save_once_it_is_saved(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await saved(layer)
        handle, _ = await layer.files.open(ino, os.O_RDWR)
        await layer.files.write(handle, 0, b"through a map")
        layer.files.release(handle)
        assert ino in layer.unfinished
        while layer.unsaved.is_dirty(ino):
            await layer.clock.sleep(1)
        assert ino not in layer.unfinished
