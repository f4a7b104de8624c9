"""The order of sources, and what each failure of one leads to."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from types import FrameType
from typing import Any, cast

import pytest
from disk_fixture import Told
from lab.virtual_loop import LoopClock, run_virtual
from office_fixture import PROJECT, Bucket, Count, MemoryCache

from lucidnode.fs.errors import Unreadable
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.read.block_fetcher import FETCH_TIMEOUT_S, BlockAsker, BlockFetcher
from lucidnode.fs.read.reading_programs import ReadingPrograms
from lucidnode.fs.read.segment_memory import SegmentMemory
from lucidnode.fs.read.segments import Segments
from lucidnode.node.blocks.arrivals import Arrivals
from lucidnode.node.blocks.bad_objects import BadObjects
from lucidnode.node.blocks.fetch import BlockSource, FetchAttempt, PassedOver
from lucidnode.node.blocks.for_mounts import BlocksForMounts
from lucidnode.node.blocks.hedge_policy import MUCH_QUICKER_FACTOR, PEERS_S
from lucidnode.node.blocks.indexers import IndexerRules, Indexers
from lucidnode.node.cache.change import Whose
from lucidnode.node.cache.verified import Ciphertext, block_id, verified
from lucidnode.node.client.bad_blocks import BadBlocks
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import Corrupt, NotThere, Unavailable
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId
from lucidnode.node.client.wire import Reading, Source
from lucidnode.node.peers.body_client import LOOKUP_TIMEOUT_S, READ_THROUGH_TIMEOUT_S

OWNER, SECOND, OTHER = DeviceId("a" * 32), DeviceId("b" * 32), DeviceId("c" * 32)
DATA = b"ciphertext of a block"
BLOCK = block_id(DATA)


class Peers:
    """An office whose members answer as told. Implements fetch.Office."""

    def __init__(self) -> None:
        self.owner = False
        self.path: list[FetchAttempt] = []
        self.everyone: list[DeviceId] = []
        self.have: dict[DeviceId, bytes] = {}
        self.delay: dict[DeviceId, float] = {}
        self.asked: list[tuple[DeviceId, bool]] = []
        self.blamed: list[DeviceId] = []

    def owns(self, block: BlockId) -> bool:
        return self.owner

    def route(self, block: BlockId) -> Sequence[FetchAttempt]:
        return self.path

    def holders(self) -> Sequence[DeviceId]:
        return self.everyone

    def passed_over(self, block: BlockId) -> Sequence[PassedOver]:
        return [PassedOver(device, "resting") for device in self.blamed]

    async def ask(
        self, device: DeviceId, project: ProjectId, block: BlockId, *, through: bool
    ) -> bytes | None:
        self.asked.append((device, through))
        await asyncio.sleep(self.delay.get(device, 0))
        return self.have.get(device)

    def lost_hedge(self, device: DeviceId) -> None:
        self.blamed.append(device)


class Staged:
    """Implements StagedBlocks."""

    def __init__(self) -> None:
        self.blocks: dict[BlockId, bytes] = {}

    async def read(self, project: ProjectId, block: BlockId) -> bytes | None:
        return self.blocks.get(block)


class Here:
    """A block source and everything around it."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.cache, self.staging, self.peers = MemoryCache(), Staged(), Peers()
        self.bucket, self.traffic = Bucket(), Count()
        self.source = BlockSource(
            cache=self.cache,
            staging=self.staging,
            office=self.peers,
            bucket=self.bucket.read,
            traffic=self.traffic,
            clock=SystemClock(),
            tasks=tasks,
        )

    async def read(self, *, for_peer: bool = False) -> str:
        fetched = await self.source.fetch(PROJECT, BLOCK, for_peer=for_peer)
        assert fetched.ciphertext == DATA
        return fetched.source


@pytest.fixture
def frames() -> Iterator[Counter[str]]:
    """Count the calls of this thread, by the name of what is called."""
    counted: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        counted[frame.f_code.co_name] += event == "call"

    sys.setprofile(count)
    try:
        yield counted
    finally:
        sys.setprofile(None)


