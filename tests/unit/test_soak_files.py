"""Several programs at once on the file layer, a full disk, kills: what was acknowledged is there."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from lab.soak_files import run_seed

SEEDS = (1, 3, 5)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Leave the log out: a full disk is what it is about."""
    caplog.set_level(logging.CRITICAL, "lucidnode")


def test_the_same_seed_gives_the_same_run() -> None:
    assert run_seed(3) == run_seed(3)


def test_whatever_programs_do_at_once_what_was_acknowledged_outlives_a_kill() -> None:
    happened: Counter[str] = Counter()
    for seed in SEEDS:
        happened += run_seed(seed)
    assert happened["kills"]
    assert happened["no space"]
    assert happened["sync"]
