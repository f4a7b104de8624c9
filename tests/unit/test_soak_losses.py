"""What a bucket loses for good is told everywhere, and repair brings all together again."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from lab.soak_losses import run_seed

SEEDS = 12


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Leave the log out: losses are what it is all about, and alerts are checked by the soak."""
    caplog.set_level(logging.CRITICAL, "lucidnode")


@pytest.mark.slow
def test_after_repair_all_agree_and_every_kept_file_is_there() -> None:
    happened: Counter[str] = Counter()
    for seed in range(SEEDS):
        happened += run_seed(seed)
    wanted = {"deleted entries", "replaced entries", "cut entries", "put back", "started again"}
    assert not wanted - set(happened), "something never happened"
