"""The block cache and staging on disks that fail: full, read-only, hanging, and killed processes.

Needs root: mounts small disks of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from disk_fixture import (
    PROJECT,
    FastClock,
    ManualClock,
    Told,
    break_disk,
    breakable_disk,
    fill_disk,
    make_block,
    small_disk,
)

from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.bucket.keys import block_key
from lucidnode.node.cache.arriving import ArrivingFiles
from lucidnode.node.cache.attachment import TIMEOUT_S
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.cache.staging import Staging
from lucidnode.node.cache.verified import verified
from lucidnode.node.client.errors import DiskFull
from lucidnode.node.client.ids import BlockId, ProjectId, parse_block_id
from lucidnode.node.client.staging import stage

MIB = 1 << 20
BLOCK = 256 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


@contextlib.asynccontextmanager
async def opened(
    path: Path, clock: ManualClock, told: list[str], limit: int = 64 * MIB, min_free: int = 0
) -> AsyncIterator[DiskCache]:
    async with DiskCache.open(CacheMark(path, None), limit, min_free, clock, Told(told)) as cache:
        yield cache


async def filled(cache: DiskCache, count: int) -> list[BlockId]:
    ids = []
    for _ in range(count):
        block, ciphertext = make_block(BLOCK)
        assert await cache.put(block, ciphertext)
        ids.append(block)
    return ids


async def test_a_full_disk_evicts_instead_of_failing(disk: Path) -> None:
    told: list[str] = []
    async with opened(disk / "cache", ManualClock(), told) as cache:
        ids = await filled(cache, 64)  # twice what the disk holds
        facts = cache.facts()
        held = [block for block in ids if cache.holds(block)]
        assert 20 <= facts.blocks < 32
        assert held == ids[-len(held) :]
        assert [await cache.get(block) is not None for block in held] == [True] * len(held)
        assert facts.evicted_blocks == 64 - facts.blocks
        assert cache.facts().working
    assert told == []


async def test_a_disk_filled_by_others_costs_the_cache_and_no_error(disk: Path) -> None:
    told: list[str] = []
    async with opened(disk / "cache", ManualClock(), told) as cache:
        ids = await filled(cache, 4)
        filler = await asyncio.to_thread(fill_disk, disk)
        assert [await cache.get(block) is not None for block in ids] == [True] * 4
        for _ in range(10):
            assert not await cache.put(*make_block(5 * BLOCK))
        assert all(map(cache.holds, ids)), "what could not make room was evicted"
        await filled(cache, 1)
        assert [cache.holds(block) for block in ids] == [False, False, True, True]
        filler.unlink()
        await filled(cache, 10)
        assert cache.facts().working
    assert told == []


async def test_the_cache_gives_way_to_writers_who_may_take_the_disk_down_to_min_free(
    disk: Path,
) -> None:
    told: list[str] = []
    min_free, room = 3 * MIB, 3 * MIB // 4
    async with opened(disk / "cache", ManualClock(), told, min_free=min_free) as cache:
        for number in range(8):
            for _ in range(20):
                await cache.put(*make_block(BLOCK))
            await cache.maintain_once()
            await cache.maintain_once()
            assert cache.facts().free >= min_free + room - 64 * 1024, "index and directories"
            if number < 4:
                assert cache.facts().blocks > 0
                await asyncio.to_thread((disk / f"staged {number}").write_bytes, bytes(room))
        assert cache.facts().evicted_blocks > 10
    assert told == []


async def test_a_node_starts_on_a_full_disk_and_caches_once_there_is_room(disk: Path) -> None:
    told: list[str] = []
    clock = ManualClock()
    filler = await asyncio.to_thread(fill_disk, disk)
    async with opened(disk / "cache", clock, told) as cache:
        assert not cache.facts().working
        assert len(told) == 1
        assert "No space left" in told[0] or "full" in told[0]
        block, ciphertext = make_block(BLOCK)
        assert await cache.get(block) is None
        assert not await cache.put(block, ciphertext)
        filler.unlink()
        clock.now += 1
        await cache.maintain_once()
        assert await cache.put(block, ciphertext)
        assert await cache.get(block) == ciphertext


async def test_a_disk_that_turned_read_only_is_still_read(tmp_path: Path) -> None:
    told: list[str] = []
    clock = ManualClock()
    at = tmp_path / "disk"
    with breakable_disk(at):
        async with opened(at / "cache", clock, told) as cache:
            ids = await filled(cache, 4)
            await asyncio.to_thread(break_disk, at)
            for _ in range(4):
                assert not await cache.put(*make_block(BLOCK))
            assert len(set(told)) == 1
            assert "Read-only" in told[0]
            assert not cache.facts().working
            for _ in range(5):
                assert [await cache.get(block) is not None for block in ids] == [True] * 4
                clock.now += 60
                await cache.maintain_once()
            assert not await cache.put(*make_block(BLOCK))
            assert len(set(told)) == 1


async def test_a_disk_that_was_replaced_is_used_from_its_next_probe_on(tmp_path: Path) -> None:
    told: list[str] = []
    clock = ManualClock()
    at = tmp_path / "disk"
    with breakable_disk(at):
        async with opened(at / "cache", clock, told) as cache:
            old = await filled(cache, 4)
            await asyncio.to_thread(break_disk, at)
            with small_disk(at):
                for _ in range(3):
                    assert not await cache.put(*make_block(BLOCK))
                clock.now += 60
                await cache.maintain_once()
                assert cache.facts().working
                assert not any(map(cache.holds, old))
                await filled(cache, 4)


@contextlib.contextmanager
def hanging_reads(path: Path) -> Iterator[Path]:
    """Have whoever opens *path* for reading wait for a writer; in the end nobody waits any more.

    A FIFO does so, as a dead network disk has its readers wait for its server. A thread that waits
    for ever would keep pytest from its end.
    """
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):  # he who waited is through, and removed it
            os.close(os.open(path, os.O_RDWR))  # waits for nobody, and lets both openers go on


async def test_a_hanging_disk_costs_one_deadline_and_then_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    clock = ManualClock()
    async with opened(tmp_path, clock, told) as cache:
        hanging, good = await filled(cache, 2)
        block, ciphertext = make_block(BLOCK)
        with (
            hanging_reads(cache.path(hanging)),
            hanging_reads(ArrivingFiles(tmp_path / "arriving").path(block)) as scratch,
        ):
            began = asyncio.get_running_loop().time()
            async with asyncio.TaskGroup() as tasks:
                getting = tasks.create_task(cache.get(hanging))
                putting = tasks.create_task(cache.put(block, ciphertext))
            assert getting.result() is None
            assert not putting.result()
            waited = asyncio.get_running_loop().time() - began
            assert TIMEOUT_S <= waited < 2 * TIMEOUT_S
            assert "no answer" in told[0]
            began = asyncio.get_running_loop().time()
            assert await cache.get(good) is None
            assert not cache.holds(good)
            assert asyncio.get_running_loop().time() - began < TIMEOUT_S
            os.close(os.open(cache.path(hanging), os.O_WRONLY))  # the disk answers at last
            await asyncio.to_thread(scratch.read_bytes)
        clock.now += 1
        await cache.maintain_once()
        assert cache.facts().working
        assert await cache.get(good) is not None


WRITER = """
import asyncio, os, sys
from pathlib import Path
from lucidnode.node.cache.verified import block_id
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import SystemClock

