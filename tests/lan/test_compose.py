"""The compose file in a container engine: an office comes up from the Dockerfile, works, heals and goes."""

from __future__ import annotations

import pytest
from lab.acceptance_compose import run_alone

pytestmark = [pytest.mark.lan, pytest.mark.fuse, pytest.mark.timeout(400)]


def test_the_compose_file_brings_up_an_office_that_works_heals_and_leaves_nothing() -> None:
    """As `scripts/acceptance compose` does: what is checked is in scripts/lab/acceptance_compose.py."""
    assert run_alone(1).endswith("nothing left")
