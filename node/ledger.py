"""The counts behind the savings, by node and day: kept on disk, so that no restart takes any back.

The door to `savings.db` in the home. What is shown is what is on disk: it is written first. Each
node counts itself; what colleagues say of theirs is kept beside it, so that a workstation that is
switched off goes on counting. Days are those of each node's own calendar.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Self

import msgspec

from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.json_text import json_in
from lucidnode.node.savings import DayCounts, NodeTotals, day_counts, grown
from lucidnode.node.small_database import SmallDatabase

log = logging.getLogger(__name__)

LEDGER_FILE = "savings.db"

KEEP_INTERVAL_S = 10.0
"""Seconds of counting that a kill, or a power cut, loses at most."""

_FRESH_S = 1.0
"""Seconds for which what was kept is fresh enough for people."""

MAX_DAYS = 1100
"""Days that are kept: three years."""

TOLD_DAYS = 400
"""Days that a colleague is told of when he is met: 33 KB."""

MAX_DAY_BYTES = 86_400 * 10**9
"""The most that a count of one day is believed to be: 1 GB a second."""

_VERSION = 1
_SCHEMA = """
CREATE TABLE day (
    device TEXT NOT NULL,
    day    TEXT NOT NULL,   -- YYYY-MM-DD
    counts BLOB NOT NULL,   -- JSON of DayCounts
    PRIMARY KEY (device, day)
) STRICT, WITHOUT ROWID;
"""

Days = dict[date, DayCounts]


class Ledger:
    """The days of this node and of its colleagues. Made by `opened`."""

    def __init__(
        self,
        database: SmallDatabase,
        me: DeviceId,
        members: Callable[[], Collection[DeviceId]],
        clock: Clock,
        alerts: Alerts,
    ) -> None:
        self._database = database
        self._me = me
        self._members = members
        self._clock = clock
        self._alerts = alerts
        self._totals: Callable[[], NodeTotals] = NodeTotals
        self._counted = DayCounts()
        self._kept: dict[DeviceId, Days] = {}
        """What is on disk."""
        self._sums: Days = {}
        """Of all nodes: who looks at a dashboard asks every second, and there are years of days of each node."""
        self._heard: dict[DeviceId, Days] = {}
        """What colleagues said since the last time."""
        self._kept_at = clock.boot() - _FRESH_S
        self._turn = asyncio.Lock()

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(
        cls,
        home: Path,
        me: DeviceId,
        members: Callable[[], Collection[DeviceId]],
        clock: Clock,
        alerts: Alerts,
    ) -> AsyncIterator[Self]:
        """Open the ledger of *home* and keep it once more at the end. Raises OSError.

        Only what devices of *members* say is taken. A damaged file is set aside, and an alert.
        """
        database, aside = await asyncio.to_thread(_opened, home / LEDGER_FILE)
        ledger = cls(database, me, members, clock, alerts)
        try:
            if aside is not None:
                alerts.begin(
                    "savings-damaged",
                    f"The counts of past savings were damaged; what is left of them is in {aside}.",
                    "Counting begins anew today; colleagues' counts come back as they are met.",
                    lasts_s=EVENT_S,
                )
            for device, days in (await asyncio.to_thread(_read, database)).items():
                ledger._take(device, days)
            yield ledger
        finally:
            await ledger.keep()
            database.close()

    def count(self, totals: Callable[[], NodeTotals]) -> None:
        """Count what *totals* shows from now on: counters that begin at zero, and never fall."""
        self._totals = totals

    async def run(self) -> None:
        """Keep what was counted, every KEEP_INTERVAL_S seconds, until cancelled."""
        while True:
            await self._clock.sleep(KEEP_INTERVAL_S)
            await self.keep()

    async def refresh(self) -> None:
        """Have what is shown be no older than a second, if the disk allows it."""
        if self._clock.boot() - self._kept_at >= _FRESH_S:
            await self.keep()

    async def keep(self) -> None:
        """Write down what was counted and heard since the last time. A disk that fails is an alert."""
        async with self._turn:
            now = day_counts(self._totals())
            more = grown(self._counted, now)
            today = self.today()
            heard, self._heard = self._heard, {}
            changed = {device: dict(days) for device, days in heard.items()}
            if more != DayCounts():
                before = self._kept.get(self._me, {}).get(today, DayCounts())
                changed[self._me] = {today: before + more}
            oldest = today - timedelta(MAX_DAYS)
            try:
                if changed:
                    await asyncio.to_thread(_write, self._database, changed, oldest)
            except OSError as error:
                for device, days in heard.items():  # what came meanwhile is newer
                    self._heard[device] = days | self._heard.get(device, {})
                self._alerts.begin(
                    "savings-kept",
                    f"What was saved cannot be written down: {error}.",
                    "See to the disk of the home directory; it is counted on in memory meanwhile.",
                )
                return
            self._alerts.end("savings-kept")
            self._counted = now
            self._kept_at = self._clock.boot()
            for device, days in changed.items():
                self._take(device, days)

    def _take(self, device: DeviceId, days: Days) -> None:
        """Take note of what is on disk now of *device*, for these *days*."""
        known = self._kept.setdefault(device, {})
        for day, counts in days.items():
            if day in known:
                known[day] = counts
                of_day = (each[day] for each in self._kept.values() if day in each)
                self._sums[day] = sum(of_day, start=DayCounts())
            else:
                known[day] = counts
                self._sums[day] = self._sums.get(day, DayCounts()) + counts

    def today(self) -> date:
        """Return the day on this workstation's calendar."""
        return datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC).astimezone().date()

    def here(self) -> Days:
        """Return this node's days."""
        return self._kept.get(self._me, {})

    def office(self) -> Days:
        """Return the sums over all nodes that were ever heard of."""
        return self._sums

    def told(self) -> dict[str, list[int]]:
        """Return what colleagues are told of this node's days, the newest TOLD_DAYS."""
        newest = sorted(self.here().items())[-TOLD_DAYS:]
        return {day.isoformat(): list(msgspec.structs.astuple(c)) for day, c in newest}

    def heard(self, device: DeviceId, days: Mapping[str, Sequence[int]]) -> None:
        """Take in what *device* says of its days, as far as that can be true.

        What it said before is not taken back: a day's counts only grow.
        """
        if device == self._me or device not in self._members():
            return
        today = self.today()
        for text, numbers in days.items():
            day = _day(text)
            if day is None or not today - timedelta(MAX_DAYS) < day <= today + timedelta(1):
                continue
            before = self._heard.get(device, {}).get(day) or self._kept.get(device, {}).get(day)
            counts = _claimed(numbers, before or DayCounts())
            if counts != before:
                self._heard.setdefault(device, {})[day] = counts


