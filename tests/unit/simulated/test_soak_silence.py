"""Which silence of a node is a complaint: the judge of `scripts/soak entries`, over a node of a few facts."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from lab.hostile import Rule
from lab.soak_silence import ALERT_S, Silence

REFUSED, DAMAGED = Rule("flip-sent"), Rule("flip-same")


class Kept:
    """A node that is kept from committing, and what it says; it is looked at once a second."""

    def __init__(self) -> None:
        self.alerts: list[str] = []
        self.mended = 0
        pending = SimpleNamespace(has_work=lambda: True, head=lambda: SimpleNamespace(seq=7))
        node: Any = SimpleNamespace(
            name="a",
            is_up=True,
            user=SimpleNamespace(replica=SimpleNamespace(pending=pending)),
            alerts=lambda: self.alerts,
        )
        self._node = node
        self._now = 1000.0
        self._silence = Silence(node)

    def for_a_while(self, seconds: float, rule: Rule, *, told: bool) -> Sequence[str]:
        """Let *rule* be in its way for so long, *told* or not; return the complaints."""
        self.alerts = ["told"] if told else []
        for _ in range(int(seconds)):
            self._now += 1
            self._node.mended = self.mended
            self._silence.look(self._now, [rule], behind=False)
        return self._silence.complaints


def test_who_says_nothing_from_the_first_is_given_so_long() -> None:
    node = Kept()
    assert not node.for_a_while(ALERT_S, REFUSED, told=False)
    assert node.for_a_while(1, REFUSED, told=False)


def test_what_got_through_and_something_else_in_the_way_since_give_as_long_again() -> None:
    node = Kept()
    node.for_a_while(60, REFUSED, told=True)
    node.mended += 1
    assert not node.for_a_while(ALERT_S - 1, DAMAGED, told=False)
    assert node.for_a_while(1, DAMAGED, told=False)


@pytest.mark.parametrize(("rule", "mended"), [(DAMAGED, 0), (REFUSED, 1), (REFUSED, 0)])
def test_an_alert_that_goes_without_both_is_silence_at_once(rule: Rule, mended: int) -> None:
    node = Kept()
    node.for_a_while(60, REFUSED, told=True)
    node.mended += mended
    assert node.for_a_while(1, rule, told=False)


def test_one_change_is_a_reason_once() -> None:
    node = Kept()
    node.for_a_while(60, REFUSED, told=True)
    node.mended += 1
    assert not node.for_a_while(2, DAMAGED, told=False)
    assert not node.for_a_while(60, DAMAGED, told=True)
    node.mended += 1
    assert node.for_a_while(1, DAMAGED, told=False)