@asynccontextmanager
async def here() -> AsyncIterator[Here]:
    async with asyncio.TaskGroup() as tasks:
        yield Here(tasks)


async def test_what_is_held_here_is_asked_of_nobody() -> None:
    for place in ("cache", "staging"):
        async with here() as at:
            getattr(at, place).blocks[BLOCK] = DATA
            at.peers.path = [FetchAttempt(OWNER, through=True)]
            assert await at.read() == "cache"
            assert not at.peers.asked
            assert not at.bucket.gets


async def test_the_owner_is_asked_then_the_second_then_the_bucket() -> None:
    async with here() as at:
        at.bucket.store(DATA)
        at.peers.path = [FetchAttempt(OWNER, through=True), FetchAttempt(SECOND, through=True)]
        assert await at.read() == "bucket"
        assert at.peers.asked == at.peers.path
    async with here() as at:
        at.peers.path = [FetchAttempt(OWNER, through=True), FetchAttempt(SECOND, through=True)]
        at.peers.have = {SECOND: DATA}
        assert await at.read() == "peer"
        assert at.traffic.sources == {"peer": 1}


async def test_what_came_is_kept_and_the_next_read_is_local() -> None:
    async with here() as at:
        at.bucket.store(DATA)
        fetched = await at.source.fetch(PROJECT, BLOCK)
        assert fetched.kept
        assert await at.read() == "cache"
        assert at.bucket.gets.total() == 1


async def test_what_came_from_the_bucket_hashed_is_not_hashed_again(frames: Counter[str]) -> None:
    async with asyncio.TaskGroup() as tasks:
        at = Here(tasks)
        at.bucket.store(DATA)

        async def stored(_project: ProjectId, block: BlockId) -> bytes:
            return at.bucket.blocks[block]

        objects = BadObjects(stored, Told([]), SystemClock())
        source = BlockSource(
            cache=at.cache,
            staging=at.staging,
            office=at.peers,
            bucket=objects.read,
            traffic=at.traffic,
            clock=SystemClock(),
            tasks=tasks,
        )
        frames.clear()
        await source.fetch(PROJECT, BLOCK)
    assert frames[block_id.__name__] == 0


async def test_the_owner_looks_for_a_copy_before_it_reads_through() -> None:
    async with here() as at:
        at.peers.owner = True
        at.peers.path = [FetchAttempt(SECOND, through=False)]
        at.peers.have = {SECOND: DATA}
        assert await at.read() == "peer"
        assert not at.bucket.gets


async def test_a_copy_is_looked_for_here_and_at_all_peers_and_the_bucket_is_not_asked() -> None:
    async with here() as at:
        at.bucket.store(DATA)
        assert await at.source.copy(PROJECT, BLOCK) is None
        at.peers.everyone, at.peers.have = [OWNER, SECOND, OTHER], {OTHER: DATA}
        assert await at.source.copy(PROJECT, BLOCK) == DATA
        at.peers.have = {}
        assert await at.source.copy(PROJECT, BLOCK) == DATA, "it is kept"
        assert not at.bucket.gets


async def test_a_peers_request_makes_no_one_else_read_through() -> None:
    async with here() as at:
        at.bucket.store(DATA)
        at.peers.path = [FetchAttempt(OWNER, through=True), FetchAttempt(SECOND, through=True)]
        at.peers.everyone = [OWNER, SECOND, OTHER]
        assert await at.read(for_peer=True) == "bucket"
        assert not at.peers.asked


async def test_a_peers_request_does_not_wait_for_a_read_that_waits_for_peers() -> None:
    async with here() as at:
        at.bucket.store(DATA)
        at.peers.path = [FetchAttempt(OWNER, through=True)]
        at.peers.delay = {OWNER: 0.5}
        async with asyncio.TaskGroup() as tasks:
            local = tasks.create_task(at.read())
            await asyncio.sleep(0.01)
            async with asyncio.timeout(0.2):
                assert await at.read(for_peer=True) == "bucket"
        assert local.result() == "cache" or local.result() == "bucket"
        assert at.bucket.gets.total() == 1


