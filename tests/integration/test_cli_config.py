"""Settings from the command line: an owner's for the studio, a workstation's own, and no restart."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from cli_fixture import Workstation, until, workstation
from lab.free_ports import free_ports

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(300)]


def _join(owner: Workstation, newcomer: Workstation) -> None:
    ticket, code = owner.unlocked("invite", "--unattended", "--for", "Bo").out.splitlines()
    newcomer.unlocked(
        *("join", f"@{newcomer.secret_file('ticket', ticket)}"),
        *("--code-file", newcomer.secret_file("code", code), "--name", "Bo"),
    )


def _setting(station: Workstation, name: str) -> tuple[Any, str]:
    told = station.facts(f"config explain {name}")
    return told["value"], told["from"]


def test_settings_of_the_studio_and_of_one_workstation_count_without_a_restart(
    tmp_path: Path,
) -> None:
    with workstation(tmp_path / "a") as ada, workstation(tmp_path / "b") as bo:
        ada.unlocked("init", f"file://{tmp_path}/bucket", "--name", "Ada")
        ada.unlocked("project", "create", "demo")
        _join(ada, bo)
        there = bo.folder / "drive"
        bo.unlocked("mount", "demo", there)
        (there / "cut").write_text("a line")

        # Everybody has what an owner says, in seconds; a workstation's own word is above it.
        assert (
            "only an owner"
            in bo.run(
                *("config", "set", "cache.limit", "5GB", "--global", "--passphrase-file", bo.words)
            ).line
        )
        ada.unlocked("config", "set", "cache.limit", "5GB", "--global")
        until(lambda: bo.facts("cache show")["limit"] == 5 * 10**9)
        assert _setting(bo, "cache.limit") == (5 * 10**9, "the studio")
        assert bo.ok("config", "list", "--global").out.splitlines()[-1].split() == [
            "cache.limit",
            "5",
            "GB",
        ]
        bo.ok("config", "set", "cache.limit", "6GB")
        assert bo.facts("cache show")["limit"] == 6 * 10**9
        assert _setting(bo, "cache.limit") == (6 * 10**9, "this workstation")
        assert "cache.limit" in bo.ok("config", "list", "--local").out
        said = bo.ok("config", "unset", "cache.limit").err
        assert "cache.limit is 5 GB, as an owner has set it for the studio" in said
        ada.unlocked("config", "unset", "cache.limit", "--global")
        until(lambda: _setting(bo, "cache.limit")[1] == "default")
        refused = ada.run(
            *("config", "set", "cache.place", "/tmp", "--global", "--passphrase-file", ada.words)
        )
        assert "each workstation's own" in refused.line

        # A port is another one while the drive is mounted, and written to.
        [port] = free_ports(1)
        bo.ok("config", "set", "ports.control", str(port))
        until(lambda: bo.facts("status")["addresses"]["control_port"] == str(port))
        assert (there / "cut").read_text() == "a line"
        (there / "later").write_text("another")
        with socket.create_server(("", 0)) as taken:
            bo.ok("config", "set", "ports.control", str(taken.getsockname()[1]))
            until(lambda: [one["topic"] for one in bo.facts("status")["alerts"]] == ["settings"])
            assert bo.status()["addresses"]["control_port"] == str(port)
            assert (there / "later").read_text() == "another"
            (there / "still").write_text("and written")
        bo.ok("config", "unset", "ports.control")
        until(lambda: bo.facts("status")["alerts"] == [])

        # The cache moves with all it holds, once nothing is mounted.
        (there / "film").write_bytes(os.urandom(3 << 20))
        place = bo.folder / "nvme" / "cache"
        refused = bo.run("config", "set", "cache.place", place)
        assert "still mounted" in refused.line
        bo.ok("umount", there)
        until(bo.stages_nothing)  # all that was sent is in the cache
        held = bo.facts("cache show")["bytes"]
        assert "from now on" in bo.ok("config", "set", "cache.place", place).err
        assert _setting(bo, "cache.place") == (str(place), "this workstation")
        assert bo.facts("cache show")["bytes"] == held > 3 << 20
        bo.unlocked("mount", "demo", there)
        assert len((there / "film").read_bytes()) == 3 << 20
        bo.ok("umount", there)
        bo.ok("config", "unset", "cache.place")
        assert bo.facts("cache show")["bytes"] >= held
        assert not list(place.rglob("*/*"))
