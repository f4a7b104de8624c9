"""When a peer is asked, when it rests, and how long it is given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.peers.standing import (
    DELIVERING,
    FIRST_REST,
    LAST_REST,
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
        standing.answered(0.05)
    assert 0.19 < standing.patience() < 0.21


def test_a_failure_rests_the_peer_until_a_probe_succeeds() -> None:
    standing = Standing()
    assert standing.failed()
    assert not standing.usable
    standing.probed(alive=False)
    assert not standing.usable
    standing.probed(alive=True)
    assert standing.usable


def test_requests_that_fail_together_are_one_failure() -> None:
    standing = Standing()
    assert [standing.failed() for _ in range(32)] == [True] + [False] * 31
    assert standing.rest == FIRST_REST


@given(st.integers(1, 40), st.booleans())
def test_the_rest_doubles_with_each_failure_in_a_row_up_to_a_limit(
    failures: int, alive: bool
) -> None:
    standing = Standing()
    for n in range(failures):
        standing.failed()
        assert standing.rest == min(LAST_REST, FIRST_REST * 2**n)
        standing.probed(alive=alive)
    standing.probed(alive=True)
    standing.delivered(0.0)
    standing.failed()
    assert standing.rest == FIRST_REST


def test_one_that_was_overtaken_is_so_until_it_recovers() -> None:
    standing = Standing()
    standing.failed(overtaken=True)
    assert standing.overtaken
    standing.probed(alive=True)
    assert not standing.overtaken


def test_one_that_delivers_is_busy_and_not_slow() -> None:
    standing = Standing()
    assert not standing.delivering(0.0)
    standing.delivered(5.0)
    assert standing.delivering(5.0 + DELIVERING / 2)
    assert not standing.delivering(5.0 + DELIVERING)


def test_a_ban_is_for_good() -> None:
    standing = Standing()
    standing.failed()
    standing.ban()
    standing.probed(alive=True)
    assert not standing.usable