async def test_local_and_peers_requests_to_the_owner_share_one_read_through() -> None:
    async with here() as at:
        at.bucket.store(DATA)
        at.bucket.seconds = 0.05
        at.peers.owner = True
        async with asyncio.TaskGroup() as tasks:
            for n in range(10):
                tasks.create_task(at.read(for_peer=n % 2 == 0))
        assert at.bucket.gets.total() == 1
        assert at.traffic.sources == {"bucket": 1}


async def test_readers_who_come_while_it_is_being_stored_do_not_fetch_again() -> None:
    async with here() as at:
        at.bucket.store(DATA)

        async def late(steps: int) -> str:
            for _ in range(steps):
                await asyncio.sleep(0)
            return await at.read()

        async with asyncio.TaskGroup() as tasks:
            for steps in range(30):
                tasks.create_task(late(steps))
        assert at.bucket.gets.total() == 1


async def test_when_the_bucket_fails_any_copy_in_the_office_will_do() -> None:
    async def down(project: ProjectId, block: BlockId) -> bytes:
        raise Unavailable("no route")

    async def spoilt(project: ProjectId, block: BlockId) -> bytes:
        return verified(block, b"bit rot")

    async def lost(project: ProjectId, block: BlockId) -> bytes:
        raise NotThere("gone")

    failures: list[tuple[Callable[[ProjectId, BlockId], object], type[Exception]]] = [
        (down, Unavailable),
        (spoilt, Corrupt),
        (lost, NotThere),
    ]
    for bucket, error in failures:
        async with here() as at:
            at.source._bucket = bucket  # type: ignore[assignment]
            at.peers.everyone = [SECOND, OTHER]
            with pytest.raises(error):
                await at.read()
            assert at.peers.asked == [(SECOND, False), (OTHER, False)]
            assert not at.cache.blocks
            at.peers.have = {OTHER: DATA}
            assert await at.read() == "peer"


async def test_bytes_that_are_another_block_are_never_kept() -> None:
    async with here() as at:
        with pytest.raises(Corrupt):
            await at.source.keep(BLOCK, b"another")
        assert not at.cache.blocks
        assert await at.source.keep(BLOCK, DATA)


class Impatient:
    """Hedges at once. Stands in for hedge_policy.HedgePolicy."""

    def __init__(self, budget: int) -> None:
        self.budget = budget

    def timeout_s(self) -> float:
        return 0.1

    def much_quicker(self) -> float:
        return self.timeout_s() / MUCH_QUICKER_FACTOR

    def believed(self) -> float:
        return 0.4

    def bucket_took(self, seconds: float) -> None:
        pass

    def finished(self, seconds: float) -> None:
        pass

    def spend(self) -> bool:
        self.budget -= 1
        return self.budget >= 0


@pytest.mark.parametrize(("bucket_seconds", "blamed"), [(0.0, [SECOND]), (0.2, [])])
async def test_a_slow_peer_is_overtaken_and_blamed_only_if_the_bucket_is_quick(
    bucket_seconds: float, blamed: list[DeviceId], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "lucidnode")
    async with here() as at:
        at.source._hedging = Impatient(1)  # type: ignore[assignment]
        at.bucket.store(DATA)
        at.bucket.seconds = bucket_seconds
        at.peers.path = [FetchAttempt(OWNER, through=True), FetchAttempt(SECOND, through=True)]
        at.peers.delay = {SECOND: 60}
        assert await at.read() == "bucket"
        assert at.peers.blamed == blamed
        assert f"from the bucket as well, {SECOND[:8]} has not given it" in caplog.text
        assert "bucket was first" in caplog.text
        assert not at.traffic.bytes


async def test_a_hedge_that_loses_is_not_waited_for_and_is_counted_as_waste() -> None:
    async with here() as at:
        at.source._hedging = Impatient(1)  # type: ignore[assignment]
        at.bucket.store(DATA)
        at.bucket.seconds = 0.5
        at.peers.path = [FetchAttempt(OWNER, through=True)]
        at.peers.have = {OWNER: DATA}
        at.peers.delay = {OWNER: 0.2}
        async with asyncio.timeout(0.4):
            assert await at.read() == "peer"
        assert not at.traffic.bytes
    assert at.traffic.bytes == {"hedged": len(DATA)}


