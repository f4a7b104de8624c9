"""The register: three outcomes, whatever the store and the network do in between."""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.bucket.errors import AlreadyThere, Unsettled
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.errors import AccessDenied, Corrupt, NodeError, Refused, Unavailable
from lucidnode.node.journal.register import (
    CommitOutcome,
    Committed,
    Lost,
    SlotContent,
    Unknown,
    commit,
)

KEY = "roster/0000000000000001"


class FakeClock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now = 1000.0

    def boot(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return int(self.now * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)  # whoever else can go on does
        self.now += seconds


class Mishap(Enum):
    NONE = auto()
    BEFORE = auto()
    """The request never arrives."""
    AFTER = auto()
    """It is applied, its answer is lost."""
    DENIED = auto()
    LATE = auto()
    """It is given up, and applied when the bucket is asked the next time."""


class StormyBucket(MemoryBucket):
    """Lets the mishaps befall its calls in turn; afterwards all is well."""

    def __init__(self, mishaps: list[Mishap]) -> None:
        super().__init__()
        self.mishaps = mishaps
        self.overtaken_by: bytes | None = None
        self._late: tuple[str, bytes] | None = None

    async def create(self, key: str, body: bytes) -> None:
        match self._next():
            case Mishap.BEFORE:
                raise Unsettled("cut")
            case Mishap.DENIED:
                raise AccessDenied("denied")
            case Mishap.LATE:
                self._late = key, body
                raise Unsettled("no answer")
            case Mishap.AFTER:
                await self._create_first(key, body)
                raise Unsettled("answer lost")
            case Mishap.NONE:
                await self._create_first(key, body)

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        match self._next():
            case Mishap.NONE:
                return await super().get(key, span)
            case Mishap.DENIED:
                raise AccessDenied("denied")
            case _:
                raise Unavailable("cut")

    async def _create_first(self, key: str, body: bytes) -> None:
        if self.overtaken_by is not None and key not in self.objects:
            self.objects[key] = self.overtaken_by
        await super().create(key, body)

    def _next(self) -> Mishap:
        if self._late:
            self.objects.setdefault(*self._late)
            self._late = None
        return self.mishaps.pop(0) if self.mishaps else Mishap.NONE


mishaps = st.lists(st.sampled_from(Mishap), max_size=12)


def truth(bucket: MemoryBucket, body: bytes) -> Committed | Lost | None:
    if KEY not in bucket.objects:
        return None
    there = bucket.objects[KEY]
    return Committed() if there == body else Lost(SlotContent.of(there))


async def settled(
    bucket: StormyBucket, body: bytes, clock: FakeClock, jitter: float
) -> CommitOutcome:
    """Commit *body* again for as long as the bucket refuses again and again, which ends."""
    while True:
        outcome = await commit(bucket, KEY, body, clock, clock.now + 300, lambda: jitter)
        if not isinstance(outcome, Unknown):
            return outcome
        assert isinstance(outcome.cause, AccessDenied)


@given(mishaps, st.none() | st.just(b"theirs"), st.floats(0, 30))
def test_what_is_reported_as_settled_is_what_is_there(
    storm: list[Mishap], rival: bytes | None, seconds: float
) -> None:
    async def run() -> None:
        clock, bucket = FakeClock(), StormyBucket(storm)
        bucket.overtaken_by = rival
        outcome = await commit(bucket, KEY, b"ours", clock, clock.now + seconds, lambda: 0.5)
        if not isinstance(outcome, Unknown):
            assert outcome == truth(bucket, b"ours")

    asyncio.run(run())


@given(mishaps, mishaps, st.none() | st.just(b"theirs"))
def test_an_unknown_outcome_is_settled_by_committing_the_same_again(
    storm: list[Mishap], second_storm: list[Mishap], rival: bytes | None
) -> None:
    async def run() -> None:
        clock, bucket = FakeClock(), StormyBucket(storm)
        bucket.overtaken_by = rival
        first = await commit(bucket, KEY, b"ours", clock, clock.now, lambda: 0.5)
        bucket.mishaps = second_storm
        outcome = await settled(bucket, b"ours", clock, 0.5)
        assert outcome == truth(bucket, b"ours")
        if not isinstance(first, Unknown):
            assert outcome == first

    asyncio.run(run())


@given(mishaps, mishaps)
def test_of_two_writers_at_most_one_is_told_that_it_won(
    storm: list[Mishap], order: list[Mishap]
) -> None:
    async def run() -> None:
        clock, bucket = FakeClock(), StormyBucket([*storm, *order])
        async with asyncio.TaskGroup() as group:
            one, two = (
                group.create_task(settled(bucket, body, clock, 0.3)) for body in (b"one", b"two")
            )
        assert {one.result(), two.result()} in (
            {Committed(), Lost(SlotContent.of(b"one"))},
            {Committed(), Lost(SlotContent.of(b"two"))},
        )

    asyncio.run(run())


@pytest.mark.parametrize("cause", [AccessDenied("no"), Unsettled("no"), Unavailable("no")])
async def test_what_stays_wrong_is_the_cause_of_unknown_and_ends_by_its_deadline(
    cause: NodeError,
) -> None:
    class Failing(MemoryBucket):
        async def create(self, key: str, body: bytes) -> None:
            raise cause

    clock = FakeClock()
    assert await commit(Failing(), KEY, b"x", clock, clock.now + 20, lambda: 0.9) == Unknown(cause)
    assert clock.now <= 1020


async def test_a_store_that_refuses_creates_is_not_asked_twice() -> None:
    class Refusing(MemoryBucket):
        tries = 0

        async def create(self, key: str, body: bytes) -> None:
            self.tries += 1
            raise Refused("not implemented")

    clock, bucket = FakeClock(), Refusing()
    outcome = await commit(bucket, KEY, b"x", clock, clock.now + 60, lambda: 0.5)
    assert isinstance(outcome, Unknown)
    assert isinstance(outcome.cause, Refused)
    assert bucket.tries == 1


async def test_an_object_nobody_can_read_leaves_the_outcome_unknown() -> None:
    class Swollen(MemoryBucket):
        async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
            raise Corrupt("too large")

    clock, bucket = FakeClock(), Swollen()
    await bucket.create(KEY, b"theirs")
    outcome = await commit(bucket, KEY, b"x", clock, clock.now, lambda: 0.5)
    assert isinstance(outcome, Unknown)
    assert isinstance(outcome.cause, Corrupt)


async def test_a_create_that_hangs_does_not_hide_who_won() -> None:
    class Hanging(MemoryBucket):
        async def create(self, key: str, body: bytes) -> None:
            await asyncio.Event().wait()

    clock, bucket = FakeClock(), Hanging()
    bucket.objects[KEY] = b"theirs"
    outcome = await commit(bucket, KEY, b"ours", clock, clock.now + 60, lambda: 0.5)
    assert outcome == Lost(SlotContent.of(b"theirs"))


async def test_a_slow_create_is_waited_for_while_the_name_is_free() -> None:
    looked = asyncio.Event()

    class Slow(MemoryBucket):
        async def create(self, key: str, body: bytes) -> None:
            await looked.wait()
            await super().create(key, body)

        async def size(self, key: str) -> int | None:
            looked.set()
            return await super().size(key)

    clock, bucket = FakeClock(), Slow()
    outcome = await commit(bucket, KEY, b"ours", clock, clock.now + 60, lambda: 0.5)
    assert outcome == Committed()
    assert bucket.objects[KEY] == b"ours"


async def test_a_bug_in_the_store_is_not_taken_for_an_outcome() -> None:
    class Broken(MemoryBucket):
        async def create(self, key: str, body: bytes) -> None:
            raise ZeroDivisionError

    clock = FakeClock()
    with pytest.raises(BaseExceptionGroup):
        await commit(Broken(), KEY, b"x", clock, clock.now, lambda: 0.5)


async def test_a_name_taken_before_is_lost_at_once() -> None:
    clock, bucket = FakeClock(), MemoryBucket()
    await bucket.create(KEY, b"theirs")
    with pytest.raises(AlreadyThere):
        await bucket.create(KEY, b"ours")
    outcome = await commit(bucket, KEY, b"ours", clock, clock.now + 60, lambda: 0.5)
    assert outcome == Lost(SlotContent.of(b"theirs"))
    assert clock.now <= 1000.2


@pytest.mark.parametrize(
    ("refusal", "tries"),
    [
        (AccessDenied("no right"), 3),
        (AccessDenied("expired", lasting=True), 1),
        (Unavailable("in another region", lasting=True), 1),
    ],
)
async def test_who_is_refused_again_and_again_is_told_at_once(
    refusal: NodeError, tries: int
) -> None:
    class Refusing(MemoryBucket):
        tries = 0

        async def create(self, key: str, body: bytes) -> None:
            self.tries += 1
            raise refusal

    clock, bucket = FakeClock(), Refusing()
    outcome = await commit(bucket, KEY, b"x", clock, clock.now + 3600, lambda: 0.5)
    assert outcome == Unknown(refusal)
    assert bucket.tries == tries


async def test_one_refusal_among_other_faults_is_not_meant() -> None:
    class Shaky(MemoryBucket):
        faults: ClassVar = [AccessDenied("no"), AccessDenied("no"), Unavailable("away")] * 3

        async def create(self, key: str, body: bytes) -> None:
            if self.faults:
                raise self.faults.pop()
            await super().create(key, body)

    clock = FakeClock()
    outcome = await commit(Shaky(), KEY, b"x", clock, clock.now + 3600, lambda: 0.5)
    assert outcome == Committed()
