"""Which entry a point in time is, also where clocks are wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from lucidnode.fs.errors import NoSuchPoint
from lucidnode.fs.history.points import cut, parsed, wall_ns
from lucidnode.node.client.ids import Seq

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(*hours_ago: float) -> list[int]:
    return [int((NOW - timedelta(hours=hours)).timestamp()) * 10**9 for hours in hours_ago]


def point(text: str, times: list[int], now: datetime) -> int:
    """Return the entry that *text* means of those made at *times*, which begin with the first."""
    found = parsed(text, Seq(len(times)), now)
    return cut(times, wall_ns(found)) if isinstance(found, datetime) else found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0), ("2", 2), ("3h", 1), ("90m", 2), ("1w", 0), ("2026-03-01T09:30", 1),
        ("2026-03-01 11:00+01:00", 2), ("2026-03-02", 3),
    ],
)  # fmt: skip
def test_a_number_an_age_or_a_date_is_a_point(text: str, expected: int) -> None:
    assert point(text, at(4, 2, 1), NOW) == expected


def test_a_date_is_one_of_the_zone_of_now() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5)))
    assert point("2026-03-01 14:30", at(4, 2, 1), there) == 1


@pytest.mark.parametrize(
    "text", ["", "4", "-1", "yesterday", "2026-02-30", "9" * 40, "99999w", "²"]
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(NoSuchPoint):
        point(text, at(4, 2, 1), NOW)


@pytest.mark.parametrize("wrong", [0, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("where", range(7))
def test_as_many_entries_are_on_the_wrong_side_as_clocks_are_wrong(wrong: int, where: int) -> None:
    times = at(6, 5, 4, 3, 2, 1)
    for hours in (5.5, 3.5, 0.5):
        when = NOW - timedelta(hours=hours)
        told = [*times[:where], wrong, *times[where:]]
        found = cut(told, wall_ns(when))
        limit = when.timestamp() * 1e9
        misplaced = [
            wall_ns
            for number, wall_ns in enumerate(told, 1)
            if wall_ns != wrong and (wall_ns > limit) != (number > found)
        ]
        assert len(misplaced) <= 1, (hours, found)