async def fill(cache, kept):
    while True:
        ciphertext = os.urandom(1 + int.from_bytes(os.urandom(2), "big"))
        block = block_id(ciphertext)
        if await cache.put(block, ciphertext):
            os.write(kept, block.hex().encode() + b"\\n")

async def main():
    kept = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    clock = SystemClock()
    mark = CacheMark(Path(sys.argv[1]), None)
    async with DiskCache.open(mark, 4 << 20, 0, clock, Alerts(clock)) as cache:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(cache.maintain())
            for _ in range(4):
                tasks.create_task(fill(cache, kept))

asyncio.run(main())
"""


def block_files(cache: Path) -> dict[str, int]:
    return {
        file.name: file.stat().st_size for file in (cache / "blocks").rglob("*") if file.is_file()
    }


ROUND_BYTES = 40 * 65
"""Of the list of what is kept: four rounds of 40 blocks are more than the cache holds."""


def write_until_killed(cache: Path, kept: Path, seconds: float) -> None:
    """Have a real process write into the cache, evicting all the time, and kill it meanwhile."""
    with subprocess.Popen([sys.executable, "-P", "-c", WRITER, cache, kept]) as writer:
        before = kept.stat().st_size if kept.exists() else 0
        with contextlib.suppress(subprocess.TimeoutExpired):
            writer.wait(seconds)
        while not kept.exists() or kept.stat().st_size < before + ROUND_BYTES:
            with contextlib.suppress(subprocess.TimeoutExpired):
                writer.wait(0.05)
            assert writer.returncode is None
        writer.kill()
    assert writer.returncode == -9


@pytest.mark.slow
async def test_after_kill_9_books_and_disk_agree_and_every_block_is_whole(tmp_path: Path) -> None:
    path, kept = tmp_path / "cache", tmp_path / "kept"
    told: list[str] = []
    for seconds in (0.6, 1.7, 0.9, 0.7):
        await asyncio.to_thread(write_until_killed, path, kept, seconds)
        (path / "incoming" / "torn").write_bytes(b"as if killed while writing this")
        before = await asyncio.to_thread(block_files, path)
        async with opened(path, ManualClock(), told, limit=4 * MIB) as cache:
            after = await asyncio.to_thread(block_files, path)
            facts = cache.facts()
            assert facts.blocks == len(after)
            assert facts.bytes == sum(-(-size // 4096) * 4096 for size in after.values())
            assert facts.bytes <= 4 * MIB
            assert after == before  # nothing that was whole is lost either
            assert list((path / "incoming").iterdir()) == []
            for name in after:
                assert await cache.get(BlockId(bytes.fromhex(name))) is not None
            newest = kept.read_text().split()[-1]
            assert cache.holds(BlockId(bytes.fromhex(newest)))
            assert cache.facts().corrupt_blocks == 0
    assert len(kept.read_text().split()) > 4 * MIB / 65536 * 2, "it never evicted"
    assert told == []


class NoCache:
    """Takes nothing over."""

    async def adopt(self, block: BlockId, staged: Path, size: int) -> None:
        """Leave the file where it is."""


def stage_until_full(directory: Path) -> dict[BlockId, bytes]:
    staged: dict[BlockId, bytes] = {}
    while True:
        block, ciphertext = make_block(BLOCK)
        try:
            stage(directory, PROJECT, block, ciphertext)
        except DiskFull:
            return staged
        staged[block] = ciphertext


async def test_staging_on_a_full_disk_says_so_and_keeps_what_it_had(disk: Path) -> None:
    async with Staging.open(CacheMark(disk, None), NoCache(), ManualClock()) as staging:
        first = b"the commit that was prepared first"
        await staging.prepare(PROJECT, first)
        staged = await asyncio.to_thread(stage_until_full, staging.directory)
        assert len(staged) > 20
        await asyncio.to_thread(fill_disk, disk)
        with pytest.raises(DiskFull):
            await staging.prepare(PROJECT, bytes(5 * 4096))
        await staging.scan()
        assert staging.held(PROJECT).keys() == staged.keys()
        for block, ciphertext in staged.items():
            assert await staging.read(PROJECT, block) == ciphertext
        assert await staging.prepared() == {PROJECT: first}
        names = [path.name for path in (staging.directory / PROJECT).iterdir()]
        assert [name for name in names if name.endswith(".tmp")] == []


UPLOADER = """
import asyncio, os, sys
from pathlib import Path
from lucidnode.node.cache.verified import block_id
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.staging import stage
from lucidnode.node.blocks.uploads import Uploads

