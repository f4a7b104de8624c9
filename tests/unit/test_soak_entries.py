"""Three nodes behind a store that is hostile for a while: all agree when it is over."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from lab.soak_entries import TRANSIENT, run

SEEDS = 80


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Leave the log out: faults are what it is all about, and alerts are checked by the soak."""
    caplog.set_level(logging.CRITICAL, "lucidnode")


def test_the_same_seed_gives_the_same_run() -> None:
    assert run(7, TRANSIENT) == run(7, TRANSIENT)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_when_the_faults_end_all_nodes_agree_and_nothing_is_lost() -> None:
    happened: Counter[str] = Counter()
    for seed in range(SEEDS):
        happened += run(seed, TRANSIENT).hits
    missing = {*TRANSIENT, "kill", "push lost", "push late", "push doubled", "push of another"}
    assert not missing - set(happened), "some fault never happened"
