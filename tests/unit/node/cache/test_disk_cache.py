"""The block cache on an ordinary disk: misses instead of errors, a hard limit, one owner."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from disk_fixture import PROJECT, ManualClock, Told, make_block, stage_early

from lucidnode.node.cache import attachment
from lucidnode.node.cache.arriving import ArrivingFiles
from lucidnode.node.cache.directory import CacheDirectory
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.client.breaker import MAX_PAUSE_S
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Refused, Unavailable
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.staging import FETCHED, cached_path, staged_path

BLOCK = 4096
LIMIT = 10 * BLOCK


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    with blockbuster_ctx("lucidnode.node"):
        yield


@contextlib.asynccontextmanager
async def opened(
    path: Path,
    *,
    limit: int = LIMIT,
    min_free: int = 0,
    clock: Clock | None = None,
    told: list[str] | None = None,
) -> AsyncIterator[DiskCache]:
    """Open a cache; an alert that nobody asked for fails the test."""
    unasked: list[str] = []
    alerts = Told(unasked if told is None else told)
    async with DiskCache.open(
        CacheMark(path, None), limit, min_free, clock or ManualClock(), alerts
    ) as cache:
        yield cache
    assert unasked == []


async def filled(cache: DiskCache, count: int) -> list[BlockId]:
    ids = []
    for _ in range(count):
        block, ciphertext = make_block(BLOCK)
        assert await cache.put(block, ciphertext)
        ids.append(block)
    return ids


def files_in(path: Path) -> dict[str, int]:
    """Return name and size of every block file."""
    return {
        file.name: file.stat().st_size for file in (path / "blocks").rglob("*") if file.is_file()
    }


def empty(directory: Path) -> None:
    """Remove all that is in *directory*."""
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


async def test_a_block_comes_back_as_it_was_put(tmp_path: Path) -> None:
    async with opened(tmp_path) as cache:
        for size in (0, 1, BLOCK, 3 * BLOCK + 7):
            block, ciphertext = make_block(size)
            assert not cache.holds(block)
            assert await cache.get(block) is None
            assert await cache.put(block, ciphertext)
            assert cache.holds(block)
            assert await cache.get(block) == ciphertext
            assert await asyncio.to_thread(cache.path(block).read_bytes) == ciphertext


async def test_a_cache_that_closes_says_nothing_of_reads_that_had_not_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.TaskGroup() as readers, opened(tmp_path, limit=1 << 20) as cache:
        block, ciphertext = make_block(1 << 19)
        assert await cache.put(block, ciphertext)
        reads = [readers.create_task(cache.get(block)) for _ in range(500)]
        await asyncio.sleep(0)
    assert any(read.cancelled() for read in reads)
    assert caplog.record_tuples == []


async def test_the_layout_is_the_one_mounts_read(tmp_path: Path) -> None:
    async with opened(tmp_path) as cache:
        (block,) = await filled(cache, 1)
        assert cache.path(block) == cached_path(cache.blocks_dir, block)
        assert cache.blocks_dir == tmp_path / "blocks"
        modes = [tmp_path / "blocks", cache.path(block).parent]
        assert [path.stat().st_mode & 0o077 for path in modes] == [0, 0]


async def test_a_limit_that_is_lowered_lets_the_oldest_go_and_holds_from_then_on(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as cache:
        ids = await filled(cache, 10)
        cache.resize(4 * BLOCK, 0)
        ids += await filled(cache, 1)  # changes come to pass in their order
        assert [cache.holds(block) for block in ids] == [False] * 7 + [True] * 4
        assert len(files_in(tmp_path)) == 4
        assert cache.facts().limit == 4 * BLOCK
        cache.resize(LIMIT, 0)
        await filled(cache, 6)
        assert len(files_in(tmp_path)) == 10


async def test_the_least_recently_used_goes_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "lucidnode")
    async with opened(tmp_path) as cache:
        ids = await filled(cache, 10)
        assert await cache.get(ids[0]) is not None  # used by the daemon
        cache.touch([ids[1], BlockId(bytes(32))])  # used by a mount, which also asks too late
        await filled(cache, 3)
        assert [n for n, block in enumerate(ids) if not cache.holds(block)] == [2, 3, 4]
        assert cache.facts().evicted_blocks == 3
        assert f"evict for an arrival: 1 blocks, first {ids[2].hex()[:8]}" in caplog.text


async def test_the_disk_never_holds_more_than_the_limit_however_puts_overlap(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as cache:
        for round_ in range(12):
            async with asyncio.TaskGroup() as tasks:
                for number in range(7):
                    size = 1 + (round_ * 7 + number) * 1373 % (3 * BLOCK)
                    tasks.create_task(cache.put(*make_block(size)))
                    await asyncio.sleep(0)
                    assert cache.facts().bytes <= LIMIT
            on_disk = [-(-size // 4096) * 4096 for size in files_in(tmp_path).values()]
            assert 0 < sum(on_disk) == cache.facts().bytes <= LIMIT
        assert cache.facts().evicted_blocks > 40


async def test_a_block_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as cache:
        ids = await filled(cache, 3)
        assert not await cache.put(*make_block(LIMIT + 1))
        assert all(map(cache.holds, ids))


async def test_a_restart_keeps_blocks_order_and_sizes(tmp_path: Path) -> None:
    async with opened(tmp_path) as cache:
        ids = await filled(cache, 10)
        cache.touch([ids[0]])
        before = cache.facts().bytes
    async with opened(tmp_path) as cache:
        assert cache.facts().bytes == before
        assert all(map(cache.holds, ids))
        await filled(cache, 1)
        assert [n for n, block in enumerate(ids) if not cache.holds(block)] == [1]


async def test_a_smaller_limit_takes_effect_at_the_next_start(tmp_path: Path) -> None:
    async with opened(tmp_path) as cache:
        ids = await filled(cache, 10)
    async with opened(tmp_path, limit=4 * BLOCK) as cache:
        assert [n for n, block in enumerate(ids) if cache.holds(block)] == [6, 7, 8, 9]
    assert len(files_in(tmp_path)) == 4


def flip_a_bit(content: bytes) -> bytes:
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: bytes(len(content)),
        lambda content: b"",
        lambda content: content + bytes(20 << 20),
    ],
    ids=["bit flip", "cut short", "extended", "zeros", "empty", "endless"],
)
async def test_a_damaged_block_is_dropped_counted_and_reported_as_not_held(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    told: list[str] = []
    async with opened(tmp_path, told=told) as cache:
        good, bad = await filled(cache, 2)
        content = await asyncio.to_thread(cache.path(bad).read_bytes)
        await asyncio.to_thread(cache.path(bad).write_bytes, damage(content))
        assert await cache.get(bad) is None
        assert not cache.holds(bad)
        await cache.maintain_once()  # behind the deletion in the same queue
        assert not cache.path(bad).exists()
        assert cache.facts().corrupt_blocks == 1
        assert len(told) == 1
        assert bad.hex() in told[0]
        assert await cache.get(good) is not None
        assert await cache.put(bad, content)
        assert await cache.get(bad) == content


async def test_swapped_files_are_both_misses(tmp_path: Path) -> None:
    told: list[str] = []
    async with opened(tmp_path, told=told) as cache:
        a, b = (cache.path(block) for block in await filled(cache, 2))
        contents = a.read_bytes(), b.read_bytes()
        b.write_bytes(contents[0])
        a.write_bytes(contents[1])
        for block in (BlockId(bytes.fromhex(path.name)) for path in (a, b)):
            assert await cache.get(block) is None
    assert len(told) == 2


async def test_a_vanished_file_is_a_miss_and_no_trouble(tmp_path: Path) -> None:
    async with opened(tmp_path) as cache:
        (block,) = await filled(cache, 1)
        cache.path(block).unlink()
        assert await cache.get(block) is None
        assert not cache.holds(block)
        assert cache.facts().bytes == 0


async def test_removing_the_contents_of_the_directory_costs_only_misses(tmp_path: Path) -> None:
    async with opened(tmp_path) as cache:
        ids = await filled(cache, 5)
        empty(tmp_path)
        assert [await cache.get(block) for block in ids] == [None] * 5
        again = await filled(cache, 3)
    async with opened(tmp_path) as cache:
        assert [await cache.get(block) is not None for block in again] == [True] * 3


async def test_removing_the_directory_switches_the_cache_off_until_it_is_made_anew(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    path, clock = tmp_path / "cache", ManualClock()
    async with opened(path, clock=clock, told=told) as cache:
        ids = await filled(cache, 5)
        shutil.rmtree(path)
        assert not await cache.put(*make_block())
        assert not cache.facts().working
        assert len(told) == 1
        assert str(path) in told[0]
        clock.now += 1
        await cache.maintain_once()
        assert cache.facts().working
        assert not any(map(cache.holds, ids))
        assert cache.facts().blocks == 0
        again = await filled(cache, 3)
        # The new directory is locked like the old one was.
        with pytest.raises(Refused, match="another node daemon"):
            await asyncio.to_thread(CacheDirectory.open, CacheMark(path, None), "boot")
    async with opened(path) as cache:
        assert [await cache.get(block) is not None for block in again] == [True] * 3


async def test_a_directory_that_others_took_over_is_left_to_them(tmp_path: Path) -> None:
    told: list[str] = []
    path, clock = tmp_path / "cache", ManualClock()
    async with opened(path, clock=clock, told=told) as evicted:
        await filled(evicted, 1)
        shutil.rmtree(path)
        async with opened(path) as theirs:
            await filled(theirs, 1)
            for _ in range(5):
                assert not await evicted.put(*make_block())
                clock.now += 60
                await evicted.maintain_once()
            assert not evicted.facts().working
            assert len(files_in(path)) == 1
        clock.now += 60
        await evicted.maintain_once()
        assert evicted.facts().working
        assert evicted.facts().blocks == 1
    assert told


HOLDER = """
import asyncio, sys
from pathlib import Path
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.client.clock import SystemClock

