"""People hear of a bucket that is amiss within five seconds, in words, and no longer than it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from lab.virtual_loop import LoopClock, run_virtual

from lucidnode.node.bucket.bucket import Listed
from lucidnode.node.bucket.counted import CountedBucket
from lucidnode.node.bucket.errors import StoreUnfit, Unreachable, Unsettled
from lucidnode.node.bucket.fitness import Fitness, GuardedBucket
from lucidnode.node.bucket.health import BucketHealth
from lucidnode.node.bucket.keys import STUDIO
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import (
    AccessDenied,
    Archived,
    NodeError,
    Unavailable,
)
from lucidnode.node.client.supervision import supervised

KEY = "p/0123/block/ab/abcd"
AWAY = Unreachable("Nobody answers at http://store", "check the network")
EXPIRED = AccessDenied("The token has expired", "give new ones", lasting=True)


class Moody(MemoryBucket):
    """Fails as it is told, reads and writes apart; `hangs` never answers a read, and a get takes `takes_s`."""

    def __init__(self) -> None:
        super().__init__()
        self.objects[STUDIO] = b"{}"
        self.reads: NodeError | None = None
        self.writes: NodeError | None = None
        self.sizes: NodeError | None = None
        self.lists: NodeError | None = None
        self.hangs = False
        self.takes_s = 0.0

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        if self.hangs:
            await asyncio.sleep(3600)
        if self.takes_s:
            await asyncio.sleep(self.takes_s)
        if self.reads:
            raise self.reads
        return await super().get(key, span)

    async def size(self, key: str) -> int | None:
        if self.sizes:
            raise self.sizes
        return await super().size(key)

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        if self.lists:
            raise self.lists
        return await super().list(prefix, after, limit)

    async def put(self, key: str, body: bytes) -> None:
        if self.writes:
            raise self.writes
        await super().put(key, body)

    async def create(self, key: str, body: bytes) -> None:
        if self.writes:
            raise self.writes
        await super().create(key, body)


class Ward:
    """A bucket with its health, on virtual time."""

    def __init__(self) -> None:
        self.store = Moody()
        self.clock = LoopClock()
        self.alerts = Alerts(self.clock)
        self.skew_s: float | None = 0.0
        self.mounted = True
        self.health = BucketHealth(
            is_wanted=lambda: self.mounted,
            skew=lambda: self.skew_s,
            alerts=self.alerts,
            clock=self.clock,
        )
        self.bucket = CountedBucket(self.store, self.clock, self.health.note)

    @property
    def words(self) -> list[str]:
        return [f"{a.cause} {a.remedy}" for a in self.alerts.current() if a.topic == "bucket"]

    async def until(self, is_on: bool, most_s: float) -> float:
        """Wait until the alert is on, or off; return how many seconds it took."""
        begun_at = self.clock.boot()
        while self.alerts.is_on("bucket") is not is_on:
            assert self.clock.boot() - begun_at <= most_s, f"not within {most_s} s"
            await self.clock.sleep(0.1)
        return self.clock.boot() - begun_at

    async def try_to_create(self) -> None:
        with suppress(NodeError):
            await self.bucket.create(KEY, b"x")

    async def try_to_put(self) -> None:
        with suppress(NodeError):
            await self.bucket.put(KEY, b"x")


def on_virtual_time(scene: Callable[[Ward], Awaitable[None]]) -> None:
    async def main() -> None:
        ward = Ward()
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(ward.health.run(lambda: ward.bucket.get(STUDIO)))
            await scene(ward)
            looking.cancel()

    run_virtual(main, 0)


def test_a_bucket_that_refuses_is_told_within_five_seconds_when_nothing_is_sent(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("The token has expired. Give new ones.")

    async def scene(ward: Ward) -> None:
        await ward.clock.sleep(60)
        assert ward.words == []
        ward.store.reads = EXPIRED
        await ward.until(True, 5)
        assert ward.words == ["The token has expired. Give new ones."]
        ward.store.reads = None
        await ward.until(False, 6)

    on_virtual_time(scene)


def test_a_bucket_that_is_away_or_silent_is_told_within_five_seconds(
    expected_warnings: list[str],
) -> None:
    expected_warnings += ["Nobody answers", "does not answer"]

    async def scene(ward: Ward) -> None:
        for _ in range(3):
            await ward.clock.sleep(61.7)
            ward.store.reads = AWAY
            await ward.until(True, 5)
            ward.store.reads = None
            await ward.until(False, 6)
            await ward.clock.sleep(60.3)
            ward.store.hangs = True
            await ward.until(True, 5.2)  # the resolution of this test included
            ward.store.hangs = False
            await ward.until(False, 6)

    on_virtual_time(scene)


def test_a_silent_bucket_that_answers_again_but_fails_is_an_alert_without_a_break(
    expected_warnings: list[str],
) -> None:
    expected_warnings += ["does not answer", "cannot be used now"]

    async def scene(ward: Ward) -> None:
        ward.store.hangs = True
        await ward.until(True, 5.2)
        ward.store.hangs, ward.store.reads = False, Unavailable("It cannot be used now")
        for _ in range(150):
            await ward.clock.sleep(0.1)
            assert ward.words
        assert ward.words == ["It cannot be used now. It is tried again by itself."]
        ward.store.reads = None
        await ward.until(False, 6)

    on_virtual_time(scene)


def test_one_failure_among_good_answers_is_nobodys_business() -> None:
    async def scene(ward: Ward) -> None:
        for _ in range(20):
            ward.store.writes = ward.store.reads = AWAY
            await ward.try_to_put()
            ward.store.writes = ward.store.reads = None
            await ward.try_to_put()
            await ward.clock.sleep(1)
        assert ward.alerts.begun == 0

    on_virtual_time(scene)


def test_a_refused_write_is_not_over_because_a_read_succeeds(expected_warnings: list[str]) -> None:
    expected_warnings.append("is full")

    async def scene(ward: Ward) -> None:
        ward.store.writes = Unavailable("The bucket is full", "make room")
        await ward.try_to_put()
        await ward.clock.sleep(1.5)
        await ward.try_to_put()
        for _ in range(4):  # looks go on, and succeed; what waits is tried again
            await ward.clock.sleep(30)
            await ward.try_to_put()
            assert ward.words == ["The bucket is full. Make room."]
        ward.store.writes = None
        await ward.try_to_put()
        assert ward.words == []

    on_virtual_time(scene)


def test_a_refused_write_that_nobody_wants_any_more_is_over_after_a_while(
    expected_warnings: list[str],
) -> None:
    """An earlier try was carried out, as a read showed, or what was to be written is deleted."""
    expected_warnings.append("The token has expired. Give new ones.")

    async def scene(ward: Ward) -> None:
        ward.store.writes = EXPIRED
        await ward.try_to_put()
        assert ward.words
        await ward.until(False, 80)

    on_virtual_time(scene)


def test_a_read_that_was_refused_for_good_and_that_nobody_wants_any_more_is_over_after_a_while(
    expected_warnings: list[str],
) -> None:
    """A clock that is right again is right for all requests, and nobody may ask for a size for days."""
    expected_warnings.append("The token has expired. Give new ones.")

    async def scene(ward: Ward) -> None:
        ward.store.sizes = EXPIRED
        with suppress(NodeError):
            await ward.bucket.size(STUDIO)
        assert ward.words
        await ward.until(False, 80)

    on_virtual_time(scene)


def test_what_is_refused_for_good_is_told_without_a_break_while_it_is_asked_for_each_minute(
    expected_warnings: list[str],
) -> None:
    """A proxy that writes queries anew breaks the signatures of listings, and of nothing else."""
    expected_warnings.append("The token has expired")

    async def scene(ward: Ward) -> None:
        ward.store.lists = EXPIRED
        for _ in range(10):
            with suppress(NodeError):
                await ward.bucket.list("roster/")
            await ward.clock.sleep(65)
            assert ward.words
        assert ward.alerts.begun == 1

    on_virtual_time(scene)


def test_a_store_that_refuses_listings_alone_is_told_of_as_that(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("The token has expired")
    alone = "that concerns listings alone"

    async def scene(ward: Ward) -> None:
        ward.store.lists = ward.store.reads = EXPIRED
        with suppress(NodeError):
            await ward.bucket.list("roster/")
        await ward.clock.sleep(10)
        assert ward.words == ["The token has expired. Give new ones."]
        ward.store.reads = None
        await ward.clock.sleep(10)
        [words] = ward.words
        assert alone in words
        ward.store.writes = EXPIRED
        await ward.try_to_put()
        assert alone not in ward.words[0]

    on_virtual_time(scene)


def test_what_was_refused_for_good_is_not_over_before_the_store_has_granted_something(
    expected_warnings: list[str],
) -> None:
    """Nothing is mounted, and nothing asked: the token is what it was, whatever it was used for."""
    expected_warnings.append("The token has expired. Give new ones.")

    async def scene(ward: Ward) -> None:
        ward.mounted = False
        ward.store.sizes = ward.store.writes = EXPIRED
        with suppress(NodeError):
            await ward.bucket.size(STUDIO)
        await ward.try_to_put()
        await ward.clock.sleep(3600)
        assert ward.words
        await ward.bucket.get(STUDIO)
        await ward.until(False, 5)

    on_virtual_time(scene)


def test_what_was_granted_before_a_refusal_says_nothing_of_it(expected_warnings: list[str]) -> None:
    """Its answer may come after it, as that of a long read does."""
    expected_warnings.append("The token has expired. Give new ones.")

    async def scene(ward: Ward) -> None:
        ward.mounted = False
        ward.store.sizes = EXPIRED
        ward.store.takes_s = 30
        async with asyncio.TaskGroup() as group:
            group.create_task(ward.bucket.get(STUDIO))
            await ward.clock.sleep(10)
            with suppress(NodeError):
                await ward.bucket.size(STUDIO)
        await ward.clock.sleep(100)
        assert ward.words

    on_virtual_time(scene)


def test_a_size_that_fails_is_not_over_because_bodies_come(expected_warnings: list[str]) -> None:
    """A gateway answers each get with its page; a range or a listing it has not."""
    expected_warnings.append("all of the object")

    async def scene(ward: Ward) -> None:
        ward.store.sizes = Unavailable("The store answered all of the object instead of a part")
        begun_at = ward.clock.boot()
        while ward.clock.boot() - begun_at < 30:
            await ward.bucket.get(STUDIO)
            with suppress(NodeError):
                await ward.bucket.size(STUDIO)
            await ward.clock.sleep(0.2)
            assert ward.words or ward.clock.boot() - begun_at < 1.5
        await ward.until(False, 20)

    on_virtual_time(scene)


def test_a_create_whose_answer_was_lost_is_over_after_a_while(expected_warnings: list[str]) -> None:
    """It was carried out, and whoever asked for it saw that by a read: nothing is sent again."""
    expected_warnings.append("connection was cut")

    async def scene(ward: Ward) -> None:
        ward.store.writes = Unsettled("The connection was cut")
        ward.store.writes.__cause__ = Unavailable("The connection was cut")
        await ward.try_to_create()
        await ward.clock.sleep(1.5)
        await ward.try_to_create()
        assert ward.words
        await ward.until(False, 80)

    on_virtual_time(scene)


def test_that_nobody_answered_a_write_is_over_with_any_answer(expected_warnings: list[str]) -> None:
    expected_warnings.append("Nobody answers")

    async def scene(ward: Ward) -> None:
        ward.store.writes = ward.store.reads = AWAY
        await ward.try_to_put()
        await ward.until(True, 5)
        ward.store.reads = None
        await ward.until(False, 6)

    on_virtual_time(scene)


def test_looks_are_few_and_none_where_nobody_works_or_others_ask() -> None:
    async def scene(ward: Ward) -> None:
        await ward.clock.sleep(3600)
        assert 0 < ward.health.looks <= 1200
        ward.mounted, before = False, ward.health.looks
        await ward.clock.sleep(3600)
        assert ward.health.looks == before
        ward.mounted = True
        for _ in range(1800):
            await ward.bucket.get(STUDIO)
            await ward.clock.sleep(2)
        assert ward.health.looks == before

    on_virtual_time(scene)


def test_a_clock_that_is_off_is_an_alert_until_it_is_right(expected_warnings: list[str]) -> None:
    expected_warnings.append("is 5 minutes behind the store's")

    async def scene(ward: Ward) -> None:
        ward.skew_s = 300.0
        await ward.clock.sleep(5)
        assert ward.alerts.is_on("clock")
        ward.skew_s = -2.0
        await ward.clock.sleep(5)
        assert not ward.alerts.is_on("clock")

    on_virtual_time(scene)


def test_an_archived_object_is_told_and_is_no_outage(expected_warnings: list[str]) -> None:
    expected_warnings.append("moved objects to an archive")

    async def scene(ward: Ward) -> None:
        ward.store.reads = Archived("it lies in an archive")
        with suppress(Archived):
            await ward.bucket.get(KEY)
        ward.store.reads = None
        assert ward.alerts.is_on("bucket-archive")
        assert ward.words == []
        await ward.clock.sleep(700)
        assert not ward.alerts.is_on("bucket-archive")

    on_virtual_time(scene)


def test_an_unfit_store_lets_mounts_in_and_takes_no_entry(expected_warnings: list[str]) -> None:
    expected_warnings.append("The store ignores If-None-Match")

    class Careless(MemoryBucket):
        careless = True

        async def create(self, key: str, body: bytes) -> None:
            if self.careless:
                self.objects[key] = body
            else:
                await super().create(key, body)

    async def main() -> None:
        clock, store = LoopClock(), Careless()
        alerts = Alerts(clock)
        fitness = Fitness(store, alerts, clock)
        bucket = GuardedBucket(store, fitness)
        await bucket.create("roster/1", b"nothing is known against it yet")
        await fitness.check()
        assert alerts.is_on("bucket-unfit")
        before = dict(store.objects)
        try:
            await bucket.create("roster/1", b"another")
        except StoreUnfit:
            pass
        else:
            raise AssertionError
        assert store.objects == before
        async with asyncio.TaskGroup() as group:
            probing = group.create_task(fitness.run())
            store.careless = False
            await clock.sleep(70)
            probing.cancel()
        assert not alerts.is_on("bucket-unfit")
        await bucket.create("roster/2", b"entry")

    run_virtual(main, 0)


def test_a_probe_that_was_begun_early_is_that_of_the_next_mount_and_of_no_other() -> None:
    class Counting(MemoryBucket):
        probes = 0

        async def put(self, key: str, body: bytes) -> None:
            self.probes += 1
            await asyncio.sleep(2)
            await super().put(key, body)

    async def main() -> None:
        clock, store = LoopClock(), Counting()
        alerts = Alerts(clock)
        fitness = Fitness(store, alerts, clock)
        async with supervised(alerts, clock) as tasks:
            fitness.begin(tasks)
            fitness.begin(tasks)
            await clock.sleep(1)
            came = clock.boot()
            await fitness.check()
            assert (store.probes, clock.boot() - came) == (1, 1)
            await fitness.check()
            assert store.probes == 2
            fitness.begin(tasks)
            await clock.sleep(100)
            await fitness.check()
            assert store.probes == 4, "what was seen so long ago is not what is"

    run_virtual(main, 0)


def test_a_store_that_hangs_keeps_no_mount_waiting_for_its_probe() -> None:
    class Hanging(MemoryBucket):
        async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
            return await asyncio.sleep(3600, b"")

        async def delete(self, key: str) -> None:
            await asyncio.sleep(3600)

    async def main() -> None:
        clock = LoopClock()
        began = clock.boot()
        fitness = Fitness(Hanging(), Alerts(clock), clock)
        await fitness.check()
        assert clock.boot() - began <= 10
        assert fitness.reason is None

    run_virtual(main, 0)


def test_what_failed_before_it_was_mended_says_nothing_whatever_kind_it_was(
    expected_warnings: list[str],
) -> None:
    """New credentials: what they were refused for may not be asked for again for long."""
    expected_warnings.append("The token has expired. Give new ones.")

    async def scene(ward: Ward) -> None:
        ward.store.writes = ward.store.reads = EXPIRED
        await ward.try_to_put()
        await ward.until(is_on=True, most_s=5)
        ward.store.writes = ward.store.reads = None
        ward.health.hurry()
        assert not ward.alerts.is_on("bucket")
        ward.store.reads = EXPIRED  # they are no better
        await ward.until(is_on=True, most_s=5)

    on_virtual_time(scene)
