"""Patience follows what is usual; the budget bounds what hedging may cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.blocks.hedge_policy import (
    BURST,
    MAX_BELIEVED_S,
    MAX_HEDGED_SHARE,
    MIN_BELIEVED_S,
    MIN_DELAY_S,
    MUCH_QUICKER_FACTOR,
    UNKNOWN_DELAY_S,
    HedgePolicy,
)
from lucidnode.node.blocks.latency import Latency

seconds = st.floats(0, 100)


@given(st.lists(st.booleans(), max_size=500))
def test_extra_requests_stay_within_their_share(hedge_wanted: list[bool]) -> None:
    hedging = HedgePolicy()
    extra = 0
    for wanted in hedge_wanted:
        hedging.finished(0.1)
        extra += wanted and hedging.spend()
    assert extra <= BURST + MAX_HEDGED_SHARE * len(hedge_wanted)


def test_the_share_can_be_spent_to_the_full() -> None:
    hedging = HedgePolicy()
    extra = 0
    for _ in range(1001):
        extra += hedging.spend()
        hedging.finished(0.1)
    assert extra >= MAX_HEDGED_SHARE * 1000


@given(st.lists(seconds, min_size=8, max_size=64))
def test_nobody_is_overtaken_for_being_as_slow_as_usual(history: list[float]) -> None:
    hedging = HedgePolicy()
    for each in history:
        hedging.finished(each)
    assert hedging.timeout_s() >= max(MIN_DELAY_S, sorted(history)[len(history) * 95 // 100])


def test_with_little_known_patience_is_fixed() -> None:
    hedging = HedgePolicy()
    for _ in range(7):
        assert hedging.timeout_s() == UNKNOWN_DELAY_S
        hedging.finished(50.0)


@given(st.lists(seconds, min_size=8))
def test_the_percentile_is_a_recent_sample_that_few_exceed(history: list[float]) -> None:
    latency = Latency()
    for each in history:
        latency.add(each)
    p95 = latency.p95()
    recent = history[-64:]
    assert p95 in recent
    assert sum(each > p95 for each in recent) <= len(recent) * 0.05


def test_one_lucky_answer_says_little_while_nothing_is_known() -> None:
    hedging = HedgePolicy()
    assert (
        hedging.much_quicker()
        == MIN_DELAY_S / MUCH_QUICKER_FACTOR
        < hedging.timeout_s() / MUCH_QUICKER_FACTOR
    )
    for _ in range(100):
        hedging.finished(1.0)
    assert hedging.much_quicker() == hedging.timeout_s() / MUCH_QUICKER_FACTOR


@given(st.lists(seconds, max_size=64), st.lists(seconds, max_size=64))
def test_how_long_peers_are_believed_is_bounded_and_not_theirs_to_say(
    peers: list[float], bucket: list[float]
) -> None:
    hedging, unasked = HedgePolicy(), HedgePolicy()
    for each in bucket:
        hedging.bucket_took(each)
        unasked.bucket_took(each)
    for each in peers:
        hedging.finished(each)
    assert MIN_BELIEVED_S <= hedging.believed() <= MAX_BELIEVED_S
    assert hedging.believed() == unasked.believed()
