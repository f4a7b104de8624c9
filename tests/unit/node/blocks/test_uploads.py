"""Uploads: every staged block gets into the bucket, whole, whatever happens on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from disk_fixture import PROJECT, FastClock, ManualClock, Told, make_block, stage_early

from lucidnode.node.blocks.staging_releases import COMMIT_GRACE_S
from lucidnode.node.blocks.uploads import MAX_PARALLEL_UPLOADS, SWEEP_INTERVAL_S, Uploads
from lucidnode.node.bucket.keys import block_key
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.cache.staging import Staging
from lucidnode.node.cache.verified import verified
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import AccessDenied, Corrupt, NodeError, NotThere, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.staging import stage_soon, staged_path
from lucidnode.node.client.supervision import supervised


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    with blockbuster_ctx("lucidnode.node"):
        yield


class FaultyBucket:
    """Keeps objects in memory. It fails with *fault* while that is set, and counts what it did."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fault: NodeError | None = None
        self.unforeseen: Exception | None = None
        """What is raised once, as by a fault of our own."""
        self.open = asyncio.Event()
        self.open.set()
        self.puts: Counter[str] = Counter()
        self.at_once = 0
        self.most_at_once = 0

    async def put(self, key: str, body: bytes) -> None:
        self.puts[key] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.open.wait()
            await asyncio.sleep(0)
            if self.fault is not None:
                raise self.fault
            if (unforeseen := self.unforeseen) is not None:
                self.unforeseen = None
                raise unforeseen
            self.objects[key] = body
        finally:
            self.at_once -= 1

    async def size(self, key: str) -> int | None:
        if self.fault is not None:
            raise self.fault
        return len(self.objects[key]) if key in self.objects else None