async def main():
    async with DiskCache.open(CacheMark(Path(sys.argv[1]), None), 1 << 20, 0, SystemClock(), print):
        print("open", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextlib.contextmanager
def held_by_another_process(path: Path) -> Iterator[None]:
    """Have a real process open the cache in *path*; kill it in the end."""
    command = [sys.executable, "-P", "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        yield
        holder.kill()


async def test_a_second_daemon_is_refused_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    refused = pytest.raises(Refused, match="another node daemon uses the cache directory")
    with held_by_another_process(tmp_path), refused:
        async with opened(tmp_path):
            pass
    async with opened(tmp_path) as cache:
        await filled(cache, 1)


async def test_a_path_that_is_no_directory_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    told: list[str] = []
    with pytest.raises(Refused, match="Not a directory"):
        async with opened(tmp_path / "file" / "cache", told=told):
            pass


async def test_an_adopted_file_moves_in(tmp_path: Path) -> None:
    block, ciphertext = make_block()
    staged = tmp_path / "staged"
    staged.write_bytes(ciphertext)
    async with opened(tmp_path / "cache") as cache:
        await cache.adopt(block, staged, len(ciphertext))
        assert cache.holds(block)
        assert await cache.get(block) == ciphertext
        assert not staged.exists()


async def test_a_file_says_whether_its_block_came_over_the_network(tmp_path: Path) -> None:
    written, ciphertext = make_block(BLOCK)
    await asyncio.to_thread(stage_early, tmp_path / "staging", PROJECT, written, ciphertext)
    async with opened(tmp_path / "cache") as cache:
        await cache.adopt(written, staged_path(tmp_path / "staging", PROJECT, written), BLOCK)
        came, ciphertext = make_block(BLOCK)
        await cache.put(came, ciphertext)
        for block, is_fetched in ((came, True), (written, False)):
            found = await asyncio.to_thread(cache.path(block).stat)
            assert (stat.S_IMODE(found.st_mode) == FETCHED) == is_fetched


async def test_a_file_that_cannot_be_adopted_stays_and_is_no_fault(tmp_path: Path) -> None:
    block, ciphertext = make_block(LIMIT + 1)
    staged = tmp_path / "staged"
    staged.write_bytes(ciphertext)
    async with opened(tmp_path / "cache") as cache:
        await cache.adopt(block, staged, len(ciphertext))
        assert staged.exists()
        block, ciphertext = make_block()
        for _ in range(5):
            await cache.adopt(block, tmp_path / "missing", len(ciphertext))
        assert not cache.holds(block)
        assert cache.facts().faults == 0
        assert cache.facts().bytes == 0
        assert await cache.put(block, ciphertext)


async def test_clearing_drops_everything_and_says_how_much(tmp_path: Path) -> None:
    async with opened(tmp_path, limit=1 << 30) as cache:
        ids = await filled(cache, 300)
        assert await cache.clear() == 300 * BLOCK
        assert not any(map(cache.holds, ids))
        assert files_in(tmp_path) == {}
        assert await cache.clear() == 0
        await filled(cache, 1)


async def test_who_has_blocks_go_hears_of_a_disk_that_hangs_and_is_not_held_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachment, "_BATCH_S", 0.05)
    well = threading.Event()
    told: list[str] = []
    async with opened(tmp_path, told=told) as cache:
        ids = await filled(cache, 3)
        hanging = cache._disk.writing.begin(well.wait)
        try:
            with pytest.raises(Unavailable, match=r"no answer for 0\.05 s"):
                await cache.evict(ids[:1])
            with pytest.raises(Unavailable, match="left alone for now"):
                await cache.clear()
        finally:
            well.set()
        await hanging
        await cache._disk.writing.begin(lambda: None)  # behind all that was begun
        assert [cache.holds(block) for block in ids] == [False, True, True]
    assert "no answer" in told[0]


async def test_nobody_clears_behind_a_disk_that_hangs_as_if_nothing_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachment, "_BATCH_S", 0.05)
    well = threading.Event()
    async with opened(tmp_path, told=[]) as cache:
        ids = await filled(cache, 3)
        hanging = cache._disk.writing.begin(well.wait)
        try:
            with pytest.raises(Unavailable, match="no answer"):
                await cache.evict(ids)
            for again in (cache.clear(), cache.evict(ids)):
                with pytest.raises(Unavailable, match="left alone"):
                    await again
            assert cache.facts().blocks == 3, "what the disk has not let go is there"
            assert cache.facts().bytes == 3 * BLOCK
            cache._disk.writing.answered()
            with pytest.raises(Unavailable, match="no answer"):
                await cache.clear()
        finally:
            well.set()
        await hanging
        cache._disk.writing.answered()
        assert await cache.clear() == 0, "the first command freed it"
        assert cache.facts().blocks == cache.facts().bytes == 0
        assert files_in(tmp_path) == {}


