"""Two workstations and a slow way to the bucket: what others see of a save, and when."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli_fixture import Workstation, workstation
from hostile_store import HostileStore
from seaweed_fixture import running_seaweed

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(180)]

BLOCK = 256 * 1024
SOON_S = 15.0


@dataclass(frozen=True)
class Seat:
    """A workstation with the project mounted, and its way to the store."""

    station: Workstation
    drive: Path
    store: HostileStore

    def told(self, name: str) -> tuple[str, str]:
        """Return how far a file is, and on which workstation."""
        state = os.getxattr(self.drive / name, "user.lucid.state").decode()
        if state == "cloud":
            return state, ""
        return state, os.getxattr(self.drive / name, "user.lucid.device").decode()


@pytest.fixture(scope="module")
def seats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Seat, Seat]]:
    """Return two workstations of one studio, no peers of each other."""
    root = tmp_path_factory.mktemp("saves")
    with running_seaweed() as seaweed:
        keys = {
            "AWS_ACCESS_KEY_ID": seaweed.owner.access_key,
            "AWS_SECRET_ACCESS_KEY": seaweed.owner.secret_key,
        }
        with (
            HostileStore(seaweed.endpoint).running() as near,
            HostileStore(seaweed.endpoint).running() as far,
            workstation(root / "a", keys) as a,
            workstation(root / "b") as b,
        ):
            a.unlocked(
                "init", "s3://studio/saves", "--endpoint-url", near.endpoint, "--name", "edit-1"
            )
            a.change_settings(mdns=False)
            a.ok("exit")
            a.unlocked("project", "create", "demo", "--block-size", "256K")
            ticket, code = a.unlocked("invite").out.splitlines()
            b.unlocked(
                "join", "@" + str(b.secret_file("ticket", ticket)),
                "--code-file", b.secret_file("code", code),
            )  # fmt: skip
            b.change_settings(mdns=False, endpoint_url=far.endpoint)
            b.ok("exit")
            both = (Seat(a, a.folder / "drive", near), Seat(b, b.folder / "drive", far))
            for seat in both:
                seat.station.unlocked("mount", "demo", seat.drive)
            yield both


def eventually(true: Callable[[], Any], seconds: float = SOON_S) -> float:
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
    film = os.urandom(96 * BLOCK)
    (here.drive / "folder").mkdir()
    with here.store.rules("slow put block/*"):
        (here.drive / "film").write_bytes(film)
        eventually(there.drive.joinpath("film").exists)
        seen = there.drive / "film"
        eventually(lambda: there.told("film")[0] == "uploading")
        assert here.told("film")[0] == "uploading"
        assert there.told("film")[1] == here.told("film")[1] != ""
        (here.drive / "note").write_text("small")
        os.rename(here.drive / "note", here.drive / "folder" / "note")
        eventually((there.drive / "folder" / "note").exists)
        assert (there.drive / "folder" / "note").read_text() == "small"
        assert there.told("film")[0] == "uploading", "too quick to tell"
        while there.told("film")[0] != "cloud":
            assert seen.stat().st_size in {0, len(film)}
            time.sleep(0.05)  # noqa: TID251  # a test thread, not a loop
    # The kernel there hears of it a moment after the file system does.
    eventually(lambda: seen.read_bytes() == film)
    eventually(lambda: here.told("film")[0] == "cloud")


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
        eventually(lambda: there.told("log")[0] == "writing")
    eventually(lambda: there.told("log")[0] == "cloud")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
