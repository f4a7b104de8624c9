"""When a peer is asked, when it rests, and how long it is given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.peers.peer_health import (
    DELIVERING_S,
    FIRST_OPEN_S,
    MAX_OPEN_S,
    MAX_TIMEOUT_S,
    MIN_TIMEOUT_S,
    PeerHealth,
)


@given(st.lists(st.floats(0, 10), max_size=100))
def test_patience_is_always_within_its_bounds(history: list[float]) -> None:
    health = PeerHealth()
    for seconds in history:
        health.answered(seconds)
        assert MIN_TIMEOUT_S <= health.timeout_s() <= MAX_TIMEOUT_S


def test_a_quick_peer_is_given_less_time_than_an_unknown_one() -> None:
    health = PeerHealth()
    assert health.timeout_s() == MAX_TIMEOUT_S
    for _ in range(8):
        health.answered(0.05)
    assert 0.19 < health.timeout_s() < 0.21


def test_a_failure_rests_the_peer_until_a_probe_succeeds() -> None:
    health = PeerHealth()
    assert health.failed()
    assert not health.usable
    health.probed(alive=False)
    assert not health.usable
    health.probed(alive=True)
    assert health.usable


def test_requests_that_fail_together_are_one_failure() -> None:
    health = PeerHealth()
    assert [health.failed() for _ in range(32)] == [True] + [False] * 31
    assert health.rest == FIRST_OPEN_S


@given(st.integers(1, 40), st.booleans())
def test_the_rest_doubles_with_each_failure_in_a_row_up_to_a_limit(
    failures: int, alive: bool
) -> None:
    health = PeerHealth()
    for n in range(failures):
        health.failed()
        assert health.rest == min(MAX_OPEN_S, FIRST_OPEN_S * 2**n)
        health.probed(alive=alive)
    health.probed(alive=True)
    health.delivered(0.0)
    health.failed()
    assert health.rest == FIRST_OPEN_S


def test_one_that_was_overtaken_is_so_until_it_recovers() -> None:
    health = PeerHealth()
    health.failed(lost_hedge=True)
    assert health.lost_hedge
    health.probed(alive=True)
    assert not health.lost_hedge


def test_one_that_delivers_is_busy_and_not_slow() -> None:
    health = PeerHealth()
    assert not health.delivering(0.0)
    health.delivered(5.0)
    assert health.delivering(5.0 + DELIVERING_S / 2)
    assert not health.delivering(5.0 + DELIVERING_S)


def test_a_ban_is_for_good() -> None:
    health = PeerHealth()
    health.failed()
    health.ban()
    health.probed(alive=True)
    assert not health.usable
