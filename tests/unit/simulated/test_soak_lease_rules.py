"""The rules of leases at random: some seeds of `scripts/soak lease_rules`, and that it finds what is wrong."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from lab.soak_lease_rules import RULES, Walk, run_seed

SEEDS = range(20)


def test_no_seed_has_two_holders_loses_work_or_leaves_a_lease_without_end() -> None:
    happened: Counter[str] = Counter()
    for seed in SEEDS:
        happened += run_seed(seed)
    assert {
        "entry: take",
        "entry: renew",
        "entry: give",
        "entry: work",
        "ask",
        "die",
        "slow",
        "fast",
    } <= happened.keys()


@pytest.mark.parametrize(
    ("broken", "seed"),
    [
        ({"counts_from_the_sending": False}, 7),
        ({"stops_while_giving": False}, 0),
        ({"flushes_before_giving": False}, 2),
        ({"forgets_when_dead": False}, 93),
        ({"counts_from_the_asking": False}, 0),
        ({"counts_from_the_giving": False}, 580),
        ({"judges_by_the_log": False}, 5),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else str(value),
)
def test_it_notices_each_rule_that_is_not_kept(broken: dict[str, bool], seed: int) -> None:
    with pytest.raises(AssertionError):
        Walk(seed, dataclasses.replace(RULES, **broken)).play()
