"""Staging: nothing a mount put in leaves it unless it was released; prepared commits are kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from disk_fixture import PROJECT, ManualClock, Told, make_block, stage_early

from lucidnode.node.cache import staging as staging_module
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.cache.staging import STALE_NS, Staging
from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import Corrupt, NotThere, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.staging import (
    is_promised,
    make_durable,
    stage,
    stage_soon,
    staged_path,
)

OTHER = ProjectId("f" * 32)


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    with blockbuster_ctx("lucidnode.node"):
        yield


@contextlib.asynccontextmanager
async def opened(path: Path, limit: int = 1 << 20) -> AsyncIterator[tuple[Staging, DiskCache]]:
    clock = ManualClock()
    told: list[str] = []
    async with (
        DiskCache.open(CacheMark(path, None), limit, 0, clock, Told(told)) as cache,
        Staging.open(CacheMark(path, None), cache, clock) as staging,
    ):
        yield staging, cache
    assert told == []


async def mount_stages(path: Path, project: ProjectId = PROJECT, size: int = 4096) -> BlockId:
    """Do what a mount does, and return the block."""
    block, ciphertext = make_block(size)
    await asyncio.to_thread(stage_early, path / "staging", project, block, ciphertext)
    return block


def path_of(path: Path, block: BlockId) -> Path:
    return staged_path(path / "staging", PROJECT, block)


async def test_what_was_staged_before_the_start_is_found_in_the_order_it_was_written(
    tmp_path: Path,
) -> None:
    ids = [await mount_stages(tmp_path, size=100 + number) for number in range(5)]
    other = await mount_stages(tmp_path, OTHER)
    async with opened(tmp_path) as (staging, _):
        assert list(staging.held(PROJECT)) == ids
        assert [staged.size for staged in staging.held(PROJECT).values()] == [*range(100, 105)]
        assert list(staging.held(OTHER)) == [other]
        assert set(staging.projects()) == {PROJECT, OTHER}
        assert staging.total_bytes == sum(range(100, 105)) + 4096


async def test_what_is_staged_later_is_known_once_it_is_announced(tmp_path: Path) -> None:
    async with opened(tmp_path) as (staging, _):
        block = await mount_stages(tmp_path)
        assert await staging.read(PROJECT, block) is None
        await staging.note(PROJECT, [block, make_block()[0]])
        await staging.note(PROJECT, [block])
        assert list(staging.held(PROJECT)) == [block]
        assert staging.total_bytes == 4096
        content = await staging.read(PROJECT, block)
        assert content == path_of(tmp_path, block).read_bytes()
        assert await staging.read(OTHER, block) is None


async def test_a_released_block_moves_into_the_cache(tmp_path: Path) -> None:
    block = await mount_stages(tmp_path)
    content = path_of(tmp_path, block).read_bytes()
    async with opened(tmp_path) as (staging, cache):
        await staging.release(PROJECT, block)
        assert not path_of(tmp_path, block).exists()
        assert await cache.get(block) == content
        assert await staging.read(PROJECT, block) is None
        assert staging.total_bytes == 0
        assert staging.projects() == []


async def test_a_block_the_cache_cannot_keep_is_deleted_on_release(tmp_path: Path) -> None:
    block = await mount_stages(tmp_path)
    async with opened(tmp_path, limit=0) as (staging, cache):
        await staging.release(PROJECT, block)
        assert not path_of(tmp_path, block).exists()
        assert not cache.holds(block)


async def test_a_damaged_staged_block_is_never_handed_out_and_never_deleted(tmp_path: Path) -> None:
    block = await mount_stages(tmp_path)
    path_of(tmp_path, block).write_bytes(bytes(4096))
    async with opened(tmp_path) as (staging, _):
        assert await staging.read(PROJECT, block) is None
        with pytest.raises(Corrupt):
            await staging.load(PROJECT, block)
        await staging.scan()
        assert block in staging.held(PROJECT)
        assert path_of(tmp_path, block).exists()


async def test_a_vanished_block_is_not_there_and_a_scan_forgets_it(tmp_path: Path) -> None:
    block = await mount_stages(tmp_path)
    async with opened(tmp_path) as (staging, _):
        path_of(tmp_path, block).unlink()
        with pytest.raises(NotThere):
            await staging.load(PROJECT, block)
        await staging.scan()
        assert block not in staging.held(PROJECT)
        assert staging.total_bytes == 0


async def test_a_failing_disk_is_unavailable_and_not_a_missing_block(tmp_path: Path) -> None:
    block = await mount_stages(tmp_path)
    async with opened(tmp_path) as (staging, _):
        path_of(tmp_path, block).unlink()
        path_of(tmp_path, block).mkdir()  # reading it fails
        with pytest.raises(Unavailable, match="directory"):
            await staging.load(PROJECT, block)
        assert await staging.read(PROJECT, block) is None


async def test_a_scan_brings_nothing_back_that_is_released_meanwhile(tmp_path: Path) -> None:
    ids = [await mount_stages(tmp_path) for _ in range(100)]
    async with opened(tmp_path) as (staging, _):
        async with asyncio.TaskGroup() as tasks:
            for block in ids:
                tasks.create_task(staging.release(PROJECT, block))
                tasks.create_task(staging.scan())
                tasks.create_task(staging.note(PROJECT, ids))
        assert staging.projects() == []
        assert staging.total_bytes == 0
        assert list((tmp_path / "staging" / PROJECT).iterdir()) == []


async def test_a_long_scan_does_not_bring_back_what_is_released_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = await mount_stages(tmp_path)
    has_looked, is_gone = threading.Event(), threading.Event()
    look = staging_module._scan

    def slow(*arguments: Any) -> Any:
        found = look(*arguments)
        has_looked.set()
        is_gone.wait(0.5)  # as long as nothing may be released under it, in vain
        return found

    async with opened(tmp_path) as (staging, _), asyncio.TaskGroup() as tasks:
        monkeypatch.setattr(staging_module, "_scan", slow)
        scan = tasks.create_task(staging.scan())
        await asyncio.to_thread(has_looked.wait)
        discarded = tasks.create_task(staging.discard(PROJECT, block))
        discarded.add_done_callback(lambda _: is_gone.set())
        await scan
        await discarded
        assert staging.projects() == []
        assert staging.total_bytes == 0


async def test_half_written_files_are_removed_only_when_nobody_can_be_writing_them(
    tmp_path: Path,
) -> None:
    block = await mount_stages(tmp_path)
    directory = tmp_path / "staging" / PROJECT
    stale, fresh, foreign = directory / ".a.tmp", directory / ".b.tmp", directory / "notes.txt"
    for path in (stale, fresh, foreign):
        path.write_bytes(b"half")
    long_ago = fresh.stat().st_mtime_ns - STALE_NS - 10**9
    os.utime(stale, ns=(long_ago, long_ago))
    os.utime(foreign, ns=(long_ago, long_ago))
    (tmp_path / "staging" / "not a project").mkdir()
    (tmp_path / "staging" / "a file").write_bytes(b"")
    async with opened(tmp_path) as (staging, _):
        assert list(staging.held(PROJECT)) == [block]
        assert staging.projects() == [PROJECT]
    assert not stale.exists()
    assert fresh.exists()
    assert foreign.exists()


async def test_a_prepared_commit_survives_a_restart_until_it_is_discarded(tmp_path: Path) -> None:
    async with opened(tmp_path) as (staging, _):
        assert await staging.prepared() == {}
        await staging.prepare(PROJECT, b"first")
        await staging.prepare(PROJECT, b"second")
        await staging.prepare(OTHER, b"other")
    async with opened(tmp_path) as (staging, _):
        assert await staging.prepared() == {PROJECT: b"second", OTHER: b"other"}
        assert staging.projects() == []
        await staging.discard_prepared(PROJECT)
        await staging.discard_prepared(PROJECT)
        assert await staging.prepared() == {OTHER: b"other"}


def test_a_durable_write_replaces_all_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "new" / "entry"
    write_durably(target, b"one")
    write_durably(target, b"two")
    assert target.read_bytes() == b"two"
    assert target.stat().st_mode & 0o077 == 0
    assert [path.name for path in target.parent.iterdir()] == ["entry"]
    (tmp_path / "new" / "in the way").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_durably(tmp_path / "new" / "in the way", b"three")
    assert sorted(path.name for path in target.parent.iterdir()) == ["entry", "in the way"]


def test_a_block_staged_soon_is_promised_once_it_is_made_durable(tmp_path: Path) -> None:
    block, content = make_block()
    path = staged_path(tmp_path, PROJECT, block)
    stage_soon(tmp_path, PROJECT, block, content)
    assert path.read_bytes() == content
    assert not is_promised(path)
    make_durable(tmp_path, PROJECT, [block, make_block()[0]])
    assert is_promised(path)


def test_what_is_staged_whole_is_left_alone_and_what_a_crash_tore_is_written_again(
    tmp_path: Path,
) -> None:
    (whole, content), (torn, other) = make_block(), make_block()
    stage(tmp_path, PROJECT, whole, content)
    before = staged_path(tmp_path, PROJECT, whole).stat().st_ino
    stage_soon(tmp_path, PROJECT, whole, content)
    assert staged_path(tmp_path, PROJECT, whole).stat().st_ino == before
    assert is_promised(staged_path(tmp_path, PROJECT, whole))
    staged_path(tmp_path, PROJECT, torn).write_bytes(other[:100])
    stage_soon(tmp_path, PROJECT, torn, other)
    assert staged_path(tmp_path, PROJECT, torn).read_bytes() == other
