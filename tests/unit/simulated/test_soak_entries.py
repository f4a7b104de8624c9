"""Two to five nodes behind a store that is hostile for a while: all agree when it is over."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest
from lab.soak_entries import TRANSIENT, run

SEEDS = 200


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Leave the log out: faults are what it is all about, and alerts are checked by the soak."""
    caplog.set_level(logging.CRITICAL, "lucidnode")


def test_the_same_seed_gives_the_same_run() -> None:
    assert run(7) == run(7)


def test_the_same_seed_gives_the_same_run_in_every_process() -> None:
    """Whoever looks at a seed that broke elsewhere must see the same."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
        assert other.submit(run, 8).result() == run(8)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_when_the_faults_end_all_nodes_agree_and_nothing_is_lost() -> None:
    happened: Counter[str] = Counter()
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), spawning, logging.disable) as processes:
        for soaked in processes.map(run, range(SEEDS), chunksize=5):
            happened += soaked.hits
    pushes = {f"push {what}" for what in ("lost", "late", "doubled", "of another", "cut")}
    wanted = {*TRANSIENT, *pushes, "kill", "wall clock set", "saved over"}
    assert not wanted - set(happened), "some fault never happened"