class SlowBucket:
    def __init__(self, objects):
        self.objects = objects

    async def put(self, key, body):
        await asyncio.sleep(0.02)
        await asyncio.to_thread((self.objects / key.replace("/", "_")).write_bytes, body)

    async def size(self, key):
        return None

async def main():
    path, objects, project = Path(sys.argv[1]), Path(sys.argv[2]), ProjectId(sys.argv[3])
    clock = SystemClock()
    async with (
        DiskCache.open(CacheMark(path, None), 1 << 30, 0, clock, Alerts(clock)) as cache,
        Staging.open(CacheMark(path, None), cache, clock) as staging,
        asyncio.TaskGroup() as tasks,
    ):
        async def offer(project, block, ciphertext): pass
        uploads = Uploads(staging=staging, bucket=SlowBucket(objects), offer=offer,
            on_uploaded=uploads_committed, alerts=Alerts(clock), clock=clock, jitter=lambda: 0.5)
        uploads_committed.uploads = uploads
        tasks.create_task(uploads.run())
        while True:
            ciphertext = os.urandom(65536)
            block = block_id(ciphertext)
            await asyncio.to_thread(stage, staging.directory, project, block, ciphertext)
            print(block.hex(), flush=True)  # acknowledged
            await uploads.add(project, [block])

