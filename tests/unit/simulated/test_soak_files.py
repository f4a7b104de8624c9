"""Programs at once on the file layer, a full disk, kills and power cuts: what was promised stays."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest
from lab.soak_files import run_seed

STEPS = 100_000
"""Of all parts together, at least."""

PARTS = 8

SEEDS_BETWEEN = 10
"""More than a part needs for its steps."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log nothing: it is faults that this is about, and they are many."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_programs_do_at_once_what_was_acknowledged_outlives_kills_and_power_cuts(
    part: int,
) -> None:
    happened: Counter[str] = Counter()
    seeds = count(part * SEEDS_BETWEEN)
    while happened["steps"] < STEPS / PARTS:
        happened += run_seed(next(seeds))
    wanted = {"power cuts", "full disks", "no space", "sync", "moved into a conflict copy"}
    assert not wanted - set(happened), "some of it never happened"
