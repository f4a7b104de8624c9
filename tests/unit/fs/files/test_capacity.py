"""Whatever sizes files claim, statfs shows free space, and no program's counters overflow."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from lucidnode.fs.files.capacity import capacity
from lucidnode.fs.replica.quota import UNLIMITED, Quota

sizes = st.integers(0, 2**63 - 1)
limits = st.integers(1, 2**53 - 1)


@given(sizes, st.integers(0, 2**40))
def test_counts_fit_32_bits_and_bytes_fit_63(used: int, files: int) -> None:
    shown = capacity(used, files, UNLIMITED)
    assert shown.units < 2**32
    assert shown.unit < 2**32
    assert shown.unit * shown.units < 2**63
    assert 0 <= shown.free_files <= shown.files < 2**32


@given(sizes)
def test_a_petabyte_is_free_however_much_is_used(used: int) -> None:
    shown = capacity(used, 0, UNLIMITED)
    assert shown.free_units * shown.unit == shown.available_units * shown.unit == 2**50
    taken = (shown.units - shown.free_units) * shown.unit
    assert taken >= min(used, 2**62)
    assert taken - min(used, 2**62) < shown.unit


def test_a_small_project_is_counted_in_megabytes() -> None:
    assert capacity(3 * 2**20 + 1, 5, UNLIMITED)[:2] == (2**20, 2**30 + 4)


@given(sizes, limits, st.sampled_from(["soft", "hard"]))
def test_free_is_what_a_quota_leaves_and_nothing_once_it_is_reached(
    used: int, limit: int, kind: str
) -> None:
    shown = capacity(used, 0, Quota(**{kind: limit}))
    free = shown.free_units * shown.unit
    assert free <= max(limit - used, 0)
    assert free > min(max(limit - used, 0), 2**50) - 2 * shown.unit
    assert shown.units >= shown.free_units == shown.available_units


@given(sizes, limits, limits)
def test_the_size_is_the_hard_limit_and_available_what_is_left_to_the_soft_one(
    used: int, soft: int, hard: int
) -> None:
    shown = capacity(used, 0, Quota(soft=soft, hard=hard))
    assert shown[:3] == (alone := capacity(used, 0, Quota(hard=hard)))[:3]
    to_soft = capacity(used, 0, Quota(soft=soft))
    assert shown.available_units == min(alone.free_units, to_soft.free_units)


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(2**40, 2**49))
@example(1, 2**40, 2**40 + 1)
def test_the_size_stays_while_files_grow(used: int, more: int, hard: int) -> None:
    quota = Quota(hard=hard)
    assert capacity(used, 0, quota).units == capacity(min(used + more, hard), 0, quota).units


def test_a_project_between_its_limits_has_free_what_nobody_should_count_on() -> None:
    gib = 2**30
    shown = capacity(19 * gib, 0, Quota(soft=18 * gib, hard=20 * gib))
    assert (shown.units, shown.free_units, shown.available_units) == (20 << 10, 1 << 10, 0)
