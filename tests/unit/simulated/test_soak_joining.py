"""Whoever has a ticket, or an owner's keys, gets nothing else out of what asks and what answers."""

from __future__ import annotations

from lab.soak_joining import run_seed


def test_nothing_that_somebody_made_does_more_than_be_refused_or_open() -> None:
    happened = run_seed(1)
    wanted = {f"{kind}: opened" for kind in ("ticket", "offer", "request", "answer")}
    wanted |= {"ticket: SealDamaged", "offer: FormatError", "request: FormatError"}
    wanted |= {"answer: FormatError", "answer: Forged"}
    assert not wanted - set(happened), "something never happened"
