"""The laws of the ring."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.discovery.ring import MAX_WEIGHT, WEIGHT_UNIT_BYTES, Ring, relieved, weight_of

ids = st.text("0123456789abcdef", min_size=32, max_size=32)
rings = st.dictionaries(ids, st.integers(1, 8), max_size=12)
keys = st.binary(min_size=32, max_size=32)


@given(rings, keys, st.integers(0, 15))
def test_owners_are_distinct_peers_as_many_as_wanted_or_there(
    weights: dict[str, int], key: bytes, count: int
) -> None:
    owners = Ring.of(weights).owners(key, count)
    assert len(owners) == len(set(owners)) == min(count, len(weights))
    assert set(owners) <= weights.keys()


@given(rings, keys, st.integers(1, 4))
def test_fewer_owners_are_the_first_of_more(
    weights: dict[str, int], key: bytes, count: int
) -> None:
    ring = Ring.of(weights)
    assert ring.owners(key, len(weights))[:count] == ring.owners(key, count)


@given(rings.filter(bool), keys)
def test_losing_a_peer_moves_only_its_own_keys(weights: dict[str, int], key: bytes) -> None:
    lost, *kept = sorted(weights)
    before = [peer for peer in Ring.of(weights).owners(key, len(weights)) if peer != lost]
    assert Ring.of({peer: weights[peer] for peer in kept}).owners(key, len(weights)) == before


@given(rings.filter(lambda weights: len(weights) > 1), keys)
def test_a_new_owner_has_the_former_one_right_behind_it(
    weights: dict[str, int], key: bytes
) -> None:
    newcomer, *others = sorted(weights)
    [former] = Ring.of({peer: weights[peer] for peer in others}).owners(key, 1)
    now = Ring.of(weights).owners(key, 2)
    assert now[0] == former or now == [newcomer, former]


@given(rings.filter(bool), keys)
def test_the_order_in_which_peers_are_told_does_not_matter(
    weights: dict[str, int], key: bytes
) -> None:
    backwards = dict(reversed(weights.items()))
    assert Ring.of(weights).owners(key, 3) == Ring.of(backwards).owners(key, 3)


@given(rings.filter(bool))
def test_shares_name_every_peer_and_add_up_to_one(weights: dict[str, int]) -> None:
    shares = Ring.of(weights).shares()
    assert shares.keys() == weights.keys()
    assert sum(shares.values()) == pytest.approx(1.0)
    assert all(share > 0 for share in shares.values())


@given(st.lists(ids, min_size=2, max_size=10, unique=True), st.integers(1, 16))
def test_equal_weights_make_similar_shares(peers: list[str], weight: int) -> None:
    fair = 1 / len(peers)
    spread = 5 / (64 * weight) ** 0.5  # five standard deviations of a share
    for share in Ring.of(dict.fromkeys(peers, weight)).shares().values():
        assert abs(share - fair) < spread * fair


@given(st.lists(ids, min_size=2, max_size=6, unique=True))
def test_a_heavier_peer_owns_in_proportion(peers: list[str]) -> None:
    weights = dict.fromkeys(peers, 8) | {peers[0]: 32}
    expected = 32 / (32 + 8 * (len(peers) - 1))
    assert Ring.of(weights).shares()[peers[0]] == pytest.approx(expected, rel=0.25)


def test_shares_are_what_keys_really_meet() -> None:
    weights = {f"{n:032x}": 1 + n for n in range(4)}
    ring = Ring.of(weights)
    met = dict.fromkeys(weights, 0)
    for n in range(20_000):
        met[ring.owners(hashlib.sha256(str(n).encode()).digest(), 1)[0]] += 1
    for peer, share in ring.shares().items():
        assert met[peer] / 20_000 == pytest.approx(share, abs=0.015)


def test_positions_are_fixed_by_the_protocol() -> None:
    """Nodes of different versions must agree on owners: this may only change with the protocol."""
    ring = Ring.of({"a" * 32: 2, "b" * 32: 2, "c" * 32: 4})
    owners = "".join(ring.owners(hashlib.sha256(bytes([n])).digest(), 1)[0][0] for n in range(32))
    assert owners == "ccbbbccbbbbccaaaccbcccabaaabccab"


def test_nobody_owns_anything_on_an_empty_ring() -> None:
    assert Ring.of({}).owners(b"x" * 32, 2) == []
    assert Ring.of({}).shares() == {}


@pytest.mark.parametrize("weight", [0, -1, MAX_WEIGHT + 1])
def test_weights_out_of_bounds_are_refused(weight: int) -> None:
    with pytest.raises(ValueError, match="weight"):
        Ring.of({"a" * 32: weight})


@given(st.integers(0, 2**60))
def test_every_cache_has_a_weight_in_bounds_and_more_is_never_less(cache: int) -> None:
    assert 1 <= weight_of(cache) <= weight_of(cache + WEIGHT_UNIT_BYTES) <= MAX_WEIGHT


loads = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 40))


@given(st.permutations("abcde"), loads)
def test_relief_only_reorders_and_never_prefers_the_loaded(
    owners: list[str], under_way: dict[str, int]
) -> None:
    order = relieved(owners, under_way, 5)
    assert sorted(order) == sorted(owners)
    bound = 1.25 * (sum(under_way.values()) + 1) / 5
    light = [peer for peer in owners if under_way.get(peer, 0) < bound]
    assert order[: len(light)] == light  # someone is always below the bound
    assert light


def test_an_even_load_changes_nothing() -> None:
    assert relieved(["a", "b"], {"a": 10, "b": 10}, 2) == ["a", "b"]
    assert relieved(["a", "b"], {"a": 20, "b": 0}, 2) == ["b", "a"]