async def test_a_disk_that_hangs_is_told_though_nobody_asks_for_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachment, "_BATCH_S", 0.05)
    well = threading.Event()
    told: list[str] = []
    async with opened(tmp_path, told=told) as cache:
        hanging = cache._disk.writing.begin(well.wait)
        try:
            await cache.maintain_once()
            assert not cache.facts().working
        finally:
            well.set()
        await hanging
    assert "no answer for 0.05 s" in told[0]


async def test_a_disk_that_hangs_at_the_start_is_taken_up_once_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as cache:
        ids = await filled(cache, 2)
    monkeypatch.setattr(attachment, "_OPENING_S", 0.05)
    well = threading.Event()
    opens = CacheDirectory.open
    monkeypatch.setattr(CacheDirectory, "open", lambda *given: (well.wait(), opens(*given))[1])
    clock, told = ManualClock(), list[str]()
    async with opened(tmp_path, clock=clock, told=told) as cache:
        assert cache.facts().blocks == 0
        clock.now += MAX_PAUSE_S
        await cache.maintain_once()  # which begins no second opening behind the first
        well.set()
        assert cache._disk._opening is not None
        await cache._disk._opening
        assert all(map(cache.holds, ids))
        assert cache.facts().working
    assert "no answer for 0.05 s" in told[0]
    assert len(told) == 1


