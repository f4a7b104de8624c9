"""What a bucket loses for good is told everywhere, and repair brings all together again."""

from __future__ import annotations

import logging

import pytest
from lab.soak_losses import run_seed

SEEDS = (2, 3, 5, 7, 8)
"""All entries replaced; all gone; one in the middle gone; rolled back; the newest damaged."""


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Leave the log out: losses are what it is all about, and alerts are checked by the soak."""
    caplog.set_level(logging.CRITICAL, "lucidnode")


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_after_repair_all_agree_and_every_kept_file_is_there(seed: int) -> None:
    happened = run_seed(seed)
    assert happened["lost entries"], "nothing was lost"
    assert happened["put back"] + happened["started again"], "nothing was repaired"
