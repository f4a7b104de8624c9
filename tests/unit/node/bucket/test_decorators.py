"""Counting, limiting and retrying: each wraps a bucket and changes nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random  # noqa: TID251 - seeded, as an argument

import pytest
from bucket_contract import BucketContract
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.bucket.bucket import Bucket, Listed
from lucidnode.node.bucket.counted import CountedBucket, Request
from lucidnode.node.bucket.errors import AlreadyThere, Unsettled
from lucidnode.node.bucket.limited import LimitedBucket, Slots
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.bucket.retrying import RetryingBucket
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import AccessDenied, Corrupt, NodeError, NotThere, Unavailable

KEY = "p/0123/block/ab/abcd"


class FakeClock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now = 1000.0

    def boot(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return int(self.now * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Flaky(MemoryBucket):
    """Raises the errors in turn, whatever is asked; afterwards all is well."""

    def __init__(self, *errors: NodeError) -> None:
        super().__init__()
        self.errors = list(errors)
        self.calls = 0

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        self._maybe_fail()
        return await super().get(key, span)

    async def put(self, key: str, body: bytes) -> None:
        self._maybe_fail()
        await super().put(key, body)

    async def create(self, key: str, body: bytes) -> None:
        self._maybe_fail()
        await super().create(key, body)

    def _maybe_fail(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


class TestRetryingBucket(BucketContract):
    @pytest.fixture
    def bucket(self) -> Bucket:
        return RetryingBucket(MemoryBucket(), SystemClock(), lambda: 0.5, patience_s=5)


class TestLimitedBucket(BucketContract):
    @pytest.fixture
    def bucket(self) -> Bucket:
        return LimitedBucket(MemoryBucket(), reads=1, lists=1, writes=1)


class TestCountedBucket(BucketContract):
    @pytest.fixture
    def bucket(self) -> Bucket:
        return CountedBucket(MemoryBucket(), SystemClock(), lambda request: None)


# -- retries -------------------------------------------------------------------------------------


async def test_what_passes_within_its_patience_is_never_seen() -> None:
    clock, flaky = FakeClock(), Flaky(*[Unavailable("busy")] * 6)
    flaky.objects[KEY] = b"here"
    patient = RetryingBucket(flaky, clock, lambda: 0.5, patience_s=20)
    assert await patient.get(KEY) == b"here"
    assert flaky.calls == 7


@given(st.floats(0, 60), st.randoms(use_true_random=False))
def test_no_try_starts_after_the_patience_is_over(patience: float, seeded: Random) -> None:
    clock, flaky = FakeClock(), Flaky(*[Unavailable("busy")] * 1000)
    with pytest.raises(Unavailable):
        asyncio.run(RetryingBucket(flaky, clock, seeded.random, patience).put(KEY, b"x"))
    assert clock.now <= 1000 + patience
    assert flaky.calls <= 4 + patience / 0.4  # bounded as a rate too: no storm


@pytest.mark.parametrize("error", [NotThere("no"), Corrupt("bad")])
async def test_an_answer_is_not_asked_for_again(error: NodeError) -> None:
    clock, flaky = FakeClock(), Flaky(error)
    with pytest.raises(type(error)):
        await RetryingBucket(flaky, clock, lambda: 0.5, patience_s=20).get(KEY)
    assert flaky.calls == 1


async def test_a_refusal_of_credentials_may_be_a_whim_but_three_are_not() -> None:
    clock, flaky = FakeClock(), Flaky(*[AccessDenied("no")] * 2)
    await RetryingBucket(flaky, clock, lambda: 0.5, patience_s=20).put(KEY, b"x")
    assert flaky.calls == 3
    flaky = Flaky(*[AccessDenied("no")] * 9)
    with pytest.raises(AccessDenied):
        await RetryingBucket(flaky, clock, lambda: 0.5, patience_s=20).put(KEY, b"x")
    assert flaky.calls == 3


@pytest.mark.parametrize("error", [Unsettled("?"), Unavailable("?"), AlreadyThere("?")])
async def test_a_create_is_sent_once_whatever_becomes_of_it(error: NodeError) -> None:
    clock, flaky = FakeClock(), Flaky(error)
    with pytest.raises(type(error)):
        await RetryingBucket(flaky, clock, lambda: 0.5, patience_s=20).create(KEY, b"x")
    assert flaky.calls == 1


@given(st.randoms(use_true_random=False), st.floats(0.01, 1), st.floats(1, 10))
def test_pauses_grow_to_their_ceiling_and_none_is_nothing(
    seeded: Random, first: float, most: float
) -> None:
    backoff = Backoff(seeded.random, first, most)
    ceiling = first
    for _ in range(20):
        assert ceiling / 2 <= backoff.pause() <= ceiling
        ceiling = min(most, 2 * ceiling)
    backoff.reset()
    assert first / 2 <= backoff.pause() <= first


def test_who_waits_for_his_own_machine_waits_for_the_ceiling() -> None:
    backoff = Backoff(None, 1.0, 5.0)
    assert [backoff.pause() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


# -- limits --------------------------------------------------------------------------------------


class Gate(MemoryBucket):
    """Holds every get and put until it is opened, and knows how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        await self._pass("get")
        return b""

    async def put(self, key: str, body: bytes) -> None:
        await self._pass("put")

    async def _pass(self, verb: str) -> None:
        self.under_way[verb] += 1
        self.most[verb] = max(self.most[verb], self.under_way[verb])
        try:
            await self.open.wait()
        finally:
            self.under_way[verb] -= 1


