"""Programs at once on the file layer, a full disk, kills and power cuts: what was promised stays."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest
from lab.soak_files import run_seed

SEEDS = 56
"""More than STEPS steps in all, which come from the seeds alone."""

STEPS = 100_000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_whatever_programs_do_at_once_what_was_acknowledged_outlives_kills_and_power_cuts() -> None:
    happened: Counter[str] = Counter()
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), spawning, logging.disable) as processes:
        for soaked in processes.map(run_seed, range(SEEDS)):
            happened += soaked
    wanted = {"power cuts", "full disks", "no space", "sync", "moved into a conflict copy"}
    assert not wanted - set(happened), "some of it never happened"
    assert happened["steps"] >= STEPS