class Node:
    """A cache directory and a bucket; *running* starts a daemon's part on them."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self.path = path
        self.bucket = FaultyBucket()
        self.clock = clock or FastClock()
        self.offered: list[BlockId] = []
        self.uploaded: list[BlockId] = []
        self.alerts = Alerts(self.clock)
        self.cached: list[str] = []

    def said(self) -> list[str]:
        """Return what a person is told now."""
        return [alert.cause for alert in self.alerts.current()]

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[Uploads, Staging, DiskCache]]:
        """Have the parts, and run nothing."""
        async with (
            DiskCache.open(
                CacheMark(self.path, None), 64 << 20, 0, self.clock, Told(self.cached)
            ) as cache,
            Staging.open(CacheMark(self.path, None), cache, self.clock) as staging,
        ):
            yield self._uploads(staging), staging, cache

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Uploads, Staging, DiskCache]]:
        async with self.open() as (uploads, staging, cache), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(uploads.run())
            yield uploads, staging, cache
            running.cancel()

    def _uploads(self, staging: Staging) -> Uploads:
        return Uploads(
            staging=staging,
            bucket=self.bucket,
            offer=self._offer,
            on_uploaded=self._on_uploaded,
            alerts=self.alerts,
            clock=self.clock,
            jitter=lambda: 0.5,
        )

    async def _offer(self, project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
        self.offered.append(block)

    def _on_uploaded(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        self.uploaded += blocks

    async def stages(self, count: int) -> list[BlockId]:
        """Do what a mount does before it announces."""
        ids = []
        for _ in range(count):
            block, ciphertext = make_block()
            await asyncio.to_thread(stage_early, self.path / "staging", PROJECT, block, ciphertext)
            ids.append(block)
        return ids

    def file(self, block: BlockId) -> Path:
        return staged_path(self.path / "staging", PROJECT, block)

    def has_all(self, blocks: Iterable[BlockId]) -> bool:
        """Tell whether the bucket has the blocks, whole."""
        return all(
            verified(block, self.bucket.objects.get(block_key(PROJECT, block), b"")) is not None
            for block in blocks
        )


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def test_an_announced_block_is_offered_uploaded_and_reported(tmp_path: Path) -> None:
    node = Node(tmp_path, ManualClock())  # nothing is swept up, or given up, meanwhile
    async with node.running() as (uploads, staging, _):
        ids = await node.stages(20)
        await uploads.add(PROJECT, ids)
        assert uploads.pending().blocks == 20
        assert uploads.pending().bytes == 20 * 4096
        await uploads.wait_for(PROJECT, ids)
        assert node.has_all(ids)
        assert sorted(node.offered) == sorted(ids)
        assert sorted(node.uploaded) == sorted(ids)
        assert uploads.pending().blocks == uploads.pending().bytes == 0
        assert uploads.pending().oldest_seconds == 0
        held = list(staging.held(PROJECT))
        assert held == ids, "released before the commit that names them"


async def test_a_committed_block_leaves_staging_for_the_cache(node: Node) -> None:
    async with node.running() as (uploads, staging, cache):
        named, unnamed = await node.stages(2)
        await uploads.add(PROJECT, [named, unnamed])
        await uploads.wait_for(PROJECT, [named, unnamed])
        uploads.committed(PROJECT, [named])
        uploads.committed(PROJECT, [named, make_block()[0]])
        while named in staging.held(PROJECT):
            await node.clock.sleep(0.1)
        assert await cache.get(named) is not None
        assert unnamed in staging.held(PROJECT)
        await uploads.wait_for(PROJECT, [named])
        await uploads.add(PROJECT, [named])
        assert node.bucket.puts[block_key(PROJECT, named)] == 1


async def test_what_was_committed_a_moment_ago_lies_in_the_cache_once_that_is_waited_for(
    node: Node,
) -> None:
    async with node.running() as (uploads, staging, cache):
        *named, unnamed = await node.stages(20)
        await uploads.add(PROJECT, [*named, unnamed])
        await uploads.wait_for(PROJECT, [*named, unnamed])
        uploads.committed(PROJECT, named)
        assert len(staging.held(PROJECT)) == 20
        await asyncio.wait_for(uploads.settle(), 5)
        assert list(staging.held(PROJECT)) == [unnamed]
        assert all(map(cache.holds, named))


async def test_who_waits_for_what_was_committed_hears_of_a_disk_that_hangs(node: Node) -> None:
    async with node.running() as (uploads, staging, cache):
        ids = await node.stages(2)
        await uploads.add(PROJECT, ids)
        await uploads.wait_for(PROJECT, ids)
        async with staging._books:  # as while the disk deletes a file of it
            uploads.committed(PROJECT, ids)
            for _ in range(2):
                with pytest.raises(Unavailable, match="does not answer"):
                    await uploads.settle()
        await uploads.settle()
        assert all(map(cache.holds, ids))


async def test_an_uploaded_block_without_a_commit_is_released_after_a_grace(node: Node) -> None:
    async with node.running() as (uploads, staging, cache):
        ids = await node.stages(3)
        began = node.clock.boot()
        await uploads.add(PROJECT, ids)
        while staging.held(PROJECT):
            await node.clock.sleep(0.2)
        assert node.clock.boot() - began >= COMMIT_GRACE_S
        assert node.has_all(ids)
        assert all(map(cache.holds, ids))


async def test_only_so_many_blocks_are_under_way_at_once_the_first_written_first(
    node: Node,
) -> None:
    node.bucket.open.clear()
    async with node.running() as (uploads, _, _):
        ids = await node.stages(3 * MAX_PARALLEL_UPLOADS)
        await uploads.add(PROJECT, ids)
        while node.bucket.at_once < MAX_PARALLEL_UPLOADS:
            await node.clock.sleep(0.2)
        await node.clock.sleep(1)
        assert set(node.bucket.puts) == {
            block_key(PROJECT, block) for block in ids[:MAX_PARALLEL_UPLOADS]
        }
        node.bucket.open.set()
        await uploads.wait_for(PROJECT, ids)
    assert node.bucket.most_at_once == MAX_PARALLEL_UPLOADS


async def test_blocks_of_small_files_overtake_and_the_oldest_still_gets_on(node: Node) -> None:
    node.bucket.open.clear()
    async with node.running() as (uploads, _, _):
        film = await node.stages(3 * MAX_PARALLEL_UPLOADS)
        await uploads.add(PROJECT, film, range(4, 4 + len(film)))
        while node.bucket.at_once < MAX_PARALLEL_UPLOADS:
            await node.clock.sleep(0.2)
        waiting = [block for block in film if block_key(PROJECT, block) not in node.bucket.puts]
        notes = await node.stages(10 * MAX_PARALLEL_UPLOADS)
        await uploads.add(PROJECT, notes, [0] * len(notes))
        node.bucket.open.set()
        await uploads.wait_for(PROJECT, [*film, *notes])
    started = list(node.bucket.puts)
    first_note = min(started.index(block_key(PROJECT, block)) for block in notes)
    last_note = max(started.index(block_key(PROJECT, block)) for block in notes)
    film_started = [started.index(block_key(PROJECT, block)) for block in waiting]
    between = [place for place in film_started if first_note < place < last_note]
    assert len(between) < len(notes) / 2, "the notes waited for the film"
    assert between, "the film stood still"
    assert min(film_started) == film_started[0], "not the oldest of the film went on"


async def test_what_has_arrived_is_known_of_blocks_of_every_past(node: Node) -> None:
    """Uploaded now, under way, by an earlier daemon, and never."""
    async with node.running() as (uploads, _, _):
        (earlier,) = await node.stages(1)
        await uploads.add(PROJECT, [earlier])
        await uploads.wait_for(PROJECT, [earlier])
        uploads.committed(PROJECT, [earlier])
        while node.file(earlier).exists():
            await node.clock.sleep(0.2)
    async with node.running() as (uploads, _, _):
        (now,) = await node.stages(1)
        await uploads.add(PROJECT, [now])
        await uploads.wait_for(PROJECT, [now])
        node.bucket.open.clear()
        (under_way,) = await node.stages(1)
        never = make_block()[0]
        assert await uploads.uploaded(PROJECT, [never, under_way, now, earlier]) == [now, earlier]
        node.bucket.open.set()
        await uploads.wait_for(PROJECT, [under_way])
        assert await uploads.uploaded(PROJECT, [under_way]) == [under_way], "looking queues it"
        node.bucket.fault = Unavailable("the bucket is away")
        with pytest.raises(Unavailable):
            await uploads.uploaded(PROJECT, [make_block()[0]])


@pytest.mark.parametrize("fault", [Unavailable("the bucket is away"), AccessDenied("expired")])
async def test_an_outage_delays_uploads_loses_none_and_is_told_once(
    node: Node, fault: NodeError, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be uploaded now")
    node.bucket.fault = fault
    async with node.running() as (uploads, _, _):
        ids = await node.stages(10)
        await uploads.add(PROJECT, ids)
        await node.clock.sleep(60)
        assert uploads.pending().blocks == 10
        assert uploads.pending().oldest_seconds > 0
        (told,) = node.said()
        assert str(fault) in told
        assert node.offered != []
        assert sum(node.bucket.puts.values()) < 60, "it hammers a bucket that is away"
        node.bucket.fault = None
        await uploads.wait_for(PROJECT, ids)
        assert node.has_all(ids)
        assert node.said() == [], "it is over, and nobody says so"
        assert len(set(node.offered)) == len(node.offered) == 10


class StandingClock(FastClock):
    """No sleep ends: what waits for one waits for ever."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