async def test_no_more_calls_are_under_way_than_there_are_places() -> None:
    gate = Gate()
    bucket = LimitedBucket(gate, reads=3, lists=1, writes=2)
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(bucket.get(KEY))
            group.create_task(bucket.put(KEY, b""))
        await asyncio.sleep(0.01)
        assert gate.under_way == {"get": 3, "put": 2}
        gate.open.set()
    assert gate.most == {"get": 3, "put": 2}


async def test_uploads_never_keep_a_reader_or_a_commit_waiting() -> None:
    gate = Gate()
    bucket = LimitedBucket(gate, reads=1, lists=1, writes=1)
    async with asyncio.TaskGroup() as group:
        uploads = [group.create_task(bucket.put(KEY, b"")) for _ in range(5)]
        await asyncio.sleep(0)
        await bucket.create("roster/1", b"")
        reader = group.create_task(bucket.get(KEY))
        await asyncio.sleep(0.01)
        assert gate.under_way["get"] == 1
        for upload in uploads:
            upload.cancel()
        gate.open.set()
    assert reader.result() == b""


async def test_listings_that_fail_or_hang_keep_no_reader_waiting() -> None:
    class NoListing(Gate):
        async def list(
            self, prefix: str, after: str | None = None, limit: int = 1000
        ) -> list[Listed]:
            if after is None:
                raise Unavailable("busy")
            await self._pass("list")
            return []

    gate = NoListing()
    bucket = LimitedBucket(gate, reads=2, lists=2, writes=1)
    for _ in range(5):
        with pytest.raises(Unavailable, match="busy"):
            await bucket.list("p")
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(bucket.list("p", "hangs"))
        for _ in range(3):
            group.create_task(bucket.get(KEY))
        await asyncio.sleep(0.01)
        assert gate.under_way == {"list": 1, "get": 2}
        gate.open.set()


async def test_the_number_of_places_follows_how_the_store_does() -> None:
    slots = Slots(16)

    async def call(error: NodeError | None) -> None:
        with suppress(NodeError):
            async with slots.one():
                await asyncio.sleep(0)
                if error:
                    raise error

    async def many(count: int, error: NodeError | None) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(call(error))

    await many(16, Unavailable("busy"))
    assert slots.limit == 8, "what failed together counts once"
    await many(8, AccessDenied("no"))
    assert slots.limit == 8, "a matter of rights is none of load"
    for _ in range(10):
        await many(8, Unavailable("busy"))
    assert slots.limit == 1, "one call always goes through"
    for _ in range(200):
        await many(4, None)
    assert slots.limit == 16, "and it recovers to what it was"


async def test_a_call_given_up_in_the_queue_leaves_its_place_to_the_next() -> None:
    gate = Gate()
    bucket = LimitedBucket(gate, reads=1, lists=1, writes=1)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(bucket.get(KEY))
        waiting = [group.create_task(bucket.get(KEY)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        first.cancel()  # its place is handed on in the turn in which ...
        await asyncio.sleep(0)
        waiting[1].cancel()  # ... the one it was handed to is given up
        await asyncio.sleep(0.01)
        assert gate.under_way["get"] == 1
        gate.open.set()
    assert waiting[2].result() == b""
    assert await bucket.get(KEY) == b""


async def test_a_call_that_gets_no_place_in_time_is_unavailable_and_out_of_the_way() -> None:
    slots = Slots(1, queue_s=0.01)
    async with slots.one():
        with pytest.raises(Unavailable, match="Too many"):
            async with slots.one():
                raise AssertionError
    async with slots.one():
        assert slots.limit == 1


# -- counting ------------------------------------------------------------------------------------


async def test_every_request_is_counted_once_with_its_bytes_and_its_end() -> None:
    seen: list[Request] = []
    flaky = Flaky()
    bucket = CountedBucket(flaky, SystemClock(), seen.append)
    await bucket.put(KEY, b"12345")
    await bucket.get(KEY)
    await bucket.get(KEY, (1, 3))
    await bucket.create("p/0123/journal/0000000000000001", b"123")
    with pytest.raises(AlreadyThere):
        await bucket.create("p/0123/journal/0000000000000001", b"1234")
    with pytest.raises(NotThere):
        await bucket.get("roster/0000000000000001")
    flaky.errors = [Unavailable("busy"), Unavailable("busy")]
    with pytest.raises(Unavailable):
        await bucket.get(KEY)
    with pytest.raises(Unavailable):
        await bucket.put(KEY, b"12345")
    await bucket.size("studio")
    await bucket.list("roster")
    await bucket.delete(KEY)
    assert [(r.verb, r.kind, r.sent, r.received, r.outcome) for r in seen] == [
        ("put", "block", 5, 0, "done"),
        ("get", "block", 0, 5, "done"),
        ("get", "block", 0, 2, "done"),
        ("create", "journal", 3, 0, "done"),
        ("create", "journal", 4, 0, "taken"),
        ("get", "roster", 0, 0, "absent"),
        ("get", "block", 0, 0, "failed"),
        ("put", "block", 5, 0, "failed"),
        ("size", "other", 0, 0, "done"),
        ("list", "roster", 0, 0, "done"),
        ("delete", "block", 0, 0, "done"),
    ]
    assert all(request.seconds >= 0 for request in seen)


async def test_a_request_given_up_is_counted_as_failed() -> None:
    seen: list[Request] = []
    bucket = CountedBucket(Gate(), SystemClock(), seen.append)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await bucket.get(KEY)
    assert [request.outcome for request in seen] == ["failed"]
