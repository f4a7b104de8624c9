"""Three or four people who do several things each: what one claims outlives what others remove."""

from __future__ import annotations

import pytest
from lab.soak_crowds import MEETINGS, run_seed


@pytest.mark.parametrize("seed", [69, 106])
def test_nothing_dies_among_several_people(seed: int) -> None:
    """Each of these seeds once lost a file."""
    happened = run_seed(seed)
    assert happened["meetings"] == MEETINGS
    assert happened["commits tried"]
