"""A home that runs twice: real daemons that meet, of which the later one writes nothing more."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
from cli_fixture import Workstation, until, workstation

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(120)]


def _alerts(station: Workstation) -> str:
    return " ".join(alert["cause"] for alert in station.status()["alerts"])


def test_of_two_homes_with_one_key_the_later_is_read_only_and_both_say_so(tmp_path: Path) -> None:
    with workstation(tmp_path / "a") as ada, workstation(tmp_path / "b") as copy:
        ada.unlocked("init", f"file://{tmp_path}/bucket", "--name", "Ada")
        ada.unlocked("project", "create", "demo")
        ada.ok("exit")
        shutil.copytree(ada.home, copy.home)
        here, there = ada.folder / "drive", copy.folder / "drive"
        ada.unlocked("mount", "demo", here)
        port = ada.status()["addresses"]["control_port"]
        copy.change_settings(peers=[f"127.0.0.1:{port}"])
        copy.unlocked("mount", "demo", there)

        until(lambda: "works with this workstation's keys" in _alerts(copy), 30)
        assert "projects are read-only here" in _alerts(copy)
        with pytest.raises(OSError, match="Read-only") as refused:
            (there / "late").write_text("by the copy")
        assert refused.value.errno == errno.EROFS
        until(lambda: "projects are read-only there" in _alerts(ada))
        assert "works with this workstation's keys" not in _alerts(ada)
        (here / "cut").write_text("by Ada")
        assert (here / "cut").read_text() == "by Ada"


def test_two_homes_with_one_key_that_never_meet_hear_of_each_other_through_the_bucket(
    tmp_path: Path,
) -> None:
    with workstation(tmp_path / "a") as ada, workstation(tmp_path / "b") as copy:
        ada.unlocked("init", f"file://{tmp_path}/bucket", "--name", "Ada")
        ada.unlocked("project", "create", "demo")
        ada.ok("exit")
        ada.change_settings(mdns=False)
        shutil.copytree(ada.home, copy.home)
        here, there = ada.folder / "drive", copy.folder / "drive"
        ada.unlocked("mount", "demo", here)
        copy.unlocked("mount", "demo", there)
        # What one commits has the other look.
        (there / "by the copy").write_text("nobody knows yet")
        (here / "by Ada").write_text("nobody knows yet")

        until(lambda: "projects are read-only there" in _alerts(ada), 90)
        until(lambda: "at another place, works with this workstation's keys" in _alerts(copy), 90)
        assert "projects are read-only here" in _alerts(copy)
        with pytest.raises(OSError, match="Read-only") as refused:
            (there / "late").write_text("by the copy")
        assert refused.value.errno == errno.EROFS
        (here / "cut").write_text("by Ada")
        assert (here / "cut").read_text() == "by Ada"
