"""What one member may make this node do, or believe, is bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.peers.claimed_totals import BURST_BYTES, BYTES_PER_S, ClaimedTotals
from lucidnode.node.prices import LISTS
from lucidnode.node.savings import NodeTotals, day_counts, savings
from lucidnode.node.token_bucket import TokenBucket

steps = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 20)))


@given(steps, st.floats(0.1, 10), st.floats(1, 100))
def test_no_more_passes_than_the_burst_and_the_rate_allow(
    asked: list[tuple[float, float]], rate: float, burst: float
) -> None:
    now, passed = 50.0, 0.0
    allowance = TokenBucket(rate, burst, now)
    for pause, amount in asked:
        now += pause
        passed += amount if allowance.take(amount, now) else 0
        assert passed <= burst + rate * (now - 50.0) + 1e-6


def test_what_is_given_back_can_be_taken_again_and_never_grows() -> None:
    allowance = TokenBucket(1, 3, 0)
    allowance.give_back(10)
    assert [allowance.take(1, 0) for _ in range(4)] == [True, True, True, False]
    allowance.give_back(1)
    assert allowance.take(1, 0)
    assert not allowance.take(1, 0.5)
    assert allowance.take(1, 1)


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.dictionaries(st.text(max_size=12), st.integers()))),
    st.integers(),
)
def test_whatever_a_peer_claims_its_savings_stay_below_what_a_workstation_can_move(
    said: list[tuple[float, dict[str, int]]], forged: int
) -> None:
    claims, now = ClaimedTotals(), 0.0
    for pause, totals in [*said, (0.0, {})]:
        now += pause
        counted = claims.plausible({**totals, "read_peer": forged}, now)
        most = BURST_BYTES + BYTES_PER_S * (now + 1)
        assert counted.keys() <= set(NodeTotals.__struct_fields__)
        assert all(0 <= count <= most for count in counted.values())
        assert (
            savings(day_counts(NodeTotals(**counted)), LISTS["own"], 1 << 20).saved_by_office
            <= 2 * most
        )


def test_what_an_honest_peer_says_counts_as_it_is() -> None:
    said = {"read_cache": 5 * 10**12, "downloaded": 10**12}
    assert ClaimedTotals().plausible(said, 0.0) == said
