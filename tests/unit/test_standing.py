"""When a peer is asked, when it rests, and how long it is given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.peers.standing import (
    FIRST_PAUSE,
    LAST_PAUSE,
    LONGEST,
    QUICKEST,
    Standing,
)


@given(st.lists(st.floats(0, 10), max_size=100))
def test_patience_is_always_within_its_bounds(history: list[float]) -> None:
    standing = Standing()
    for seconds in history:
        standing.answered(seconds)
        assert QUICKEST <= standing.patience() <= LONGEST


def test_a_quick_peer_is_given_less_time_than_an_unknown_one() -> None:
    standing = Standing()
    assert standing.patience() == LONGEST
    for _ in range(8):
        standing.answered(0.03)
    assert 0.11 < standing.patience() < 0.13


def test_a_failure_rests_the_peer_until_a_probe_succeeds() -> None:
    standing = Standing()
    standing.failed(100.0)
    assert not standing.usable
    assert not standing.probe_due(100.0 + FIRST_PAUSE - 0.01)
    assert standing.probe_due(100.0 + FIRST_PAUSE)
    assert not standing.usable  # time alone heals nothing: a reader would have to try
    standing.probed(102.0, alive=True)
    assert standing.usable


def test_requests_that_fail_together_are_one_failure() -> None:
    standing = Standing()
    for _ in range(32):
        standing.failed(100.0)
    assert standing.probe_due(100.0 + FIRST_PAUSE)


@given(st.integers(1, 40))
def test_the_pause_doubles_with_each_failure_in_a_row_up_to_a_limit(failures: int) -> None:
    standing, now = Standing(), 0.0
    for n in range(failures):
        standing.failed(now)
        pause = min(LAST_PAUSE, FIRST_PAUSE * 2**n)
        assert not standing.probe_due(now + pause - 0.001)
        now += pause
        assert standing.probe_due(now)
        standing.probed(now, alive=True)
    standing.delivered()
    standing.failed(now)
    assert standing.probe_due(now + FIRST_PAUSE)


def test_a_failed_probe_counts_as_a_failure() -> None:
    standing = Standing()
    standing.failed(0.0)
    standing.probed(1.0, alive=False)
    assert not standing.usable
    assert not standing.probe_due(2.9)
    assert standing.probe_due(3.0)


def test_one_that_was_overtaken_is_so_until_it_recovers() -> None:
    standing = Standing()
    standing.failed(0.0, overtaken=True)
    assert standing.overtaken
    standing.probed(1.0, alive=True)
    assert not standing.overtaken


def test_a_ban_is_for_good() -> None:
    standing = Standing()
    standing.failed(0.0)
    standing.ban()
    assert not standing.probe_due(1e9)
    standing.probed(1.0, alive=True)
    assert not standing.usable
