"""Programs at once on the file layer, a full disk, kills and power cuts: what was promised stays."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from lab.soak_files import run_seed

SEEDS = (0,)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Leave the log out: a full disk is what it is about."""
    caplog.set_level(logging.CRITICAL, "lucidnode")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_whatever_programs_do_at_once_what_was_acknowledged_outlives_kills_and_power_cuts() -> None:
    happened: Counter[str] = Counter()
    for seed in SEEDS:
        happened += run_seed(seed)
    wanted = {"power cuts", "full disks", "no space", "sync", "moved into a conflict copy"}
    assert not wanted - set(happened), "some of it never happened"
