"""The quick start of the README, typed as it stands, and how its commands read."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from cli_fixture import PASSPHRASE, until, workstation
from lab.places import REPOSITORY

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]


def quick_start() -> list[str]:
    """Return the lines of the first block of the README's quick start."""
    _, _, section = (REPOSITORY / "README.md").read_text("utf-8").partition("## Quick start")
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block
    return block[1].splitlines()


def test_quick_start(tmp_path: Path) -> None:
    first, *typed = quick_start()
    assert first == "scripts/setup && . .venv/bin/activate"  # the tests run in that environment
    assert any("lucidnode mount" in line for line in typed)
    script = tmp_path / "typed"
    script.write_text("\n".join(["set -e", *typed, "echo all went well"]))
    with workstation(tmp_path / "user", {"BROWSER": "false"}) as station:
        del station.environment["LUCIDNODE_HOME"]
        (station.folder / "footage.mov").write_bytes(Path(sys.executable).read_bytes())
        code, shown = station.on_terminal(
            *("bash", str(script)),
            answers=(
                ("New passphrase", PASSPHRASE),
                ("Repeat", PASSPHRASE),
                ("(Enter: later)", ""),
            ),
        )
        assert code == 0, shown
        assert "all went well" in shown
        assert PASSPHRASE not in shown
        assert re.search(r"http://127\.0\.0\.1:\d+/", shown)
        assert "demo is mounted at" in shown
        assert "the daemon has stopped" in shown
        assert (station.folder / ".local/share/lucidnode/node.json").exists()


def test_a_second_workstation_reads_what_the_first_wrote_and_facts_read_well(
    tmp_path: Path,
) -> None:
    with workstation(tmp_path / "a") as first, workstation(tmp_path / "b") as second:
        first.unlocked("init", f"file://{first.folder}/bucket")
        assert "No project yet" in first.unlocked("project", "list").out
        first.unlocked("project", "create", "demo", "--block-size", "256K")
        listed = first.unlocked("project", "list").out.splitlines()
        assert re.fullmatch(r"project +largest block +id *", listed[0])
        assert re.fullmatch(r"demo +256 KiB +[0-9a-f]{32} *", listed[1])
        status = first.ok("status").out
        assert re.search(r"^other workstations +none *$", status, re.MULTILINE)
        assert re.search(r"^your work +safe in the cloud, all of it *$", status, re.MULTILINE)
        assert re.search(r"^your drives +nothing is mounted *$", status, re.MULTILINE)
        assert first.ok("status", "--alerts").out == "Nothing is amiss.\n"
        invited = first.unlocked("invite", "--unattended", "--for", "Ada")
        ticket, code = invited.out.splitlines()
        assert ticket.startswith("lucid1")
        second.unlocked(
            "join", "@" + str(second.secret_file("ticket", invited.out)),
            "--code-file", second.secret_file("code", code),
        )  # fmt: skip
        where = first.folder / "drive", second.folder / "drive"
        first.unlocked("mount", "demo", where[0])
        (where[0] / "notes").write_text("for Ada")
        status = first.ok("status").out
        assert re.search(rf"^{where[0]} +local +\d+ +0 +none yet *$", status, re.MULTILINE)
        first.ok("umount", where[0])
        said = second.unlocked("mount", "demo", where[1]).err
        assert said == f"demo is mounted at {where[1]}, a new directory\n"
        assert (where[1] / "notes").read_text() == "for Ada"
        savings = second.ok("savings").out
        row = r"^the office: downloaded from the cloud( +[\d.]+ k?B){3} *$"
        assert re.search(row, savings, re.MULTILINE), savings
        second.ok("umount", where[1])
        for one in (first, second):
            one.ok("exit")
            until(lambda one=one: one.processes() == [])  # type: ignore[misc]
