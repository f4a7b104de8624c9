"""A studio that grows behind a hostile store: all nodes agree when it is over."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from lab.soak_members import run_seed

SEEDS = 5


def test_whatever_the_store_does_all_nodes_read_one_log_and_nothing_acknowledged_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The log is left out: faults are what it is all about, and the soak looks at the alerts.
    caplog.set_level(logging.CRITICAL, "lucidnode")
    happened: Counter[str] = Counter()
    for seed in range(SEEDS):
        happened += run_seed(seed)
    wanted = {"invited", "joined", "project created", "vandal deletes", "vandal writes"}
    assert not wanted - set(happened)
