"""Laws of the savings figures: honest, apart, and never above what was needed."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from lucidnode.node.savings import DayCounts, NodeTotals, day_counts, grown, period, savings

counts = st.integers(0, 2**50)
days = st.builds(DayCounts, **dict.fromkeys(DayCounts.__struct_fields__, counts))


@given(days)
@example(DayCounts(from_cloud=502_607_062_345_411))  # 100.00000000000001 in floating point
def test_savings_are_between_nothing_and_everything(day: DayCounts) -> None:
    result = savings(day, 0.09)
    assert 0 <= result.saved_by_office <= result.needed
    assert 0.0 <= result.percent <= 100.0


@given(days, counts)
def test_every_byte_downloaded_counts_against_the_saving(day: DayCounts, more: int) -> None:
    worse = msgspec.structs.replace(day, downloaded=day.downloaded + more)
    before, after = savings(day, 0.09), savings(worse, 0.09)
    assert after.saved_by_office == max(0, before.saved_by_office - more)
    assert after.saved_by_cache == before.saved_by_cache


@given(days, counts)
def test_what_is_read_ahead_and_not_used_saves_nothing(day: DayCounts, more: int) -> None:
    day = msgspec.structs.replace(day, ahead_used=min(day.ahead_used, day.ahead))
    ahead = msgspec.structs.replace(day, from_office=day.from_office + more, ahead=day.ahead + more)
    assert savings(ahead, 0.09).saved_by_office <= savings(day, 0.09).saved_by_office


@given(days)
def test_own_caches_are_no_saving_of_the_office(day: DayCounts) -> None:
    without = msgspec.structs.replace(day, read_again=0)
    assert savings(day, 0.09).saved_by_office == savings(without, 0.09).saved_by_office
    assert savings(without, 0.09).saved_by_cache == 0


def test_three_readers_and_one_download_save_two_thirds() -> None:
    owner = DayCounts(from_cloud=900, downloaded=900)
    reader = DayCounts(from_office=900)
    result = savings(owner + reader + reader, 0.09)
    assert result.percent == 100 * 1800 / 2700


def test_to_read_through_for_one_colleague_saves_nothing() -> None:
    owner, reader = DayCounts(downloaded=900), DayCounts(from_office=900)
    assert savings(owner + reader, 0.09).saved_by_office == 0


def test_what_is_written_and_read_back_is_in_no_figure() -> None:
    wrote = NodeTotals(written=900, uploaded=900, read_cache=900, read_unsent=900, read_memory=900)
    assert savings(day_counts(wrote), 0.09) == savings(DayCounts(), 0.09)


def test_money_is_per_decimal_gigabyte() -> None:
    result = savings(DayCounts(from_office=10**9, read_again=2 * 10**9), 0.09)
    assert (result.money_by_office, result.money_by_cache) == (0.09, 0.18)


@given(days, days)
def test_what_grew_is_what_was_added(before: DayCounts, more: DayCounts) -> None:
    assert grown(before, before + more) == more


@given(st.dictionaries(st.integers(0, 60), days, max_size=5), st.integers(0, 60))
def test_a_period_counts_its_first_day_and_none_before(
    office: dict[int, DayCounts], first: int
) -> None:
    start = date(2026, 11, 1)
    by_day = {start + timedelta(number): counts for number, counts in office.items()}
    found = period({}, by_day, start + timedelta(first), 0.09)
    assert found["office"]["saved_by_cache"] == sum(
        counts.read_again for number, counts in office.items() if number >= first
    )
    assert "saved_by_office" not in found["here"]
