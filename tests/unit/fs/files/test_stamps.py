"""Stamps of ours are never older than those of the kernel that were taken before."""

from __future__ import annotations

from lucidnode.fs.files.stamps import Stamps
from lucidnode.node.client.clock import SystemClock

MS = 1_000_000


class SetClock(SystemClock):
    """Shows the wall time it was set to."""

    def __init__(self, wall_ns: int) -> None:
        self.now = wall_ns

    def wall_ns(self) -> int:
        return self.now


def test_a_stamp_is_not_behind_one_that_the_kernel_took_ahead_of_its_clock() -> None:
    clock = SetClock(1000 * MS)
    stamps = Stamps(clock)
    stamps.seen(1003 * MS)
    assert stamps.wall_ns() == 1003 * MS
    clock.now = 1004 * MS
    assert stamps.wall_ns() == 1004 * MS


def test_times_that_a_user_made_up_move_no_clock() -> None:
    clock = SetClock(1000 * MS)
    stamps = Stamps(clock)
    for made_up in (0, 999 * MS, 1011 * MS, 2**62):
        stamps.seen(made_up)
        assert stamps.wall_ns() == 1000 * MS


def test_a_clock_that_is_set_back_is_followed() -> None:
    clock = SetClock(1000 * MS)
    stamps = Stamps(clock)
    stamps.seen(1003 * MS)
    clock.now = 500 * MS
    assert stamps.wall_ns() == 500 * MS


def test_many_stamps_ahead_do_not_carry_the_clock_away() -> None:
    stamps = Stamps(SetClock(1000 * MS))
    for step in range(1, 20):
        stamps.seen((1000 + 5 * step) * MS)
    assert stamps.wall_ns() == 1010 * MS
