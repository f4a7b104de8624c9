"""The rules of leases (docs/design/0012-leases.md) in every order of events, within small bounds."""

from __future__ import annotations

import pytest
from lease_model import Bounds, Broken, Rules, explore, holders

SHORT = Bounds(entries=2, works=1, deaths=0)
LONGER = Bounds(entries=3, works=1, drifts=0, deaths=0)


@pytest.mark.parametrize(
    "bounds",
    [SHORT, LONGER, Bounds(entries=2, works=1, drifts=0, deaths=1)],
    ids=["clocks drift", "a third entry", "one dies"],
)
def test_no_order_of_events_breaks_a_promise(bounds: Bounds) -> None:
    assert explore(Rules(), bounds) > 10_000


@pytest.mark.parametrize(
    ("rules", "bounds", "fault"),
    [
        (Rules(margin=1), SHORT, "use the lease at once"),
        (Rules(counts_from_the_sending=False), SHORT, "use the lease at once"),
        (Rules(stops_while_giving=False), LONGER, "use the lease at once"),
        (Rules(flushes_before_giving=False), LONGER, "lays work aside"),
        (
            Rules(forgets_when_dead=False, margin=0),
            Bounds(entries=2, works=1, drifts=0, deaths=1),
            "use the lease at once",
        ),
        (Rules(counts_from_the_asking=False), LONGER, "use the lease at once"),
        (Rules(judges_by_the_log=False), LONGER, "does not hold the lease"),
    ],
    ids=[
        "no margin",
        "from the answer",
        "while giving",
        "unflushed",
        "a clock anew",
        "given",
        "no fence",
    ],
)
def test_every_rule_is_needed(rules: Rules, bounds: Bounds, fault: str) -> None:
    with pytest.raises(Broken, match=fault):
        explore(rules, bounds)


def test_a_lease_is_taken_given_and_taken_from_one_who_is_silent() -> None:
    orders = holders(Rules(), Bounds(entries=2, works=0, drifts=0, deaths=0))
    assert {(0,), (1,), (0, 1), (1, 0)} <= orders
