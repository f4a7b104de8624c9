"""The disk of what waits for its upload is lost: one file is, with its name told; all else goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_fixture import eventually
from seats_fixture import Seat, two_seats
from seaweed_fixture import running_seaweed

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def seats(tmp_path: Path) -> Iterator[tuple[Seat, Seat]]:
    with running_seaweed() as seaweed, two_seats(tmp_path, seaweed, "lost") as both:
        yield both


def test_what_lay_on_a_lost_disk_is_named_and_holds_up_nothing_else(
    seats: tuple[Seat, Seat],
) -> None:
    here, there = seats
    (here.drive / "song").write_bytes(b"first version" * 100_000)
    eventually(lambda: here.state("song") == "cloud")
    with here.store.rules("broken put block/*"):
        (here.drive / "film").write_bytes(os.urandom(2_000_000))
        (here.drive / "song").write_bytes(b"second version" * 100_000)
        cache = here.station.home / "cache"
        cache.rename(here.station.folder / "lost")
    here.station.ok("umount", here.drive)
    here.station.ok("exit")
    here.station.ok("cache", "adopt", cache, "--yes")
    here.station.unlocked("mount", "demo", here.drive)
    (here.drive / "later").write_text("goes on")
    eventually(lambda: any("film" in alert and "song" in alert for alert in here.alerts()), 90)
    eventually((there.drive / "later").exists, 30)
    assert not (here.drive / "film").exists()
    assert (here.drive / "song").read_bytes() == b"first version" * 100_000
    eventually(lambda: not (there.drive / "film").exists())
    assert (there.drive / "song").read_bytes() == b"first version" * 100_000
    eventually(lambda: here.status()["uploads"]["blocks"] == 0)