async def test_uploads_that_wait_out_a_refusal_go_on_at_once_when_told_to_hurry(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be uploaded now")
    node = Node(tmp_path, StandingClock())
    node.bucket.fault = AccessDenied("expired")
    async with node.running() as (uploads, _, _), asyncio.timeout(60):
        ids = await node.stages(10)
        await uploads.add(PROJECT, ids)
        while len(node.bucket.puts) < MAX_PARALLEL_UPLOADS or node.bucket.at_once:
            await asyncio.sleep(0.01)
        node.bucket.fault = None
        uploads.hurry()
        await uploads.wait_for(PROJECT, ids)


class Unforeseen(Exception):
    """What nobody thought of."""


async def test_a_fault_of_one_upload_leaves_none_behind(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    """Those that were under way with it are taken up again, and what was on its way out of staging."""
    expected_warnings += ["uploading failed", "uploading has failed"]
    node = Node(tmp_path, ManualClock())  # nothing leaves staging by its age
    async with (
        node.open() as (uploads, staging, cache),
        supervised(node.alerts, FastClock()) as tasks,
    ):
        node.bucket.open.clear()
        ids = await node.stages(2 * MAX_PARALLEL_UPLOADS)
        await uploads.add(PROJECT, ids)
        tasks.keep("uploading", uploads.run)
        while node.bucket.at_once < MAX_PARALLEL_UPLOADS:
            await asyncio.sleep(0)
        node.bucket.unforeseen = Unforeseen()
        node.bucket.open.set()
        await asyncio.wait_for(uploads.wait_for(PROJECT, ids), 10)
        assert node.has_all(ids)
        node.bucket.open.clear()
        late = await node.stages(1)
        await uploads.add(PROJECT, late)
        while not node.bucket.at_once:
            await asyncio.sleep(0)
        async with staging._books:  # as while the disk deletes the first of them
            uploads.committed(PROJECT, ids)
            node.bucket.unforeseen = Unforeseen()
            node.bucket.open.set()
            while node.bucket.at_once:
                await asyncio.sleep(0)
        await asyncio.wait_for(uploads.wait_for(PROJECT, late), 10)
        await asyncio.wait_for(uploads.settle(), 10)
        assert list(staging.held(PROJECT)) == late
        assert all(map(cache.holds, ids))


async def test_what_a_daemon_left_in_staging_the_next_uploads_once(node: Node) -> None:
    node.bucket.open.clear()
    async with node.running() as (uploads, _, _):
        ids = await node.stages(20)
        await uploads.add(PROJECT, ids)
        while not node.bucket.puts:
            await node.clock.sleep(0.2)
        assert uploads.pending().blocks == 20
    assert node.bucket.objects == {}
    node.bucket.open.set()
    node.bucket.puts.clear()
    async with node.running() as (uploads, _, _):
        await uploads.wait_for(PROJECT, ids)
        assert node.has_all(ids)
        assert set(node.bucket.puts.values()) == {1}
        assert uploads.pending().failed == 0


async def test_a_block_nobody_announced_is_found(node: Node) -> None:
    async with node.running() as (uploads, _, _):
        ids = await node.stages(2)  # its mount dies here
        while not node.bucket.objects:
            await node.clock.sleep(1)
        await uploads.wait_for(PROJECT, ids)
        assert node.has_all(ids)


async def test_waiting_for_a_block_nobody_announced_uploads_it(node: Node) -> None:
    async with node.running() as (uploads, _, _):
        ids = await node.stages(2)
        await uploads.wait_for(PROJECT, ids)
        assert node.has_all(ids)


async def test_a_damaged_block_is_never_uploaded_and_its_waiters_hear_of_it(
    node: Node, expected_warnings: list[str]
) -> None:
    expected_warnings.append("was lost before its upload")
    (bad,) = await node.stages(1)
    good = await asyncio.to_thread(node.file(bad).read_bytes)
    await asyncio.to_thread(node.file(bad).write_bytes, bytes(4096))
    async with node.running() as (uploads, _, _):
        with pytest.raises(Corrupt):
            await uploads.wait_for(PROJECT, [bad])
        with pytest.raises(Corrupt):
            await uploads.wait_for(PROJECT, [bad])
        assert node.bucket.puts == {}
        (told,) = node.said()
        assert bad.hex() in told
        assert node.file(bad).exists(), "the only copy was thrown away"
        assert uploads.pending().failed == 1
        assert uploads.pending().blocks == 0
        # The mount seals and stages it again.
        await asyncio.to_thread(stage_early, node.path / "staging", PROJECT, bad, good)
        await uploads.add(PROJECT, [bad])
        await uploads.wait_for(PROJECT, [bad])
        assert node.has_all([bad])
        assert uploads.pending().failed == 0
        assert node.said() == []


async def test_what_a_crash_tore_before_it_was_promised_is_nobody_s_loss(node: Node) -> None:
    block, content = make_block()
    await asyncio.to_thread((node.path / "staging").mkdir)
    await asyncio.to_thread(stage_soon, node.path / "staging", PROJECT, block, content)
    await asyncio.to_thread(node.file(block).write_bytes, content[:1000])
    async with node.running() as (uploads, _, _):
        while node.file(block).exists():
            await node.clock.sleep(1)
        await node.clock.sleep(1)
        assert (uploads.pending().blocks, uploads.pending().failed) == (0, 0)
        assert node.bucket.puts == {}
        # The mount writes it again.
        await asyncio.to_thread(stage_early, node.path / "staging", PROJECT, block, content)
        await uploads.add(PROJECT, [block])
        await uploads.wait_for(PROJECT, [block])
        assert node.has_all([block])
    assert node.said() == []


@pytest.mark.parametrize("damage", [True, False], ids=["damaged", "vanished"])
async def test_a_staged_block_that_is_no_more_but_is_in_the_bucket_is_uploaded(
    node: Node, damage: bool, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be uploaded now: for a moment")
    (block,) = await node.stages(1)
    content = await asyncio.to_thread(node.file(block).read_bytes)
    node.bucket.objects[block_key(PROJECT, block)] = content
    node.bucket.fault = Unavailable("for a moment")
    async with node.running() as (uploads, _, cache):
        node.file(block).unlink()  # after the scan, before the first attempt
        if damage:
            node.file(block).write_bytes(bytes(4096))
        while not node.said():
            await node.clock.sleep(1)
        assert uploads.pending().blocks == 1
        node.bucket.fault = None
        await uploads.wait_for(PROJECT, [block])
        assert node.uploaded == [block]
        assert not node.file(block).exists()
        assert not cache.holds(block), "a bad file went into the cache"
    assert node.said() == []


async def test_a_vanished_block_that_is_nowhere_is_reported_and_not_taken_for_uploaded(
    node: Node, expected_warnings: list[str]
) -> None:
    expected_warnings.append("was lost before its upload")
    ids = await node.stages(1)
    async with node.running() as (uploads, _, _):
        node.file(ids[0]).unlink()  # after the scan, before the first attempt
        with pytest.raises(NotThere):
            await uploads.wait_for(PROJECT, ids)
        assert node.bucket.objects == {}
    assert len(node.said()) == 1


async def test_a_block_known_nowhere_is_looked_for_in_the_bucket(node: Node) -> None:
    there, content = make_block()
    missing, _ = make_block()
    node.bucket.objects[block_key(PROJECT, there)] = content
    async with node.running() as (uploads, _, _):
        await uploads.wait_for(PROJECT, [there])
        with pytest.raises(NotThere, match=missing.hex()):
            await uploads.wait_for(PROJECT, [there, missing])
        node.bucket.fault = Unavailable("away")
        await uploads.wait_for(PROJECT, [there])  # remembered


async def test_a_failing_staging_disk_delays_uploads_and_is_told(
    node: Node, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be read")
    ids = await node.stages(3)
    staging_dir, aside = node.path / "staging", node.path / "aside"
    async with node.running() as (uploads, _, _):
        staging_dir.rename(aside)
        staging_dir.write_bytes(b"in the way")
        later, content = make_block()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(uploads.wait_for(PROJECT, [*ids, later]))
            while not node.said():
                await node.clock.sleep(1)
            (told,) = node.said()
            await node.clock.sleep(70)  # a sweep comes by
            assert not waiting.done()
            assert node.bucket.puts == {}
            await asyncio.to_thread(stage_early, aside, PROJECT, later, content)
            staging_dir.unlink()
            aside.rename(staging_dir)
        assert node.has_all([*ids, later])
        assert node.said() == []
    assert str(staging_dir) in told


async def test_a_waiter_that_gives_up_takes_no_upload_with_it(node: Node) -> None:
    node.bucket.open.clear()
    async with node.running() as (uploads, _, _):
        ids = await node.stages(3)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(uploads.wait_for(PROJECT, ids), 0.05)
        node.bucket.open.set()
        await uploads.wait_for(PROJECT, ids)
        assert node.has_all(ids)


async def test_blocks_of_several_projects_do_not_mix(node: Node) -> None:
    other = ProjectId("e" * 32)
    block, ciphertext = make_block()
    for project in (PROJECT, other):
        await asyncio.to_thread(stage_early, node.path / "staging", project, block, ciphertext)
    async with node.running() as (uploads, _, _):
        await uploads.wait_for(PROJECT, [block])
        await uploads.wait_for(other, [block])
    assert set(node.bucket.objects) == {block_key(PROJECT, block), block_key(other, block)}


async def test_gone_is_what_lies_neither_in_staging_nor_in_the_bucket(node: Node) -> None:
    node.bucket.open.clear()
    async with node.running() as (uploads, _, _):
        (staged,) = await node.stages(1)
        uploaded, lost = make_block()[0], make_block()[0]
        node.bucket.objects[block_key(PROJECT, uploaded)] = b"whole"
        assert await uploads.gone(PROJECT, [staged, uploaded, lost]) == [lost]
        assert uploads.pending().blocks == 1, "what is found in staging is not queued"
        node.bucket.fault = Unavailable("the bucket is away")
        with pytest.raises(Unavailable):
            await uploads.gone(PROJECT, [lost])


async def test_a_lost_block_that_nobody_needs_any_more_is_no_alert(
    node: Node, expected_warnings: list[str]
) -> None:
    expected_warnings += ["cannot be uploaded now", "was lost before its upload"]
    node.bucket.open.clear()
    async with node.running() as (uploads, _, _):
        (lost,) = await node.stages(1)
        await uploads.add(PROJECT, [lost])
        while not node.bucket.at_once:
            await node.clock.sleep(0.2)
        await asyncio.to_thread(node.file(lost).unlink)
        node.bucket.fault = Unavailable("the bucket is away")
        node.bucket.open.set()
        while not node.said():
            await node.clock.sleep(0.2)
        node.bucket.fault = None
        uploads.hurry()
        while not uploads.pending().failed:
            await node.clock.sleep(0.2)
        await uploads.given_up(PROJECT, [lost])
        assert uploads.pending().failed == 0
        assert node.said() == []


async def test_an_upload_that_nothing_needs_ends_midway_and_does_not_begin_again(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path)
    node.bucket.open.clear()
    async with node.running() as (uploads, staging, _):
        blocks = await node.stages(20)
        await uploads.add(PROJECT, blocks)
        while node.bucket.at_once < MAX_PARALLEL_UPLOADS:
            await node.clock.sleep(0.2)
        uploads.withdraw(PROJECT, blocks)
        assert uploads.pending().blocks == uploads.pending().bytes == 0
        while node.bucket.at_once:
            await node.clock.sleep(0.2)
        node.bucket.open.set()
        scanned = node.clock.boot()
        await staging.scan()
        (other,) = await node.stages(1)
        await uploads.add(PROJECT, [other])
        await uploads.wait_for(PROJECT, [other])
        while node.clock.boot() < scanned + 2 * SWEEP_INTERVAL_S:
            await node.clock.sleep(1)
        assert list(node.bucket.objects) == [block_key(PROJECT, other)]
        assert sum(node.bucket.puts.values()) == MAX_PARALLEL_UPLOADS + 1
        for block in blocks:
            await asyncio.to_thread(node.file(block).unlink)
        await uploads.given_up(PROJECT, blocks)
        assert not staging.held(PROJECT).keys() & set(blocks)
    assert node.said() == []


@pytest.mark.parametrize("how", ["announced again", "waited for", "asked for"])
async def test_a_withdrawn_block_that_somebody_wants_again_is_uploaded(
    node: Node, how: str
) -> None:
    async with node.running() as (uploads, _, _):
        (block,) = await node.stages(1)
        uploads.withdraw(PROJECT, [block])
        match how:
            case "announced again":
                await uploads.add(PROJECT, [block])
            case "asked for":
                assert await uploads.uploaded(PROJECT, [block]) == []
            case _:
                pass
        await uploads.wait_for(PROJECT, [block])
        assert node.has_all([block])


async def test_an_upload_whose_staged_file_is_lost_ends_when_nothing_needs_it(
    node: Node, expected_warnings: list[str]
) -> None:
    """The bucket cannot say meanwhile whether it has the block: that would be tried for ever."""
    expected_warnings.append("cannot be uploaded now")
    node.bucket.fault = Unavailable("the bucket is away")
    async with node.running() as (uploads, _, _):
        lost, staged = await node.stages(2)
        await uploads.add(PROJECT, [lost, staged])
        while not node.said():
            await node.clock.sleep(0.1)
        await asyncio.to_thread(node.file(lost).unlink)
        await uploads.given_up(PROJECT, [lost, staged])
        assert uploads.pending().blocks == 1
        node.bucket.fault = None
        uploads.hurry()
        await uploads.wait_for(PROJECT, [staged])
        assert uploads.pending().failed == 0
        assert node.said() == []
