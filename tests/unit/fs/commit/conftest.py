"""An office of seats whose eras end, for the modules that have none of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from epoch_office import Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    for seat in made.seats:
        seat.node.check()
        seat.node.close()
