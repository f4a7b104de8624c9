"""Whatever sizes files claim, statfs shows free space, and no program's counters overflow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.files.capacity import capacity

sizes = st.integers(0, 2**63 - 1)


@given(sizes, st.integers(0, 2**40))
def test_counts_fit_32_bits_and_bytes_fit_63(used: int, files: int) -> None:
    shown = capacity(used, files, 0)
    assert shown.units < 2**32
    assert shown.unit < 2**32
    assert shown.unit * shown.units < 2**63
    assert 0 <= shown.free_files <= shown.files < 2**32


@given(sizes)
def test_a_petabyte_is_free_however_much_is_used(used: int) -> None:
    shown = capacity(used, 0, 0)
    assert shown.free_units * shown.unit == 2**50
    taken = (shown.units - shown.free_units) * shown.unit
    assert taken >= min(used, 2**62)
    assert taken - min(used, 2**62) < shown.unit


def test_a_small_project_is_counted_in_megabytes() -> None:
    assert capacity(3 * 2**20 + 1, 5, 0)[:2] == (2**20, 2**30 + 4)


@given(sizes, st.integers(1, 2**53 - 1))
def test_free_is_what_a_quota_leaves_and_nothing_once_it_is_reached(used: int, limit: int) -> None:
    shown = capacity(used, 0, limit)
    free = shown.free_units * shown.unit
    assert free <= max(limit - used, 0)
    assert free > min(max(limit - used, 0), 2**50) - shown.unit
    assert shown.units >= shown.free_units
