"""Laws of the savings figures: honest, and never above 100 percent."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.savings import NodeTotals, savings

counts = st.integers(0, 2**50)
totals = st.builds(NodeTotals, **dict.fromkeys(NodeTotals.__struct_fields__, counts))


@given(totals)
def test_savings_are_between_nothing_and_everything(moved: NodeTotals) -> None:
    result = savings(moved, 0.09)
    assert 0 <= result.saved <= result.delivered
    assert 0.0 <= result.percent <= 100.0


@given(totals, counts)
def test_every_byte_downloaded_counts_against_the_saving(moved: NodeTotals, more: int) -> None:
    worse = msgspec.structs.replace(moved, downloaded=moved.downloaded + more)
    assert savings(worse, 0.09).saved == max(0, savings(moved, 0.09).saved - more)


@given(totals)
def test_unsent_data_saves_nothing(moved: NodeTotals) -> None:
    without = msgspec.structs.replace(moved, read_unsent=0)
    assert savings(moved, 0.09) == savings(without, 0.09)


def test_three_readers_and_one_download_save_two_thirds() -> None:
    office = (
        NodeTotals(read_bucket=900, downloaded=900)
        + NodeTotals(read_peer=900)
        + NodeTotals(read_peer=900)
    )
    assert savings(office, 0.09).percent == 100 * 1800 / 2700


def test_money_is_per_decimal_gigabyte() -> None:
    assert savings(NodeTotals(read_cache=10**9), 0.09).money == 0.09
