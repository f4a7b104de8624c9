"""A cache directory that is not there, or is another one, is replaced by nobody in silence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest
from blockbuster import blockbuster_ctx
from disk_fixture import PROJECT, ManualClock, make_block

from lucidnode.fs.write.staging_budget import StagingBudget
from lucidnode.node.blocks.arrivals import Arrivals
from lucidnode.node.blocks.bad_objects import BadObjects
from lucidnode.node.blocks.fetch import BlockSource, Fetched
from lucidnode.node.blocks.for_mounts import BlocksForMounts
from lucidnode.node.blocks.indexers import IndexerRules, Indexers
from lucidnode.node.blocks.restored_blocks import RestoredBlocks
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.mark import CacheMark, check_fit, take
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import NotThere, Refused, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.staging import STAGING, stage, stage_soon


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    with blockbuster_ctx("lucidnode.node"):
        yield


class Node:
    """Cache and staging of one node, and its alerts."""

    def __init__(self, mark: CacheMark) -> None:
        self.mark = mark
        self.clock = ManualClock()
        self.alerts = Alerts(self.clock)
        self.cache: DiskCache
        self.staging: Staging

    def told(self) -> list[str]:
        return [f"{alert.cause} {alert.remedy}" for alert in self.alerts.current()]

    async def reload(self) -> None:
        self.clock.now += 120
        await self.cache.maintain_once()


@contextlib.asynccontextmanager
async def running(mark: CacheMark) -> AsyncIterator[Node]:
    node = Node(mark)
    async with (
        DiskCache.open(mark, 1 << 20, 0, node.clock, node.alerts) as node.cache,
        Staging.open(mark, node.cache, node.clock) as node.staging,
    ):
        yield node


@pytest.fixture
def mark(tmp_path: Path) -> CacheMark:
    """Return a marked cache on a disk of its own: the directory above it is where that is mounted."""
    directory = tmp_path / "disk" / "cache"
    return CacheMark(directory, take(directory))


@contextlib.contextmanager
def not_mounted(mark: CacheMark) -> Iterator[Path]:
    """Have an empty directory in place of the disk; yield that."""
    disk = mark.directory.parent
    elsewhere = disk.with_name("disk, elsewhere")
    disk.rename(elsewhere)
    disk.mkdir()
    yield disk
    disk.rmdir()  # which fails if anything was put there
    elsewhere.rename(disk)


def test_a_mark_is_made_once(tmp_path: Path) -> None:
    assert take(tmp_path / "new") == take(tmp_path / "new") != take(tmp_path / "other")


async def test_without_its_disk_a_node_runs_says_so_and_goes_on_once_it_is_there(
    mark: CacheMark, expected_warnings: list[str]
) -> None:
    expected_warnings.append("its disk is not mounted")
    block, ciphertext = make_block()
    unsent, content = make_block()
    async with running(mark) as node:
        assert await node.cache.put(block, ciphertext)
        await asyncio.to_thread(stage, mark.directory / STAGING, PROJECT, unsent, content)
    with not_mounted(mark):
        async with running(mark) as node:
            assert await node.cache.get(block) is None
            assert not await node.cache.put(*make_block())
            assert node.staging.projects() == []
            with pytest.raises(Unavailable, match="missing"):
                await node.staging.prepare(PROJECT, b"a commit")
            with pytest.raises(Unavailable, match="missing"):
                await node.staging.note(PROJECT, [unsent])
            await node.reload()
            [said] = node.told()
            assert str(mark.directory) in said
            assert "`lucidnode cache adopt" in said
    async with contextlib.AsyncExitStack() as stack:
        with not_mounted(mark):
            node = await stack.enter_async_context(running(mark))
        await node.reload()
        await node.staging.scan()
        assert await node.cache.get(block) == ciphertext
        assert await node.staging.read(PROJECT, unsent) == content
        assert node.told() == []


async def test_a_cache_that_goes_while_it_is_used_is_not_begun_anew(
    mark: CacheMark, expected_warnings: list[str]
) -> None:
    expected_warnings += ["its disk is not mounted", "was removed"]
    async with running(mark) as node:
        block, ciphertext = make_block()
        assert await node.cache.put(block, ciphertext)
        with not_mounted(mark):
            assert await node.cache.get(block) is None
            assert not await node.cache.put(*make_block())
            await node.reload()
            await node.reload()
            assert "is missing" in node.told()[0]
        await node.reload()
        assert await node.cache.get(block) == ciphertext
        assert node.told() == []


async def test_another_cache_in_its_place_is_left_alone(
    mark: CacheMark, expected_warnings: list[str]
) -> None:
    expected_warnings += ["its disk is not mounted"]
    other = CacheMark(mark.directory, "0" * 32)
    async with running(other) as node:
        assert not await node.cache.put(*make_block())
        assert "another one is there" in node.told()[0]
    assert [path.name for path in mark.directory.iterdir()] == ["cache.id"]


@pytest.mark.parametrize("put", [stage, stage_soon])
async def test_a_mount_stages_nothing_where_the_disk_of_the_cache_should_be(
    mark: CacheMark, put: object
) -> None:
    block, ciphertext = make_block()
    staging = mark.directory / STAGING
    with not_mounted(mark), ThreadPoolExecutor(1) as disk:
        with pytest.raises(FileNotFoundError, match=r"cache directory .* is missing"):
            await asyncio.to_thread(put, staging, PROJECT, block, ciphertext)  # type: ignore[arg-type]  # one of two
        room = StagingBudget(staging, 1 << 20, 0, ManualClock(), disk)
        with pytest.raises(FileNotFoundError, match=r"cache directory .* is missing"):
            await room.admit(len(ciphertext))


class OnlyTheBucket:
    """A source that has lost the cache: the bucket knows no block."""

    async def fetch(self, project: ProjectId, block: BlockId) -> Fetched:
        raise NotThere(block.hex())


async def test_the_bucket_is_not_blamed_for_what_waits_on_a_missing_disk(
    mark: CacheMark, expected_warnings: list[str]
) -> None:
    expected_warnings += ["its disk is not mounted"]

    async def ask(node: Node) -> None:
        source = cast("BlockSource", OnlyTheBucket())
        blocks = BlocksForMounts(
            source,
            node.cache,
            node.staging,
            cast("Uploads", None),
            cast("RestoredBlocks", None),
            cast("BadObjects", None),
            Arrivals(ManualClock(), lambda _source, _size: None),
            lambda: False,
            Indexers(lambda: IndexerRules((), None, None), ManualClock()),
        )
        await blocks.obtain(PROJECT, make_block()[0], patience_s=1, as_bytes=False)

    async with running(mark) as node:
        with pytest.raises(NotThere):
            await ask(node)
    with not_mounted(mark):
        async with running(mark) as node:
            with pytest.raises(Refused, match=r"cache directory .* is missing"):
                await ask(node)


def test_a_directory_with_other_things_in_it_is_not_taken(tmp_path: Path, mark: CacheMark) -> None:
    check_fit(tmp_path / "missing")
    check_fit(mark.directory)
    (mark.directory.parent / "thesis.tex").touch()
    mark.directory.rename(tmp_path / "elsewhere")
    with pytest.raises(Refused, match=r"thesis\.tex"):
        check_fit(mark.directory.parent)
