"""What a bucket loses for good is told everywhere, and repair brings all together again."""

from __future__ import annotations

import logging

import pytest
from lab.soak_losses import run_seed

SEEDS = (2, 20, 9, 11, 13, 21, 28)
"""All entries replaced; one in the middle flipped; one gone; all gone; rolled back; one in the middle
cut; the bucket emptied."""

OF_MEMBERS = (8, 5)
"""The log of members spoiled, and gone."""


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


@pytest.mark.slow
@pytest.mark.parametrize("seed", OF_MEMBERS)
def test_the_log_of_members_is_whole_again_by_itself(seed: int) -> None:
    happened = run_seed(seed)
    assert any(what.startswith("roster ") for what in happened), "nothing was lost"