async def test_a_hedge_that_fails_leaves_the_peer_its_time() -> None:
    async with here() as at:
        at.source._hedging = Impatient(1)  # type: ignore[assignment]
        at.peers.path = [FetchAttempt(OWNER, through=True)]
        at.peers.have = {OWNER: DATA}
        at.peers.delay = {OWNER: 0.2}
        assert await at.read() == "peer"
        assert at.bucket.gets.total() == 1


async def test_without_budget_nothing_is_hedged() -> None:
    async with here() as at:
        at.source._hedging = Impatient(0)  # type: ignore[assignment]
        at.peers.path = [FetchAttempt(OWNER, through=True)]
        at.peers.have = {OWNER: DATA}
        at.peers.delay = {OWNER: 0.2}
        assert await at.read() == "peer"
        assert not at.bucket.gets


async def test_no_budget_lets_a_peer_that_is_still_fetching_hold_a_read() -> None:
    async with here() as at:
        at.source._hedging = Impatient(0)  # type: ignore[assignment]
        at.bucket.store(DATA)
        at.peers.path = [FetchAttempt(OWNER, through=True), FetchAttempt(SECOND, through=True)]
        at.peers.delay = {OWNER: 60}
        async with asyncio.timeout(2):
            assert await at.read() == "bucket"


class SlowToKeep(MemoryCache):
    """A cache on a disk that takes its time over the first block."""

    async def put(self, block: BlockId, ciphertext: Ciphertext, whose: Whose = "ours") -> bool:
        if self.blocks or block != BLOCK or self.waited:
            return await super().put(block, ciphertext)
        self.waited = True
        await asyncio.sleep(1)
        return await super().put(block, ciphertext)

    waited = False


async def test_a_peer_that_delivered_is_not_blamed_for_the_slowness_of_our_own_disk() -> None:
    async with here() as at:
        at.source._hedging = Impatient(1)  # type: ignore[assignment]
        at.source._cache = SlowToKeep()
        at.bucket.store(DATA)
        at.peers.path = [FetchAttempt(OWNER, through=True)]
        at.peers.have = {OWNER: DATA}
        assert await at.read() == "bucket"
        assert not at.peers.blamed


async def test_a_peer_is_not_blamed_because_a_copy_came_to_lie_here_meanwhile() -> None:
    async with here() as at:

        class Writes(Peers):
            """A program here writes the same block while the peer is asked."""

            async def ask(
                self, device: DeviceId, project: ProjectId, block: BlockId, *, through: bool
            ) -> bytes | None:
                at.staging.blocks[BLOCK] = DATA
                return await super().ask(device, project, block, through=through)

        peers = Writes()
        peers.path = [FetchAttempt(OWNER, through=True)]
        peers.delay = {OWNER: 60}
        at.source._office = peers
        at.source._hedging = Impatient(1)  # type: ignore[assignment]
        assert await at.read() == "cache"
        assert not peers.blamed


class Stalling(Peers):
    """Thirty peers that stall as long as their asker lets them; the last one holds a copy."""

    def __init__(self) -> None:
        super().__init__()
        self.everyone = [DeviceId(f"{n:032x}") for n in range(30)]

    async def ask(
        self, device: DeviceId, project: ProjectId, block: BlockId, *, through: bool
    ) -> bytes | None:
        if device == self.everyone[-1] and not through:
            return DATA
        await asyncio.sleep(READ_THROUGH_TIMEOUT_S if through else LOOKUP_TIMEOUT_S)
        return None


async def refuses(project: ProjectId, block: BlockId) -> bytes:
    raise Unavailable("no route")


async def hangs(project: ProjectId, block: BlockId) -> bytes:
    await asyncio.sleep(55)
    raise Unavailable("no answer")


