"""What every test gets: nothing unexpected may be logged.

A WARNING that a test provokes on purpose is claimed through the `expected_warnings` fixture.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from side_by_side import Pieces

# How long an example takes says nothing where others compute beside it; pytest-timeout ends what hangs.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Pieces:
    from side_by_side import Pieces

    return Pieces(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # this is one process of several
        from side_by_side import arrange

        arrange(items)


@pytest.fixture
def expected_warnings() -> list[str]:
    """Fill this with texts that may, and then must, appear in a WARNING of this test."""
    return []


@pytest.fixture(autouse=True)
def no_unexpected_warnings(
    caplog: pytest.LogCaptureFixture, expected_warnings: list[str]
) -> Iterator[None]:
    """Fail a test that logs a WARNING it did not announce, or announces one that never came."""
    yield
    logged = [
        record.getMessage()
        for phase in ("setup", "call")
        for record in caplog.get_records(phase)
        if record.levelno >= logging.WARNING and record.name.startswith("lucidnode")
    ]
    surprises = [line for line in logged if not any(text in line for text in expected_warnings)]
    missing = [text for text in expected_warnings if not any(text in line for line in logged)]
    assert not surprises, f"unexpected warnings: {surprises}"
    assert not missing, f"warnings that never came: {missing}"
