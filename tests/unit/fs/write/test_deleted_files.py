"""What is deleted before it is uploaded costs no upload, and nothing that is needed goes with it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from file_layer_fixture import BLOCK, PROJECT, FileLayer, file_layer

from lucidnode.fs.replica.inode import ROOT
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId


async def saved(layer: FileLayer, name: bytes, content: bytes) -> None:
    _, handle = await layer.create(name)
    await layer.files.write(handle, 0, content)
    await layer.files.flush(handle)
    layer.files.release(handle)


def staged(home: Path) -> set[str]:
    return {path.name for path in (home / "staging" / PROJECT).iterdir()}


async def test_a_deleted_file_leaves_nothing_in_staging(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        await saved(layer, b"kept", os.urandom(3 * BLOCK))
        kept = staged(tmp_path)
        await saved(layer, b"scratch", os.urandom(8 * BLOCK))
        assert len(staged(tmp_path)) == 11
        layer.files.unlink(ROOT, b"scratch")
        await layer.deleted_files.look()
        assert staged(tmp_path) == kept
        assert len(layer.daemon.withdrawn) == 8
        assert set(layer.daemon.unneeded) == set(layer.daemon.withdrawn)
        assert layer.replica.deleted.blocks() == []
        await layer.deleted_files.look()
        assert len(layer.daemon.withdrawn) == 8, "what is settled is told again"


async def test_blocks_of_a_file_that_goes_before_it_is_saved_go_as_well(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        ino, handle = await layer.create(b"scratch")
        await layer.files.write(handle, 0, os.urandom(4 * BLOCK))
        while len(staged(tmp_path)) < 4 or layer.unsaved.size_of(ino) > 4 * BLOCK:
            await layer.clock.sleep(1)
        await layer.deleted_files.look()
        assert len(staged(tmp_path)) == 4, "a file that is open needs its blocks"
        await layer.writer.truncate(ino, BLOCK)
        await layer.deleted_files.look()
        assert len(staged(tmp_path)) == 1
        layer.files.unlink(ROOT, b"scratch")
        await layer.deleted_files.look()
        assert len(staged(tmp_path)) == 1
        layer.files.release(handle)
        await layer.deleted_files.look()
        assert staged(tmp_path) == set()


async def test_what_another_file_holds_stays(tmp_path: Path) -> None:
    content = os.urandom(2 * BLOCK)
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        await saved(layer, b"scratch", content)
        await saved(layer, b"twin", content)
        layer.files.unlink(ROOT, b"scratch")
        await layer.deleted_files.look()
        assert len(staged(tmp_path)) == 2
        found = layer.replica.tree.lookup(ROOT, b"twin")
        assert found is not None
        assert await layer.contents(found.ino) == content


@pytest.mark.parametrize("named", [False, True])
async def test_a_block_that_is_written_again_while_it_is_let_go_stays_and_is_uploaded(
    tmp_path: Path, *, named: bool
) -> None:
    """Written, though not saved yet, is enough."""
    content = os.urandom(BLOCK)
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        await saved(layer, b"scratch", content)
        layer.files.unlink(ROOT, b"scratch")
        told = layer.daemon.withdraw
        handles = []

        async def written_meanwhile(project: ProjectId, blocks: Sequence[BlockId]) -> None:
            await told(project, blocks)
            ino, handle = await layer.create(b"again")
            await layer.files.write(handle, 0, content)
            while not layer.unsaved.staged_extents(ino, 0, BLOCK):
                await layer.clock.sleep(1)
            if named:
                await layer.files.flush(handle)
            handles.append(handle)
            layer.daemon.uploads = True

        layer.daemon.withdraw = written_meanwhile  # type: ignore[method-assign]  # of this test
        await layer.deleted_files.look()
        assert layer.daemon.unneeded == []
        while staged(tmp_path):
            await layer.clock.sleep(1)  # it is announced again
        assert len(list((tmp_path / "bucket").iterdir())) == 1
        await layer.files.flush(handles[0])
        found = layer.replica.tree.lookup(ROOT, b"again")
        assert found is not None
        assert await layer.contents(found.ino) == content


async def test_while_the_daemon_is_away_nothing_is_deleted_and_all_of_it_later(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        layer.daemon.unavailable = True
        await saved(layer, b"scratch", os.urandom(2 * BLOCK))
        layer.files.unlink(ROOT, b"scratch")
        await layer.deleted_files.look()
        assert len(staged(tmp_path)) == 2
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        await layer.deleted_files.look()
        assert staged(tmp_path) == set()


async def test_nothing_is_deleted_that_a_power_cut_could_bring_back(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        await saved(layer, b"scratch", os.urandom(2 * BLOCK))
        layer.files.unlink(ROOT, b"scratch")

        async def refused() -> None:
            raise Unavailable("the disk does not sync")

        layer.deleted_files._durability_wait = refused
        await layer.deleted_files.look()
        assert len(staged(tmp_path)) == 2
        assert layer.daemon.withdrawn == []


async def test_a_block_that_is_on_its_way_into_staging_is_waited_for(tmp_path: Path) -> None:
    """Only then is it known what needs it."""
    content = os.urandom(BLOCK)
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        await saved(layer, b"scratch", content)
        layer.files.unlink(ROOT, b"scratch")
        stager = layer.deleted_files._stager
        told = layer.daemon.withdraw

        async def staging_begins(project: ProjectId, blocks: Sequence[BlockId]) -> None:
            await told(project, blocks)
            _, handle = await layer.create(b"again")
            await layer.files.write(handle, 0, content)
            while not set(blocks) & stager._under_way.keys():
                await asyncio.sleep(0)

        layer.daemon.withdraw = staging_begins  # type: ignore[method-assign]  # of this test
        await layer.deleted_files.look()
        assert len(staged(tmp_path)) == 1