def uploads_committed(project, blocks):
    uploads_committed.uploads.committed(project, blocks)

asyncio.run(main())
"""


def upload_until_killed(path: Path, objects: Path) -> list[BlockId]:
    """Have a real process stage and upload, kill it meanwhile, and return what it acknowledged."""
    command = [sys.executable, "-P", "-c", UPLOADER, str(path), str(objects), PROJECT]
    acknowledged = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as uploader:
        assert uploader.stdout is not None
        for line in uploader.stdout:
            acknowledged.append(parse_block_id(line.strip()))
            if len(acknowledged) == 150:
                uploader.kill()
    assert uploader.returncode == -9
    return acknowledged


class Objects:
    """A bucket that works, over the directory that the killed process uploaded to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def put(self, key: str, body: bytes) -> None:
        path = self._directory / key.replace("/", "_")
        await asyncio.to_thread(path.write_bytes, body)

    async def size(self, key: str) -> int | None:
        path = self._directory / key.replace("/", "_")
        return path.stat().st_size if path.exists() else None


async def offer_nobody(project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
    """Do without an office."""


@pytest.mark.slow
async def test_kill_9_during_uploads_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path, objects = tmp_path / "cache", tmp_path / "objects"
    objects.mkdir()
    acknowledged = await asyncio.to_thread(upload_until_killed, path, objects)
    uploaded_before = len(list(objects.iterdir()))
    assert uploaded_before > 0, "it was killed before it uploaded"
    told: list[str] = []
    clock = FastClock()
    async with (
        DiskCache.open(CacheMark(path, None), 1 << 30, 0, clock, Told(told)) as cache,
        Staging.open(CacheMark(path, None), cache, clock) as staging,
        asyncio.TaskGroup() as tasks,
    ):
        assert staging.total_bytes > 0, "it was killed when all was uploaded"
        uploads = Uploads(
            staging=staging,
            bucket=Objects(objects),
            offer=offer_nobody,
            on_uploaded=lambda project, blocks: None,
            alerts=Told(told),
            clock=clock,
            jitter=lambda: 0.5,
        )
        running = tasks.create_task(uploads.run())
        await uploads.wait_for(PROJECT, acknowledged)
        for block in acknowledged:
            stored = objects / block_key(PROJECT, block).replace("/", "_")
            verified(block, await asyncio.to_thread(stored.read_bytes))
        running.cancel()
    assert told == []