async def test_who_has_blocks_go_hears_that_the_disk_fails(tmp_path: Path) -> None:
    told: list[str] = []
    async with opened(tmp_path / "cache", told=told) as cache:
        ids = await filled(cache, 3)
        (tmp_path / "cache").rename(tmp_path / "elsewhere")
        with pytest.raises(Unavailable, match="was removed"):
            await cache.evict(ids[:1])
        with pytest.raises(Unavailable, match="left alone"):
            await cache.clear()
    assert "was removed" in told[0]


async def test_what_is_evicted_by_name_goes_and_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path, limit=1000 * BLOCK) as cache:
        ids = await filled(cache, 300)
        stranger, _ = make_block(BLOCK)
        assert await cache.evict([*ids[10:], ids[20], stranger]) == (290, 290 * BLOCK)
        assert [block for block in ids if cache.holds(block)] == ids[:10]
        assert len(files_in(tmp_path)) == 10
        assert await cache.evict(ids[10:]) == (0, 0)
    async with opened(tmp_path) as cache:
        assert cache.facts().blocks == 10


async def test_a_filling_disk_makes_the_cache_give_way(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    more_than_there_is = disk.f_blocks * disk.f_frsize
    async with opened(tmp_path) as cache:
        ids = await filled(cache, 5)
    async with opened(tmp_path, min_free=more_than_there_is) as cache:
        assert not await cache.put(*make_block())
        await cache.maintain_once()
        assert not any(map(cache.holds, ids))
        assert cache.facts().free > 0
    assert files_in(tmp_path) == {}


async def test_a_cancelled_put_leaves_books_that_are_right(tmp_path: Path) -> None:
    async with opened(tmp_path, limit=1 << 30) as cache:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(40):
                putting = tasks.create_task(cache.put(*make_block()))
                await asyncio.sleep(0)
                putting.cancel()
        held = cache.facts()
    on_disk = files_in(tmp_path)
    async with opened(tmp_path, limit=1 << 30) as cache:
        assert cache.facts().blocks == len(on_disk) >= held.blocks
        assert cache.facts().bytes == sum(on_disk.values())


async def test_the_same_block_put_by_many_is_one_block(tmp_path: Path) -> None:
    block, ciphertext = make_block()
    async with opened(tmp_path) as cache:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(10):
                tasks.create_task(cache.put(block, ciphertext))
        assert await cache.get(block) == ciphertext
        assert cache.facts().bytes == BLOCK


async def test_a_disk_that_fails_again_and_again_is_left_alone_and_then_tried_again(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    clock = ManualClock()
    async with opened(tmp_path, clock=clock, told=told) as cache:
        *bad, good = await filled(cache, 4)
        for block in bad:
            cache.path(block).unlink()
            cache.path(block).mkdir()  # opening it fails, and so does deleting it
        for number, block in enumerate(bad):
            assert await cache.get(block) is None
            assert told
            assert cache.holds(good) == (number < 2)
        assert not cache.holds(good)
        assert await cache.get(good) is None
        await cache.maintain_once()
        assert not cache.facts().working
        clock.now += 1
        await cache.maintain_once()
        assert cache.facts().working
        assert await cache.get(good) is not None
        assert not any(map(cache.holds, bad))


def open_directory(path: Path, boot: str) -> list[tuple[BlockId, int]]:
    directory = CacheDirectory.open(CacheMark(path, None), boot)
    try:
        return list(directory.take_found().items())
    finally:
        directory.close(clean=False)


def placed(path: Path, content: bytes, block: BlockId) -> Path:
    file = cached_path(path / "blocks", block)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return file


def test_after_a_power_cut_files_and_index_agree_again(tmp_path: Path) -> None:
    assert open_directory(tmp_path, "first boot") == []
    block, content = make_block()
    unlisted = placed(tmp_path, content, block)
    stranger = unlisted.parent / "README"
    stranger.write_text("not ours")
    misplaced = tmp_path / "blocks" / "zz"
    misplaced.mkdir()
    (misplaced / block.hex()).write_bytes(content)

    assert open_directory(tmp_path, "first boot") == []  # a kill: only doubtful rows are checked
    assert open_directory(tmp_path, "second boot") == [(block, len(content))]
    assert stranger.exists()
    assert (misplaced / block.hex()).exists()

    unlisted.write_bytes(content[:100])  # torn
    assert open_directory(tmp_path, "third boot") == []
    assert not unlisted.exists()


def test_a_lost_index_is_rebuilt_from_the_files(tmp_path: Path) -> None:
    block, content = make_block()
    open_directory(tmp_path, "boot")
    placed(tmp_path, content, block)
    (tmp_path / "index.db").unlink()
    assert open_directory(tmp_path, "boot") == [(block, len(content))]


def test_half_written_files_are_gone_after_a_start(tmp_path: Path) -> None:
    open_directory(tmp_path, "boot")
    (tmp_path / "incoming" / "half").write_bytes(b"half")
    ArrivingFiles(tmp_path / "arriving").make()
    (tmp_path / "arriving" / "3" / "half").write_bytes(b"half")
    open_directory(tmp_path, "boot")
    assert list((tmp_path / "incoming").iterdir()) == []
    assert list((tmp_path / "arriving" / "3").iterdir()) == []


async def test_what_is_offered_pushes_out_no_block_that_mounts_here_read(tmp_path: Path) -> None:
    async with opened(tmp_path) as cache:
        read = await filled(cache, 7)
        for _ in range(50):
            block, ciphertext = make_block(BLOCK)
            await cache.put(block, ciphertext, "offered by a peer")
        assert all(cache.holds(block) for block in read)
        assert cache.facts().blocks == 10
        used, ciphertext = make_block(BLOCK)
        assert await cache.put(used, ciphertext, "offered by a peer")
        cache.touch([used])
        for _ in range(50):
            block, ciphertext = make_block(BLOCK)
            await cache.put(block, ciphertext, "offered by a peer")
        assert all(cache.holds(block) for block in [*read, used])


async def test_what_is_read_for_peers_leaves_half_of_the_cache_to_mounts_here(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as cache:
        read = await filled(cache, 10)
        for _ in range(50):
            block, ciphertext = make_block(BLOCK)
            assert await cache.put(block, ciphertext, "read for a peer")
            assert (
                await cache.get(block) == ciphertext
            )  # by whoever: that makes it no block of ours
        assert all(cache.holds(block) for block in read[6:])
        assert not any(cache.holds(block) for block in read[:4])