def _claimed(numbers: Sequence[int], before: DayCounts) -> DayCounts:
    """Return the counts that *numbers* claim: at least those *before*, and what is possible."""
    known = msgspec.structs.astuple(before)
    claims = [*numbers, *[0] * len(known)]
    return DayCounts(
        *(max(old, min(claim, MAX_DAY_BYTES)) for old, claim in zip(known, claims, strict=False))
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


# -- the file; blocking ---------------------------------------------------------------------------


def _opened(path: Path) -> tuple[SmallDatabase, Path | None]:
    """Open the ledger at *path*, and say where a damaged one was set aside. Raises OSError."""
    aside: list[Path] = []

    def damaged() -> None:
        aside.append(path.replace(path.with_suffix(".damaged")))

    # What was shown is not to be taken back.
    database = SmallDatabase.open(path, _SCHEMA, _VERSION, damaged, outlives_power_cuts=True)
    return database, aside[0] if aside else None


def _read(database: SmallDatabase) -> dict[DeviceId, Days]:
    found: dict[DeviceId, Days] = {}
    for device, text, raw in database.rows("SELECT device, day, counts FROM day"):
        day = _day(text)
        with contextlib.suppress(Malformed):
            if day is not None:
                counts = json_in(raw, DayCounts)
                found.setdefault(DeviceId(device), {})[day] = counts
    return found


def _write(database: SmallDatabase, changed: Mapping[DeviceId, Days], oldest: date) -> None:
    rows = [
        (device, day.isoformat(), msgspec.json.encode(counts))
        for device, days in changed.items()
        for day, counts in days.items()
    ]
    with database.transaction():
        database.change("REPLACE INTO day VALUES (?, ?, ?)", rows)
        database.change("DELETE FROM day WHERE day < ?", [(oldest.isoformat(),)])
