"""Two workstations and a slow way to the bucket: what others see of a save, and when."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from seats_fixture import Seat, two_seats
from seaweed_fixture import running_seaweed

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(180)]

BLOCK = 256 * 1024
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def seats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Seat, Seat]]:
    with (
        running_seaweed() as seaweed,
        two_seats(tmp_path_factory.mktemp("saves"), seaweed, "saves") as both,
    ):
        yield both


def eventually(true: Callable[[], Any], seconds: float = PATIENCE_S) -> float:
    """Wait until it is true; return how long that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "it never came true"
        time.sleep(0.02)  # noqa: TID251  # a test thread, not a loop
    return time.monotonic() - began


def test_a_big_file_appears_whole_is_announced_and_holds_up_nothing_small(
    seats: tuple[Seat, Seat],
) -> None:
    here, there = seats
    # Where the machine is so busy that it is through before anybody has looked, a longer one is sent.
    for number, blocks in enumerate((96, 384)):
        name = f"film {number}"
        with here.store.rules("slow put block/*"):
            was_seen = _is_seen_on_its_way(here, there, name, os.urandom(blocks * BLOCK))
        # The kernel there hears of it a moment after the file system does.
        film = (here.drive / name).read_bytes()
        eventually(lambda: _read(there.drive / name) == film)  # noqa: B023  # called at once
        eventually(lambda: here.state(name) == "cloud")  # noqa: B023  # called at once
        if was_seen:
            return
    raise AssertionError("too quick to tell")


def _is_seen_on_its_way(here: Seat, there: Seat, name: str, film: bytes) -> bool:
    """Save *film* here, and look at what others see meanwhile; False if it was through too soon."""
    (here.drive / name).write_bytes(film)
    seen, note = there.drive / name, there.drive / f"folder of {name}" / "note"
    eventually(seen.exists)
    eventually(lambda: there.state(name) != "writing")
    (here.drive / note.parent.name).mkdir()
    (here.drive / "note").write_text("small")
    os.rename(here.drive / "note", here.drive / note.parent.name / "note")
    eventually(lambda: _read(note) == b"small")
    device = there.device(name) if there.state(name) == "uploading" else ""
    eventually(lambda: _moving(here, name).get("bytes_per_second") or here.state(name) == "cloud")
    moving, elsewhere = _moving(here, name), _moving(there, name)
    is_over = "cloud" in {here.state(name), there.state(name)}
    if is_over or not moving.get("bytes_left") or not elsewhere:
        return False
    assert device == here.device(name) != ""
    assert moving["bytes_left"] < moving["bytes"] == len(film)
    rate = moving["bytes_per_second"]
    assert moving["seconds_left"] == pytest.approx(moving["bytes_left"] / rate, abs=0.1)
    # Who is no peer of ours says nothing of it.
    assert (elsewhere["device"], elsewhere["seconds_left"]) == (device, None)
    while there.state(name) != "cloud":
        assert seen.stat().st_size in {0, len(film)}
        time.sleep(0.05)  # noqa: TID251  # a test thread, not a loop
    return True


def test_a_file_saved_over_is_seen_old_or_new_and_never_empty(seats: tuple[Seat, Seat]) -> None:
    """By truncating and writing, with pauses between, as programs and shells save."""
    here, there = seats
    versions = [os.urandom(3 * BLOCK + 1000) for _ in range(3)]
    (here.drive / "doc").write_bytes(versions[0])
    eventually(lambda: _read(there.drive / "doc") == versions[0])
    seen = set()
    for version in versions[1:]:
        with (here.drive / "doc").open("wb") as file:
            for at in range(0, len(version), BLOCK):
                file.write(version[at : at + BLOCK])
                file.flush()
                until = time.monotonic() + 0.5
                while time.monotonic() < until:
                    seen.add(_read(there.drive / "doc"))
        eventually(lambda version=version: _read(there.drive / "doc") == version)  # type: ignore[misc]
    assert seen <= set(versions)


def test_a_save_by_rename_waits_for_its_content(seats: tuple[Seat, Seat]) -> None:
    here, there = seats
    old, new = os.urandom(2 * BLOCK), os.urandom(24 * BLOCK)
    (here.drive / "edit").write_bytes(old)
    eventually(lambda: _read(there.drive / "edit") == old)
    with here.store.rules("slow put block/*"):
        (here.drive / ".edit.tmp").write_bytes(new)
        os.rename(here.drive / ".edit.tmp", here.drive / "edit")
        (here.drive / "other").write_text("later, and not held up")
        eventually((there.drive / "other").exists)
        while (found := _read(there.drive / "edit")) != new:
            assert found == old
            time.sleep(0.05)  # noqa: TID251  # a test thread, not a loop


def test_what_is_synced_in_a_file_that_stays_open_is_seen(seats: tuple[Seat, Seat]) -> None:
    here, there = seats
    with (here.drive / "log").open("ab", buffering=0) as log:
        for number in range(3):
            log.write(b"line %d\n" % number)
            os.fsync(log.fileno())
            lines = b"".join(b"line %d\n" % each for each in range(number + 1))
            eventually(lambda lines=lines: _read(there.drive / "log") == lines)  # type: ignore[misc]
        with subprocess.Popen(
            ["tail", "-n", "+1", "-s", "0.1", "-f", there.drive / "log"], stdout=subprocess.PIPE
        ) as tail:
            assert tail.stdout is not None
            log.write(b"while somebody looks\n")
            os.fsync(log.fileno())
            assert [tail.stdout.readline() for _ in range(4)][3] == b"while somebody looks\n"
            tail.terminate()
        eventually(lambda: there.state("log") == "writing")
    eventually(lambda: there.state("log") == "cloud")


def test_a_mount_killed_in_the_middle_of_an_upload_goes_on_with_it(
    seats: tuple[Seat, Seat],
) -> None:
    """What was closed is whole here and, once it is uploaded, elsewhere; no mark stays behind."""
    here, there = seats
    film = os.urandom(48 * BLOCK)
    with here.store.rules("hang put block/*"):
        (here.drive / "reel").write_bytes(film)
        eventually(lambda: _state(there, "reel") == "uploading")
        os.kill(here.status()["mounts"][0]["pid"], signal.SIGKILL)
        eventually(lambda: _read(here.drive / "reel") == film)
        assert _state(here, "reel") == "uploading"
        assert _read(there.drive / "reel") in {b"", film}
    eventually(lambda: _read(there.drive / "reel") == film)
    eventually(lambda: _state(here, "reel") == _state(there, "reel") == "cloud")


def _moving(seat: Seat, name: str) -> dict[str, Any]:
    """Return what `status` says of the file *name* on its way; nothing if it is not."""
    found = [each for each in seat.status()["on_their_way"] if each["path"] == name]
    return found[0] if found else {}


def _state(seat: Seat, name: str) -> str | None:
    try:
        return seat.state(name)
    except OSError:  # not there, or the mount is on its way back
        return None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