@pytest.mark.parametrize("bucket", [refuses, hangs], ids=lambda b: b.__name__)
@pytest.mark.parametrize("owner", [True, False], ids=["owner", "another"])
@pytest.mark.parametrize("usual_s", [None, 0.01, 60.0])
def test_with_the_bucket_away_a_copy_is_found_while_the_program_still_waits(
    bucket: Callable[[ProjectId, BlockId], Awaitable[bytes]], owner: bool, usual_s: float | None
) -> None:
    async def read() -> None:
        async with asyncio.TaskGroup() as tasks:
            at = Here(tasks)
            at.source._clock = LoopClock()
            at.source._bucket = bucket
            at.peers = at.source._office = Stalling()
            at.peers.owner = owner
            at.peers.path = [FetchAttempt(device, not owner) for device in at.peers.everyone[:2]]
            at.source._hedging.spend()
            for _ in range(20 if usual_s else 0):
                at.source._hedging.bucket_took(usual_s or 0)
            assert await at.read() == "peer"
            assert asyncio.get_running_loop().time() - 1000 < FETCH_TIMEOUT_S - 5

    run_virtual(read, 1)


def test_with_the_bucket_away_and_no_copy_a_peer_that_stalls_ends_no_later_than_the_wait() -> None:
    async def read() -> None:
        async with asyncio.TaskGroup() as tasks:
            at = Here(tasks)
            at.source._clock = LoopClock()
            at.source._bucket = refuses
            at.peers.path = [FetchAttempt(OWNER, through=True), FetchAttempt(SECOND, through=True)]
            at.peers.everyone = [OWNER, SECOND]
            at.peers.delay = {OWNER: 1000, SECOND: 1000}
            spent = asyncio.get_running_loop().time()
            hedged = at.source._hedged(PROJECT, BLOCK, at.peers.path)
            assert await hedged is None
            assert asyncio.get_running_loop().time() - spent <= PEERS_S + 0.1

    run_virtual(read, 1)


class NoFiles:
    """The block files of a mount whose cache is empty."""

    left_alone = False

    async def open(self, name: BlockName) -> None:
        return None

    async def holds(self, block: BlockId) -> bool:
        return False


class Served:
    """The daemon's blocks as a mount has them, without a socket in between."""

    def __init__(
        self,
        source: BlockSource,
        clock: LoopClock,
        is_held: Callable[[], bool],
        rules: IndexerRules | None = None,
    ) -> None:
        nothing = cast("Any", None)
        arrivals = Arrivals(clock, lambda _source, _size: None)
        rules = rules or IndexerRules((), None, None)
        self.indexers = Indexers(lambda: rules, clock)
        self._service = BlocksForMounts(
            source, nothing, nothing, nothing, nothing, nothing, arrivals, is_held, self.indexers
        )

    async def obtain(
        self,
        project: ProjectId,
        block: BlockId,
        *,
        patience_s: float,
        as_bytes: bool = False,
        reading: Reading | None = None,
    ) -> tuple[Source, bytes | None]:
        return await self._service.obtain(
            project, block, patience_s=patience_s, as_bytes=as_bytes, reading=reading
        )


