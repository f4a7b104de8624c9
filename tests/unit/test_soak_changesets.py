"""A hostile member's entries: no exception, no stall, one verdict, one sound tree."""

from __future__ import annotations

import pytest
from lab.soak_changesets import ENTRIES, run_seed

SEEDS_IN_A_TEST = 3


@pytest.mark.parametrize("part", range(4))
def test_replicas_agree_on_every_entry_whatever_waits_there(part: int) -> None:
    happened = sum(
        (run_seed(part * SEEDS_IN_A_TEST + seed) for seed in range(1, SEEDS_IN_A_TEST)),
        run_seed(part * SEEDS_IN_A_TEST),
    )
    refused = sum(count for what, count in happened.items() if what.startswith("refused"))
    assert happened["taken"] > ENTRIES * SEEDS_IN_A_TEST // 16
    assert refused > ENTRIES * SEEDS_IN_A_TEST // 4
    assert happened["not opened"]
