"""Laws of the savings figures: honest, apart, and never above what was needed."""

from __future__ import annotations

import re
from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lab.places import REPOSITORY

from lucidnode.node.prices import LISTS, PROVIDERS, Provider
from lucidnode.node.savings import DayCounts, NodeTotals, day_counts, grown, period, savings

PRICES, MIB = LISTS["aws-s3"], 1 << 20
counts = st.integers(0, 2**50)
days = st.builds(DayCounts, **dict.fromkeys(DayCounts.__struct_fields__, counts))


@given(days)
@example(DayCounts(from_cloud=502_607_062_345_411))  # 100.00000000000001 in floating point
def test_savings_are_between_nothing_and_everything(day: DayCounts) -> None:
    result = savings(day, PRICES, MIB)
    assert 0 <= result.saved_by_office <= result.needed
    assert 0.0 <= result.percent <= 100.0


@given(days, counts)
def test_every_byte_downloaded_counts_against_the_saving(day: DayCounts, more: int) -> None:
    worse = msgspec.structs.replace(day, downloaded=day.downloaded + more)
    before, after = savings(day, PRICES, MIB), savings(worse, PRICES, MIB)
    assert after.saved_by_office == max(0, before.saved_by_office - more)
    assert after.saved_by_cache == before.saved_by_cache


@given(days, counts)
def test_what_is_read_ahead_and_not_used_saves_nothing(day: DayCounts, more: int) -> None:
    day = msgspec.structs.replace(day, ahead_used=min(day.ahead_used, day.ahead))
    ahead = msgspec.structs.replace(day, from_office=day.from_office + more, ahead=day.ahead + more)
    assert savings(ahead, PRICES, MIB).saved_by_office <= savings(day, PRICES, MIB).saved_by_office


@given(days)
def test_own_caches_are_no_saving_of_the_office(day: DayCounts) -> None:
    without = msgspec.structs.replace(day, read_again=0)
    assert (
        savings(day, PRICES, MIB).saved_by_office == savings(without, PRICES, MIB).saved_by_office
    )
    assert savings(without, PRICES, MIB).saved_by_cache == 0


def test_three_readers_and_one_download_save_two_thirds() -> None:
    owner = DayCounts(from_cloud=900, downloaded=900)
    reader = DayCounts(from_office=900)
    result = savings(owner + reader + reader, PRICES, MIB)
    assert result.percent == 100 * 1800 / 2700


def test_to_read_through_for_one_colleague_saves_nothing() -> None:
    owner, reader = DayCounts(downloaded=900), DayCounts(from_office=900)
    assert savings(owner + reader, PRICES, MIB).saved_by_office == 0


def test_what_is_written_and_read_back_is_in_no_figure() -> None:
    wrote = NodeTotals(written=900, uploaded=900, read_cache=900, read_unsent=900, read_memory=900)
    assert savings(day_counts(wrote), PRICES, MIB) == savings(DayCounts(), PRICES, MIB)


def test_money_is_for_gigabytes_of_the_provider_and_for_the_requests_that_they_take() -> None:
    bandwidth = PRICES.changed({"per_1000_gets": 0.0})
    day = DayCounts(from_office=1 << 30, read_again=2 << 30)
    result = savings(day, bandwidth, MIB)
    assert (result.money_by_office, result.money_by_cache) == (0.09, 0.18)
    result = savings(day, PRICES, MIB)
    assert (result.requests_by_office, result.requests_by_cache) == (1024, 2048)
    assert result.money_by_office == 0.09 + 1024 / 1000 * 0.0004
    spent = savings(DayCounts(downloaded=1 << 30, block_gets=1000, block_puts=2000), PRICES, MIB)
    assert spent.money_spent == pytest.approx(0.09 + 0.0004 + 0.01)


@given(days, st.sampled_from(PROVIDERS), st.integers(1 << 18, 1 << 24))
def test_requests_saved_are_no_more_than_blocks_of_the_largest_size(
    day: DayCounts, provider: Provider, block_bytes: int
) -> None:
    result = savings(day, LISTS[provider], block_bytes)
    assert result.requests_by_office * block_bytes <= result.saved_by_office
    assert result.requests_by_cache * block_bytes <= result.saved_by_cache
    assert min(result.money_by_office, result.money_by_cache, result.money_spent) >= 0.0


def test_what_is_read_ahead_is_waste_that_is_not_final() -> None:
    result = savings(DayCounts(from_cloud=900, ahead=500, ahead_used=200, wasted=70), PRICES, MIB)
    assert (result.wasted, result.not_used_yet) == (370, 300)


def test_a_store_takes_a_month_of_storage_by_its_list_and_own_prices_are_above_it() -> None:
    assert PRICES.month_of(1000 << 30) == pytest.approx(23.0)
    assert LISTS["cloudflare-r2"].month_of(10**12) == pytest.approx(15.0)
    own = PRICES.changed({"per_gb_month": 0.01, "per_gb": None})
    assert own.month_of(1000 << 30) == pytest.approx(10.0)
    assert own.per_gb == PRICES.per_gb
    for provider in PROVIDERS:
        listed = LISTS[provider]
        assert listed.provider == provider
        assert (listed.as_of != "") is listed.source.startswith("https://")
        assert re.fullmatch("|20[0-9]{2}-(0[1-9]|1[0-2])", listed.as_of), "a month, not only a year"


def test_the_documents_have_the_lists_that_are_reckoned_with() -> None:
    page = (REPOSITORY / "docs/savings.md").read_text("utf-8")
    rows = re.findall(
        r"^\| `([a-z0-9-]+)`.*? \| (.+) \| (?:<(.+?)>, (.+)|what you set) \|$", page, re.MULTILINE
    )
    assert {
        provider: ([float(each) for each in figures.split(" | ")], source, as_of)
        for provider, figures, source, as_of in rows
    } == {
        each.provider: (
            [each.per_gb, each.per_1000_gets, each.per_1000_puts, each.per_gb_month],
            each.source if each.as_of else "",
            each.as_of,
        )
        for each in LISTS.values()
    }


@given(days, days)
def test_what_grew_is_what_was_added(before: DayCounts, more: DayCounts) -> None:
    assert grown(before, before + more) == more


@given(st.dictionaries(st.integers(0, 60), days, max_size=5), st.integers(0, 60))
def test_a_period_counts_its_first_day_and_none_before(
    office: dict[int, DayCounts], first: int
) -> None:
    start = date(2026, 11, 1)
    by_day = {start + timedelta(number): counts for number, counts in office.items()}
    found = period({}, by_day, start + timedelta(first), PRICES, MIB)
    assert found["office"]["saved_by_cache"] == sum(
        counts.read_again for number, counts in office.items() if number >= first
    )
    assert "saved_by_office" not in found["here"]


def test_days_behind_a_period_are_not_in_it() -> None:
    office = {
        date(2026, 11, 26): DayCounts(read_again=5),
        date(2027, 11, 26): DayCounts(read_again=7),
    }
    ends = date(2026, 11, 27)
    found = period({}, office, date(2026, 11, 26), PRICES, MIB, ends)
    assert found["office"]["saved_by_cache"] == 5  # and none of a clock that was a year ahead
