"""Two people at the same project files, cut off and restarted: a few seeds of `scripts/soak leases`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import pytest
from lab.soak_leases import run_seed

SEEDS = (2, 7, 10)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log nothing: it is faults that this is about, and they are many."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_never_have_a_file_no_write_is_lost_and_no_lock_is_without_end() -> None:
    happened: Counter[str] = Counter()
    for seed in SEEDS:
        happened += run_seed(seed)
    assert {"take", "cut off", "fault", "write", "close"} <= happened.keys()
