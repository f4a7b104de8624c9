"""Scratch files that are deleted before the bucket has taken them cost no upload."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_fixture import eventually
from seats_fixture import Seat, two_seats
from seaweed_fixture import running_seaweed

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(240)]

MIB = 1 << 20
SCRATCH_MIB = 24
MOST_BLOCKS_UNDER_WAY = 6


@pytest.fixture
def seats(tmp_path: Path) -> Iterator[tuple[Seat, Seat]]:
    with running_seaweed() as seaweed, two_seats(tmp_path, seaweed, "deleted") as both:
        yield both


def test_scratch_files_that_come_and_go_in_an_outage_are_not_uploaded(
    seats: tuple[Seat, Seat],
) -> None:
    here, there = seats
    kept = os.urandom(MIB)
    with here.store.rules("broken put block/*"):
        for number in range(SCRATCH_MIB // 8):
            scratch = here.drive / f"scratch-{number}"
            scratch.write_bytes(os.urandom(8 * MIB))
            eventually(lambda: here.status()["uploads"]["bytes"] >= 8 * MIB)
            scratch.unlink()
        (here.drive / "kept").write_bytes(kept)
        eventually(lambda: here.status()["uploads"]["bytes"] < 2 * MIB, 60)
        before = here.store.puts("block/")
    eventually((there.drive / "kept").exists, 90)
    eventually(lambda: here.state("kept") == "cloud", 90)
    eventually(lambda: (there.drive / "kept").read_bytes() == kept, 30)
    assert here.store.puts("block/") - before <= MIB // (256 * 1024) + MOST_BLOCKS_UNDER_WAY
    assert not [alert for alert in here.alerts() if "lost" in alert]
    assert sorted(os.listdir(there.drive)) == ["kept"]
