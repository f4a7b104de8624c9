"""docs/guides/leaving.md, its commands one by one: a member becomes a viewer, and leaves the studio today."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from cli_fixture import Ended, Workstation, until, workstation
from lab.places import REPOSITORY

from lucidnode.cli.exit_codes import Exit

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(300)]


def _join(owner: Workstation, newcomer: Workstation) -> None:
    ticket, code = owner.unlocked("invite", "--unattended", "--for", "Bo").out.splitlines()
    newcomer.unlocked(
        *("join", f"@{newcomer.secret_file('ticket', ticket)}"),
        *("--code-file", newcomer.secret_file("code", code), "--name", "Bo Lind"),
    )


def _devices(station: Workstation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(station.unlocked("devices", "list", "--json").out)[
        "devices"
    ]
    return found


class Page:
    """The commands of the page, in order, each of which somebody has to run."""

    def __init__(self) -> None:
        page = (REPOSITORY / "docs" / "guides" / "leaving.md").read_text("utf-8")
        self.commands = re.findall(r"^lucidnode (.+)$", page, re.MULTILINE)

    def run(self, owner: Workstation, command: str) -> Ended:
        """Run *command*, which has to stand next on the page, on the workstation of *owner*."""
        assert self.commands.pop(0) == command
        words = shlex.split(command)
        yes = ["--yes"] if words[1] in {"role", "revoke"} else []
        return owner.run(*words, *yes, "--passphrase-file", owner.words)


def _refused(path: Path) -> bool:
    try:
        path.write_text("what counts for nobody")
    except OSError:
        return True
    return False


def test_an_editor_becomes_a_viewer_and_leaves_the_company_today(tmp_path: Path) -> None:
    with workstation(tmp_path / "a") as ada, workstation(tmp_path / "b") as bo:
        ada.unlocked("init", f"file://{tmp_path}/bucket", "--name", "Ada")
        ada.unlocked("project", "create", "demo")
        ada.unlocked("project", "create", "trailer")  # nobody has it mounted
        port = ada.status()["addresses"]["control_port"]
        _join(ada, bo)
        bo.change_settings(peers=[f"127.0.0.1:{port}"])
        here, there = ada.folder / "drive", bo.folder / "drive"
        ada.unlocked("mount", "demo", here)
        bo.unlocked("mount", "demo", there)
        (there / "cut").write_text("by Bo")
        until((here / "cut").is_file)
        until(lambda: ada.status()["peers"] == 1)

        (ada_name,) = [one["device"] for one in _devices(ada) if one["is_me"]]

        page = Page()
        assert "Bo Lind" in page.run(ada, "members list").out
        bo.ok("wait", there)  # what he has not sent

        # A viewer of one project, whose mount is read-only from then on.
        told = page.run(ada, "members role 'Bo Lind' viewer --project demo").err
        assert "in force in 2 projects" in told, told
        until(lambda: _refused(there / "late"))
        until(lambda: "viewer" in bo.ok("status").out)
        (here / "cut").write_text("by Ada")
        until(lambda: (there / "cut").read_text() == "by Ada")
        assert _refused(there / "late")

        # By a name of its own, which an owner gives a workstation, and its owner changes.
        until(lambda: any(one["connected"] for one in _devices(ada) if not one["is_me"]))
        (device,) = [one for one in _devices(ada) if not one["is_me"]]
        ada.unlocked("devices", "rename", device["device_id"][:8], "grading")
        until(lambda: "grading" in bo.unlocked("devices", "list").out)
        refused = bo.run("devices", "rename", "grading", ada_name, "--passphrase-file", bo.words)
        assert f"there is a workstation '{ada_name}' already" in refused.line
        refused = bo.run("devices", "revoke", "Bo", "--yes", "--passphrase-file", bo.words)
        assert "no workstation of the studio is called Bo" in refused.line

        # Out of the studio.
        (here / "before").write_text("before that day")
        until((there / "before").is_file)
        told = page.run(ada, "members revoke 'Bo Lind'").err
        assert "out of the studio" in told, told
        assert "in force in 2 projects" in told, told
        assert f"take those away at file://{tmp_path}/bucket" in told, told
        until(lambda: ada.status()["peers"] == 0)
        until(lambda: "put this workstation out" in bo.ok("status").out)
        (here / "cut").write_text("after Bo")
        until(lambda: not any(mount["pending"] for mount in ada.status()["mounts"]))
        assert (there / "cut").read_text() == "by Ada"  # sealed without him
        members = json.loads(ada.unlocked("members", "list", "--json").out)["members"]
        assert [one["member"] for one in members] == ["Ada"]
        audit = ada.unlocked("audit", "--project", "demo").out
        assert "Ada made Bo Lind" in audit, audit
        assert "Ada put out Bo Lind" in audit, audit
        assert "Bo Lind worked in demo" in audit, audit
        assert "in force in 2 projects" in page.run(ada, "members settle").err
        again = json.loads(ada.unlocked("members", "settle", "--json").out)
        assert again == {"in_force": ["demo", "trailer"], "not_yet": {}}
        # A directory has no credentials; with a store they are set by test_cli_role_credentials.py.
        ada.secret_file("new.json", json.dumps({"access_key": "AK", "secret_key": "SK"}))
        given = page.run(ada, "credentials set --role editor --credentials-file new.json")
        assert (given.code, "a directory" in given.line) == (Exit.FAILED, True)
        assert page.run(ada, "recovery new").code == 0
        # What he had read is sealed anew.
        assert "to seal anew" in page.run(ada, "project rekey demo --dry-run").out
        assert "sealed anew" in page.run(ada, "project rekey demo --rate 100Mbit/s").err
        assert "nothing is older" in ada.unlocked("project", "rekey", "demo").err
        assert (here / "before").read_text() == "before that day"
        assert not page.commands

        # Who has nothing here any more goes by a word of his own as well.
        assert "still mounted" in bo.run("leave", "--yes", "--passphrase-file", bo.words).line
        bo.ok("umount", there)
        said = bo.unlocked("leave", "--yes").err
        assert "has left the studio" in said, said
        assert not (bo.home / "member.json").exists()
