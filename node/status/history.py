"""What a workstation moved in the last hour, day and month: for charts, kept across restarts.

Time is cut into steps, finer for the newest: what was counted in a step is kept for as long as its
span lasts. What came between two samples belongs to the step in which the second was taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.savings import NodeTotals
from lucidnode.node.small_database import SmallDatabase

log = logging.getLogger(__name__)

HISTORY_FILE = "history.db"

SAMPLE_S = 10.0
KEEP_S = 60.0
"""Seconds of history that a kill loses at most."""

SERIES = (
    "read_memory", "read_cache", "read_peer", "read_bucket", "read_unsent",
    "written", "uploaded", "downloaded", "served", "received",
)  # fmt: skip
"""What is kept of `NodeTotals`, in bytes."""

FETCH_BOUNDS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 3.0, 10.0, 30.0)
"""Upper bounds of the times that are told apart; longer ones are a last one of their own."""

FETCHED_FROM = ("peer", "bucket")

_FETCH_COUNTS = len(FETCH_BOUNDS_S) + 1
_COUNTS = len(SERIES) + len(FETCHED_FROM) * _FETCH_COUNTS
_MAX_COUNT = 2**63 - 1


class HistorySpan(NamedTuple):
    """*steps* steps of *step_s* seconds each."""

    step_s: int
    steps: int


SPANS = {
    "hour": HistorySpan(10, 360),
    "day": HistorySpan(300, 288),
    "month": HistorySpan(7200, 360),
}

_KEPT_SPANS = 2
"""Of each span so many times its steps are kept: one of them for a time with a wrong clock."""

_VERSION = 1
_SCHEMA = """
CREATE TABLE step (
    span   TEXT NOT NULL,
    number INTEGER NOT NULL,    -- seconds since 1970, divided by those of a step
    counts BLOB NOT NULL,       -- MessagePack of a list of numbers: SERIES, then times of fetches
    PRIMARY KEY (span, number)
) STRICT, WITHOUT ROWID;
"""

Counts = list[int]
_DECODER = msgspec.msgpack.Decoder(Counts)


class FetchTimes(NamedTuple):
    """How many blocks came within each of FETCH_BOUNDS_S, or later, since the daemon started."""

    peer: Sequence[int]
    bucket: Sequence[int]


class History:
    """Samples, and keeps what it sampled. Made by `opened`; somebody runs it."""

    def __init__(self, database: SmallDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._read: Callable[[], tuple[NodeTotals, FetchTimes]] = _nothing
        self._before: Counts | None = None
        self._steps: dict[str, dict[int, Counts]] = {name: {} for name in SPANS}
        self._unkept: set[tuple[str, int]] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, home: Path, clock: Clock) -> AsyncIterator[Self]:
        """Open the history of *home*, and keep it once more at the end. Raises OSError.

        A damaged one begins anew: it is for charts alone.
        """
        path = home / HISTORY_FILE
        database = await asyncio.to_thread(
            SmallDatabase.open, path, _SCHEMA, _VERSION, path.unlink, outlives_power_cuts=False
        )
        history = cls(database, clock)
        try:
            history._take_in(await asyncio.to_thread(database.rows, "SELECT * FROM step"))
            yield history
        finally:
            history.sample()
            await history.keep()
            database.close()

    def count(self, read: Callable[[], tuple[NodeTotals, FetchTimes]]) -> None:
        """Sample what *read* returns from now on: counters that begin at zero, and never fall."""
        self._read = read
        self._before = [0] * _COUNTS

    async def run(self) -> None:
        """Sample and keep, until cancelled."""
        kept_at = self._clock.boot()
        while True:
            await self._clock.sleep(SAMPLE_S)
            self.sample()
            if self._clock.boot() - kept_at >= KEEP_S:
                await self.keep()
                kept_at = self._clock.boot()

    def sample(self) -> None:
        """Count what came since the last time."""
        if self._before is None:
            return
        totals, times = self._read()
        now = [getattr(totals, name) for name in SERIES] + [*times.peer, *times.bucket]
        more = [max(0, new - old) for new, old in zip(now, self._before, strict=True)]
        self._before = now
        if not any(more):
            return
        for name, number in self._current().items():
            counts = self._steps[name].setdefault(number, [0] * _COUNTS)
            self._steps[name][number] = [a + b for a, b in zip(counts, more, strict=True)]
            self._unkept.add((name, number))

    async def keep(self) -> None:
        """Write down what was counted since the last time. If the disk takes nothing, later."""
        gone: list[tuple[str, int]] = []
        for name, current in self._current().items():
            steps = self._steps[name]
            # By how many there are, and not by their age: a clock that is a year ahead for an hour
            # would make all of them old.
            nearest = sorted(steps, key=lambda number: abs(number - current))
            gone += [(name, number) for number in nearest[_KEPT_SPANS * SPANS[name].steps :]]
        for name, number in gone:
            del self._steps[name][number]
        unkept = [key for key in self._unkept if key[1] in self._steps[key[0]]]
        rows = [
            (name, number, msgspec.msgpack.encode(self._steps[name][number]))
            for name, number in unkept
        ]
        self._unkept.clear()
        try:
            await asyncio.to_thread(_write, self._database, rows, gone)
        except OSError as error:
            log.info("what was moved lately is not kept: %s", error)
            self._unkept.update(unkept)

    def shown(self, span: str) -> dict[str, Any]:
        """Return the steps of *span* up to now, the oldest first, each with what came in it.

        *span* is one of SPANS. Bytes by name of `SERIES`; of fetches, the milliseconds that 50, 95 and 99 of 100 did not
        exceed, None where nothing came. *ends* is when the last step ends, in seconds since 1970.
        """
        self.sample()
        step_s, many = SPANS[span]
        last = self._current()[span]
        none = [0] * _COUNTS
        steps = [self._steps[span].get(number, none) for number in range(last - many + 1, last + 1)]
        series = {name: [step[place] for step in steps] for place, name in enumerate(SERIES)}
        times = {}
        for place, source in enumerate(FETCHED_FROM):
            start = len(SERIES) + place * _FETCH_COUNTS
            of_source = [step[start : start + _FETCH_COUNTS] for step in steps]
            total = [sum(counts) for counts in zip(*of_source, strict=True)]
            times[source] = {
                f"p{percent}_ms": within_ms(total, percent) for percent in (50, 95, 99)
            }
        return {
            "span": span,
            "step_s": step_s,
            "ends": (last + 1) * step_s,
            "bytes": series,
            "fetches": times,
        }

    def _current(self) -> dict[str, int]:
        seconds = self._clock.wall_ns() // 10**9
        return {name: seconds // span.step_s for name, span in SPANS.items()}

    def _take_in(self, rows: list[tuple[Any, ...]]) -> None:
        for name, number, raw in rows:
            with contextlib.suppress(Malformed):
                counts = decoded(_DECODER, raw)
                sound = all(0 <= count <= _MAX_COUNT for count in counts)
                if name in SPANS and len(counts) == _COUNTS and sound:
                    self._steps[name][number] = counts


def _nothing() -> tuple[NodeTotals, FetchTimes]:
    none = [0] * _FETCH_COUNTS
    return NodeTotals(), FetchTimes(none, none)


def within_ms(counts: Sequence[int], percent: int) -> float | None:
    """Return the bound in ms that *percent* of 100 did not exceed; the last one for what took longer."""
    wanted = sum(counts) * percent / 100
    if not wanted:
        return None
    seen = 0
    for count, bound_s in zip(counts, FETCH_BOUNDS_S, strict=False):
        seen += count
        if seen >= wanted:
            return bound_s * 1000
    return FETCH_BOUNDS_S[-1] * 1000


def _write(
    database: SmallDatabase,
    rows: list[tuple[str, int, bytes]],
    gone: list[tuple[str, int]],
) -> None:
    with database.transaction():
        database.change("REPLACE INTO step VALUES (?, ?, ?)", rows)
        database.change("DELETE FROM step WHERE span = ? AND number = ?", gone)
