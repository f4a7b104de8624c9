"""Three or four people who do several things each: what one claims outlives what others remove."""

from __future__ import annotations

import pytest
from lab.soak_crowds import MEETINGS, run_seed


@pytest.mark.parametrize("seed", [69, 106, 1563, 1867, 1874])
def test_nothing_dies_among_several_people(seed: int) -> None:
    """Each of these seeds once broke.

    Two lost a file; in one, two directories are moved into each other while a third person removes
    what is in them; in one a conflict copy was not told; in the last a directory showed another's.
    """
    happened = run_seed(seed)
    assert happened["meetings"] == MEETINGS
    assert happened["commits tried"]
