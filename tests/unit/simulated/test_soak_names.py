"""Two people who make the same names, cut off and restarted: a few seeds of `scripts/soak names`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import pytest
from lab.soak_names import run_seed

SEEDS = (100, 101, 102)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log nothing: it is faults that this is about, and they are many."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_of_two_who_make_a_name_one_wins_and_both_see_the_same_in_the_end() -> None:
    happened: Counter[str] = Counter()
    for seed in SEEDS:
        happened += run_seed(seed)
    assert {"won", "taken", "make", "link", "rename", "mkdir", "cut off", "die"} <= happened.keys()
