"""What was moved is shown by hour, day and month, and outlives restarts."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from disk_fixture import ManualClock
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.savings import NodeTotals
from lucidnode.node.status.history import (
    FETCH_BOUNDS_S,
    HISTORY_FILE,
    SERIES,
    SPANS,
    FetchTimes,
    History,
)
from lucidnode.node.status.metrics import Metrics

START = 1_790_000_000
"""Seconds since 1970, at a whole step of none of the spans."""

NEVER = tuple([0] * (len(FETCH_BOUNDS_S) + 1))


class Wall(ManualClock):
    """A clock whose date moves as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = START

    def wall_ns(self) -> int:
        return self.seconds * 10**9


class Life:
    """One run of a daemon, whose counters begin at zero."""

    def __init__(self, history: History, clock: Wall) -> None:
        self.history = history
        self.clock = clock
        self.totals = NodeTotals()
        self.times = FetchTimes(NEVER, NEVER)
        history.count(lambda: (self.totals, self.times))

    def move(self, **moved: int) -> None:
        self.totals += NodeTotals(**moved)

    def sums(self, span: str, name: str) -> list[int]:
        """Return the steps of *span* that are not empty, the oldest first."""
        return [count for count in self.history.shown(span)["bytes"][name] if count]


@contextlib.asynccontextmanager
async def life(folder: Path, clock: Wall) -> AsyncIterator[Life]:
    async with History.opened(folder, clock) as history:
        yield Life(history, clock)


async def test_steps_are_finer_for_what_is_newer(tmp_path: Path) -> None:
    clock = Wall()
    async with life(tmp_path, clock) as here:
        for _ in range(60):
            here.move(read_cache=10, uploaded=1)
            here.history.sample()
            clock.seconds += 60
        clock.seconds -= 60  # the last of them is now
        assert here.sums("hour", "read_cache") == [10] * 60
        assert sum(here.sums("day", "read_cache")) == 600
        assert len(here.sums("day", "read_cache")) in {12, 13}
        assert len(here.sums("month", "read_cache")) in {1, 2}
        for span, (step_s, steps) in SPANS.items():
            shown = here.history.shown(span)
            assert shown["step_s"] == step_s
            assert {len(counts) for counts in shown["bytes"].values()} == {steps}
            assert sum(shown["bytes"]["uploaded"]) == 60
            assert clock.seconds < shown["ends"] <= clock.seconds + step_s
        # An hour later nothing of it is in the hour, and all of it in the day.
        clock.seconds += 3600
        assert here.sums("hour", "read_cache") == []
        assert sum(here.sums("day", "read_cache")) == 600
        clock.seconds += 31 * 86400
        assert here.sums("month", "read_cache") == []


async def test_a_restart_forgets_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    clock = Wall()
    async with life(tmp_path, clock) as here:
        here.move(read_peer=5, served=7)
    clock.seconds += 600
    async with life(tmp_path, clock) as here:
        assert here.sums("hour", "read_peer") == [5]
        here.move(read_peer=2)
        assert here.sums("hour", "read_peer") == [5, 2]
        assert here.sums("month", "served") == [7]
        await here.history.keep()
        await here.history.keep()
    clock.seconds += 86400 * 40
    async with life(tmp_path, clock) as here:
        for span in SPANS:
            assert here.sums(span, "served") == []


@pytest.mark.parametrize("left", [b"no database " * 1000, None])
async def test_what_is_damaged_begins_anew(tmp_path: Path, left: bytes | None) -> None:
    clock = Wall()
    async with life(tmp_path, clock) as here:
        here.move(read_peer=5)
        here.history.sample()
        await here.history.keep()
        if left is None:  # rows that nobody wrote
            database = here.history._database
            with database.transaction():
                database.change(
                    "REPLACE INTO step VALUES (?, ?, ?)",
                    [("hour", clock.seconds // 10, b"\x93\x01\x02\x03"), ("year", 1, b"\xff")],
                )
    if left is not None:
        (tmp_path / HISTORY_FILE).write_bytes(left)
    async with life(tmp_path, clock) as here:
        here.move(read_cache=1)
        assert here.sums("hour", "read_cache")[-1:] == [1]


async def test_a_disk_that_takes_nothing_costs_nothing_but_what_it_does_not_take(
    tmp_path: Path,
) -> None:
    clock = Wall()
    async with life(tmp_path, clock) as here:
        database = here.history._database
        here.move(read_cache=3)
        here.history.sample()
        database.rows("PRAGMA query_only = 1")
        await here.history.keep()
        assert here.sums("hour", "read_cache") == [3]
        database.rows("PRAGMA query_only = 0")
    async with life(tmp_path, clock) as here:
        assert here.sums("hour", "read_cache") == [3]


async def test_how_long_blocks_took_is_shown_as_far_as_it_is_known(tmp_path: Path) -> None:
    clock, metrics = Wall(), Metrics()
    async with History.opened(tmp_path, clock) as history:
        history.count(lambda: (NodeTotals(), metrics.fetch_times()))
        for _ in range(96):
            metrics.fetched("bucket", 0.02)
        for _ in range(4):
            metrics.fetched("bucket", 0.9)
        metrics.fetched("cache", 5.0)
        shown = history.shown("hour")["fetches"]
        assert shown["peer"] == {"p50_ms": None, "p95_ms": None, "p99_ms": None}
        assert shown["bucket"] == {"p50_ms": 30.0, "p95_ms": 30.0, "p99_ms": 1000.0}
        metrics.fetched("peer", 400.0)
        assert history.shown("hour")["fetches"]["peer"]["p50_ms"] == 30_000.0


@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 2**40)), max_size=30))
def test_whatever_the_clock_does_nothing_is_counted_twice(moves: list[tuple[int, int]]) -> None:
    clock = Wall()
    history = History(None, clock)  # type: ignore[arg-type]  # nothing is kept
    here = Life(history, clock)
    for seconds, moved in moves:
        here.move(read_cache=moved)
        history.sample()
        clock.seconds += seconds - 1000
    total = sum(moved for _, moved in moves)
    for span in SPANS:
        assert sum(sum(step[: len(SERIES)]) for step in history._steps[span].values()) == total


async def test_a_clock_that_was_a_year_ahead_for_a_while_costs_no_history(tmp_path: Path) -> None:
    clock = Wall()
    async with life(tmp_path, clock) as here:
        for _ in range(30):
            here.move(uploaded=10)
            here.history.sample()
            clock.seconds += 10
        for astray in (365 * 86_400, -365 * 86_400):
            await here.history.keep()
            clock.seconds += astray
            here.move(uploaded=1)
            here.history.sample()
            await here.history.keep()
    async with life(tmp_path, clock) as here:
        assert here.sums("hour", "uploaded") == [10] * 30 + [1]
        # What is far from now does not grow without end.
        for _ in range(2 * SPANS["hour"].steps + 1):
            clock.seconds += 10 * SPANS["hour"].steps
            here.move(uploaded=1)
            here.history.sample()
        await here.history.keep()
        assert len(here.history._steps["hour"]) == 2 * SPANS["hour"].steps
    async with life(tmp_path, clock) as here:
        assert len(here.history._steps["hour"]) == 2 * SPANS["hour"].steps
