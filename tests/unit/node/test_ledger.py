"""What was saved is kept by day: no restart, kill or colleague's word takes any of it back."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from disk_fixture import ManualClock, Told

from lucidnode.node.client.ids import DeviceId
from lucidnode.node.ledger import LEDGER_FILE, MAX_DAY_BYTES, MAX_DAYS, TOLD_DAYS, Ledger
from lucidnode.node.savings import DayCounts, NodeTotals

ME, BERTA, STRANGER = (DeviceId(letter * 32) for letter in "abc")
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


class Calendar(ManualClock):
    """A clock whose days a test turns."""

    def __init__(self) -> None:
        super().__init__()
        self.at = NOON

    def wall_ns(self) -> int:
        return int(self.at.timestamp()) * 10**9


@contextlib.asynccontextmanager
async def opened(
    home: Path, clock: Calendar | None = None, told: list[str] | None = None
) -> AsyncIterator[Ledger]:
    unasked: list[str] = []
    alerts = Told(unasked if told is None else told)
    async with Ledger.opened(home, ME, lambda: [ME, BERTA], clock or Calendar(), alerts) as ledger:
        yield ledger
    assert unasked == []


async def test_counts_of_all_daemons_of_a_day_add_up(tmp_path: Path) -> None:
    for _ in range(3):
        async with opened(tmp_path) as ledger:
            totals = NodeTotals()
            ledger.count(lambda: totals)  # noqa: B023  # looked at in this round only
            for _ in range(2):
                totals += NodeTotals(from_office=10, downloaded=1)
                await ledger.keep()
            await ledger.keep()
    async with opened(tmp_path) as ledger:
        assert ledger.here() == {ledger.today(): DayCounts(from_office=60, downloaded=6)}


async def test_what_was_shown_is_there_after_a_kill(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        ledger.count(lambda: NodeTotals(from_office=10))
        assert ledger.here() == {}  # counted, not kept: so not shown
        await ledger.refresh()
        shown = ledger.here()
        assert shown == {ledger.today(): DayCounts(from_office=10)}
        # Another reader of the same file sees what a daemon would after a kill -9.
        with contextlib.closing(sqlite3.connect(tmp_path / LEDGER_FILE)) as after:
            [(counts,)] = after.execute("SELECT counts FROM day").fetchall()
        assert b'"from_office":10' in counts


async def test_each_day_has_its_own_counts(tmp_path: Path) -> None:
    clock = Calendar()
    async with opened(tmp_path, clock) as ledger:
        totals = NodeTotals(read_again=5)
        ledger.count(lambda: totals)
        await ledger.keep()
        clock.at += timedelta(1)
        totals += NodeTotals(read_again=7)
        await ledger.keep()
        assert list(ledger.here().values()) == [
            DayCounts(read_again=5),
            DayCounts(read_again=7),
        ]
        clock.at += timedelta(MAX_DAYS + 1)
        totals += NodeTotals(read_again=1)
        await ledger.keep()
    async with opened(tmp_path, clock) as ledger:
        assert list(ledger.here().values()) == [DayCounts(read_again=1)]


async def test_the_office_is_the_sum_of_all_who_ever_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        today = ledger.today()
        ledger.count(lambda: NodeTotals(from_office=1))
        ledger.heard(BERTA, {today.isoformat(): [10, 20]})
        await ledger.keep()
    async with opened(tmp_path) as ledger:  # berta is switched off
        assert ledger.office() == {today: DayCounts(from_office=11, from_cloud=20)}
        # She comes back with a ledger that was lost, and says less.
        ledger.heard(BERTA, {today.isoformat(): [3, 30]})
        await ledger.keep()
        assert ledger.office() == {today: DayCounts(from_office=11, from_cloud=30)}
        assert ledger.office() is ledger.office(), "of years of many nodes, asked for every second"


async def test_what_a_colleague_cannot_have_counted_is_not_counted(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        today = ledger.today()
        ledger.heard(STRANGER, {today.isoformat(): [10]})
        ledger.heard(ME, {today.isoformat(): [10]})
        ledger.heard(
            BERTA,
            {
                today.isoformat(): [2**62, 5, *[1] * 30],
                (today + timedelta(5)).isoformat(): [10],
                (today - timedelta(MAX_DAYS)).isoformat(): [10],
                "2026-02-30": [10],
            },
        )
        await ledger.keep()
        [(day, counts)] = ledger.office().items()
        assert day == today
        assert (counts.from_office, counts.from_cloud) == (MAX_DAY_BYTES, 5)


async def test_colleagues_are_told_of_the_newest_days(tmp_path: Path) -> None:
    clock = Calendar()
    async with opened(tmp_path, clock) as ledger:
        totals = NodeTotals()
        ledger.count(lambda: totals)
        for _ in range(TOLD_DAYS + 3):
            totals += NodeTotals(from_office=4, block_gets=1)
            await ledger.keep()
            clock.at += timedelta(1)
        told = ledger.told()
        assert len(told) == TOLD_DAYS
        assert max(told) == (clock.at - timedelta(1)).astimezone().date().isoformat()
        assert set(map(tuple, told.values())) == {(4, 0, 0, 0, 0, 0, 0, 1, 0)}


async def test_a_damaged_ledger_is_set_aside_and_said(tmp_path: Path) -> None:
    (tmp_path / LEDGER_FILE).write_bytes(b"no database at all" * 1000)
    told: list[str] = []
    async with opened(tmp_path, told=told) as ledger:
        ledger.count(lambda: NodeTotals(from_office=1))
        await ledger.keep()
        assert len(ledger.here()) == 1
    assert len(told) == 1
    assert (tmp_path / "savings.damaged").exists()


async def test_a_disk_that_takes_nothing_is_an_alert_and_loses_no_count(tmp_path: Path) -> None:
    told: list[str] = []
    async with opened(tmp_path, told=told) as ledger:
        totals = NodeTotals(from_office=1)
        ledger.count(lambda: totals)
        with contextlib.closing(
            sqlite3.connect(tmp_path / LEDGER_FILE, isolation_level=None)
        ) as other:
            ledger._database.rows("PRAGMA busy_timeout = 0")
            other.execute("BEGIN IMMEDIATE")
            ledger.heard(BERTA, {ledger.today().isoformat(): [10]})
            await ledger.keep()
            assert ledger.office() == {}
            other.execute("ROLLBACK")
        await ledger.keep()
        assert ledger.office() == {ledger.today(): DayCounts(from_office=11)}
    assert len(told) == 1
