"""A disk that records what is written and synced, for each test empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from recording_disk import RecordingDisk, recording_disk


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordingDisk]:
    with recording_disk(tmp_path_factory.mktemp("recorded")) as disk:
        yield disk


@pytest.fixture
def disk(mounted: RecordingDisk) -> RecordingDisk:
    mounted.fresh()
    return mounted