@pytest.mark.parametrize("bucket", [refuses, hangs], ids=lambda b: b.__name__)
@pytest.mark.parametrize("owner", [True, False], ids=["owner", "another"])
def test_a_program_waits_45_s_in_all_whoever_is_asked_how_late_and_however_long_he_stalls(
    bucket: Callable[[ProjectId, BlockId], Awaitable[bytes]], owner: bool
) -> None:
    """Peers are not told what is left of the wait: the mount ends it, and the daemon ends theirs."""

    async def read() -> None:
        loop, clock = asyncio.get_running_loop(), LoopClock()
        nothing = cast("Any", None)
        async with asyncio.TaskGroup() as tasks:
            at = Here(tasks)
            at.source._clock, at.source._bucket = clock, bucket
            at.peers = at.source._office = peers = Endless()
            at.peers.owner = owner
            at.peers.path = [FetchAttempt(device, not owner) for device in at.peers.everyone[:2]]
            daemon = Served(at.source, clock, lambda: False)
            files = cast("Any", NoFiles())
            bad: BadBlocks[BlockId] = BadBlocks(clock, lambda _block: None)
            segments = Segments(
                keys=ProjectKeys.of(PROJECT, {1: b"K" * 32}),
                files=files,
                plaintext_of=lambda _block: None,
                fetcher=BlockFetcher(
                    PROJECT,
                    files,
                    daemon,
                    clock,
                    lambda _name, _source: None,
                    bad,
                    tasks,
                    ReadingPrograms(clock, lambda _pid: []),
                    "layer",
                ),
                disk=nothing,
                memory=SegmentMemory(64 * 1024 * 1024),
                bad=bad,
            )
            began, deadline = loop.time(), segments.deadline()
            for number in range(3):  # one read of a file that needs three blocks
                name = BlockName(block_id(bytes([number])), 1, b"n" * 12, len(DATA))
                with pytest.raises(Unreadable):
                    await segments.open(name, 0, 1, keep=False, asker=BlockAsker(deadline))
                assert loop.time() - began <= FETCH_TIMEOUT_S
            assert peers.wanted == {block_id(bytes([0]))}, "nobody is asked when time is up"
            # What was begun for it goes on for the cache, and ends by itself.
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(1)
                assert loop.time() - began < 4 * FETCH_TIMEOUT_S

    run_virtual(read, 1)


def test_a_read_of_several_blocks_that_wait_for_their_turn_is_slow_and_no_error() -> None:
    async def read() -> None:
        loop, clock = asyncio.get_running_loop(), LoopClock()
        turns = {0: 100.0, 1: 130.0, 2: 131.0}

        async def bucket(project: ProjectId, block: BlockId) -> bytes:
            assert project == PROJECT
            [number] = [each for each in turns if block_id(bytes([each])) == block]
            await asyncio.sleep(max(0.0, turns[number] - loop.time()))
            return bytes([number])

        async with asyncio.TaskGroup() as tasks:
            at = Here(tasks)
            at.source._clock, at.source._bucket = clock, bucket
            daemon = Served(at.source, clock, lambda: loop.time() < 131)
            fetcher = BlockFetcher(
                PROJECT,
                cast("Any", NoFiles()),
                daemon,
                clock,
                lambda _name, _source: None,
                BadBlocks(clock, lambda _block: None),
                tasks,
                ReadingPrograms(clock, lambda _pid: []),
                "layer",
            )
            deadline = fetcher.deadline()
            for number in turns:
                name = BlockName(block_id(bytes([number])), 1, b"n" * 12, len(DATA))
                await fetcher.fetch(name, BlockAsker(deadline), as_bytes=False)
            assert loop.time() >= 130
            # Without a rate, what does not come is given up as ever.
            turns[3] = 1e6
            name = BlockName(block_id(bytes([3])), 1, b"n" * 12, len(DATA))
            await asyncio.sleep(FETCH_TIMEOUT_S)
            began = loop.time()
            with pytest.raises(Unreadable):
                await fetcher.fetch(name, BlockAsker(fetcher.deadline()), as_bytes=False)
            assert loop.time() - began <= FETCH_TIMEOUT_S
            raise asyncio.CancelledError  # what was begun for it waits for ever

    with suppress(asyncio.CancelledError):
        run_virtual(read, 1)


class Endless(Stalling):
    """Peers of whom nobody has it, and who stall for as long as a program waits."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: set[BlockId] = set()

    async def ask(
        self, device: DeviceId, project: ProjectId, block: BlockId, *, through: bool
    ) -> bytes | None:
        self.wanted.add(block)
        await asyncio.sleep(READ_THROUGH_TIMEOUT_S if through else LOOKUP_TIMEOUT_S)
        return None


async def test_a_search_for_copies_waits_for_no_single_peer() -> None:
    async with here() as at:
        at.source._bucket = refuses
        at.peers.everyone = [SECOND, OTHER]
        at.peers.delay = {SECOND: 60}
        at.peers.have = {OTHER: DATA}
        async with asyncio.timeout(2):
            assert await at.read() == "peer"
