"""docs/moving.md, step by step: a studio moves from one store to a second, and into a directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_fixture import LUCIDNODE, Uplink, Workstation, until, workstation
from seaweed_fixture import Seaweed, running_seaweed

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(240)]

SIZE = 6 * 1024 * 1024


@pytest.fixture(scope="module")
def stores() -> Iterator[tuple[Seaweed, Seaweed]]:
    with running_seaweed() as first, running_seaweed() as second:
        yield first, second


def _copied(station: Workstation, *place: str) -> int:
    return int(json.loads(station.unlocked("bucket", "copy", *place, "--json").out)["objects"])


def _empty_cache(station: Workstation) -> None:
    station.ok("cache", "clear")


def test_a_studio_moves_to_a_second_store_and_into_a_directory(
    tmp_path: Path, stores: tuple[Seaweed, Seaweed]
) -> None:
    first, second = stores
    keys = {
        "AWS_ACCESS_KEY_ID": first.owner.access_key,
        "AWS_SECRET_ACCESS_KEY": first.owner.secret_key,
    }
    with workstation(tmp_path / "a", keys) as ada, workstation(tmp_path / "b", keys) as bo:
        ada.unlocked("init", "s3://studio", "--endpoint-url", first.endpoint, "--name", "Ada")
        ada.unlocked("project", "create", "demo")
        ticket, code = ada.unlocked("invite", "--unattended", "--for", "Bo").out.splitlines()
        bo.unlocked(
            *("join", f"@{bo.secret_file('ticket', ticket)}"),
            *("--code-file", bo.secret_file("code", code), "--name", "Bo"),
        )
        here, there = ada.folder / "drive", bo.folder / "drive"
        film = os.urandom(SIZE)
        ada.unlocked("mount", "demo", here)
        (here / "film").write_bytes(film)
        ada.ok("wait", here)

        # A copy over a slow line, killed in the middle, goes on.
        line = Uplink(second.endpoint)
        line.rate = 1e6
        new = ("s3://new-studio", "--endpoint-url", f"http://127.0.0.1:{line.port}")
        killed = subprocess.Popen(
            [LUCIDNODE, "bucket", "copy", *new],
            env=ada.environment,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: line.carried > 2.5e6)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        line.hurry()
        refused = bo.run("bucket", "use", *new, "--passphrase-file", bo.words)
        assert "no daemon runs" in refused.line, refused
        bo.unlocked("daemon")
        refused = bo.run("bucket", "use", *new)
        assert "no copy of the studio" in refused.line, refused
        second_run = _copied(ada, *new)
        assert 0 < second_run < _copied(ada, f"file://{tmp_path}/reference")
        assert _copied(ada, *new) == 0

        # Work goes on meanwhile; what came since is brought by one more copy.
        (here / "late").write_text("written while it was copied")
        ada.ok("wait", here)
        assert "still mounted" in ada.run("bucket", "use", *new).line
        ada.ok("umount", here)
        assert "are not in the new bucket yet" in ada.run("bucket", "use", *new).line
        assert _copied(ada, *new) >= 2
        for station in (ada, bo):
            station.unlocked("bucket", "use", *new)
            assert station.run("bucket", "use", *new).code != 0  # no daemon, and nothing to do

        # Another member, from the new store alone, with an empty cache.
        bo.unlocked("mount", "demo", there)
        _empty_cache(bo)
        assert (there / "film").read_bytes() == film
        assert (there / "late").read_text() == "written while it was copied"
        ada.unlocked("mount", "demo", here)
        assert "still mounted" in ada.run("bucket", "move", f"file://{tmp_path}/nas").line
        (there / "answer").write_text("from the new house")
        until((here / "answer").is_file)

        # And once more, into a directory.
        directory = (f"file://{tmp_path}/nas",)
        bo.ok("wait", there)
        for station, drive in ((ada, here), (bo, there)):
            station.ok("umount", drive)
        assert "object" in ada.unlocked("bucket", "move", *directory).err
        ada.unlocked("mount", "demo", here)
        (here / "sooner").write_text("before the other has moved")
        ada.ok("wait", here)
        bo.unlocked("bucket", "use", *directory)
        bo.unlocked("mount", "demo", there)
        _empty_cache(bo)
        assert (there / "film").read_bytes() == film
        assert (there / "answer").read_text() == "from the new house"
        assert (there / "sooner").read_text() == "before the other has moved"
        ada.ok("umount", here)
        assert not (bo.home / "bucket.json").exists()  # a directory takes no credentials
        line.cut()

        # The old one takes nothing any more, and work waits: the new one gets it.
        last = f"file://{tmp_path}/last"
        bo.ok("wait", there)
        assert _copied(ada, last) > 0
        (tmp_path / "nas").rename(tmp_path / "closed")
        late = os.urandom(SIZE)
        (there / "unsent").write_bytes(late)
        bo.ok("umount", there)
        assert bo.status()["uploads"]["blocks"]
        assert "wait for the old bucket" in bo.run("bucket", "use", last).line
        bo.unlocked("bucket", "use", last, "--old-is-gone")
        ada.unlocked("bucket", "use", last, "--old-is-gone")
        bo.unlocked("mount", "demo", there)
        bo.ok("wait", there)
        ada.unlocked("mount", "demo", here)
        assert (here / "unsent").read_bytes() == late
        assert (here / "film").read_bytes() == film
