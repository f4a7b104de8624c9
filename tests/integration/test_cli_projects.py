"""An owner's projects from the command line: another name, an archive, a deletion, and back again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_fixture import Workstation, until, workstation

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(300)]


def _join(owner: Workstation, newcomer: Workstation) -> None:
    ticket, code = owner.unlocked("invite", "--unattended", "--for", "Bo").out.splitlines()
    newcomer.unlocked(
        *("join", f"@{newcomer.secret_file('ticket', ticket)}"),
        *("--code-file", newcomer.secret_file("code", code), "--name", "Bo"),
    )


def _writes(path: Path) -> bool:
    try:
        path.write_text("a line")
    except OSError:
        return False
    return True


def _names(station: Workstation) -> dict[str, list[str]]:
    told = json.loads(station.unlocked("project", "list", "--json").out)
    return {kind: [one["name"] for one in found] for kind, found in told.items()}


def test_a_project_is_renamed_archived_deleted_and_brought_back(tmp_path: Path) -> None:
    with workstation(tmp_path / "a") as ada, workstation(tmp_path / "b") as bo:
        ada.unlocked("init", f"file://{tmp_path}/bucket", "--name", "Ada")
        ada.unlocked("project", "create", "demo")
        _join(ada, bo)
        there = bo.folder / "drive"
        bo.unlocked("mount", "demo", there)
        assert _writes(there / "cut")

        assert (
            "only an owner"
            in bo.run(*("project", "rename", "demo", "mine", "--passphrase-file", bo.words)).line
        )
        ada.unlocked("project", "rename", "demo", "the film")
        assert _names(bo) == {"projects": ["the film"], "archived": [], "deleted": []}

        told = ada.unlocked("project", "archive", "the film", "--yes").err
        assert "`lucidnode project restore 'the film'`" in told, told
        assert "in force in 1 project" in told, told
        until(lambda: not _writes(there / "late"))
        until(lambda: "archived" in bo.ok("status").out)
        assert (there / "cut").read_text() == "a line"
        assert _names(ada) == {"projects": [], "archived": ["the film"], "deleted": []}
        here = ada.folder / "drive"
        ada.unlocked("mount", "the film", here)
        assert (here / "cut").read_text() == "a line"
        assert not _writes(here / "late")
        ada.ok("umount", here)

        ada.unlocked("project", "restore", "the film")
        until(lambda: _writes(there / "again"))

        words = ("--passphrase-file", ada.words)
        assert "--name-again" in ada.run("project", "delete", "the film", *words).line
        assert (
            "nothing was deleted"
            in ada.run("project", "delete", "the film", "--name-again", "film", *words).line
        )
        told = ada.unlocked("project", "delete", "the film", "--name-again", "the film").err
        assert "is deleted: until " in told, told
        until(lambda: not _writes(there / "late"))
        until(lambda: "an owner has deleted it" in bo.ok("status").out)
        assert "an owner has deleted it" in ada.run("mount", "the film", here, *words).line
        assert _names(bo) == {"projects": [], "archived": [], "deleted": ["the film"]}
        ada.unlocked("project", "create", "the film")
        told = json.loads(ada.unlocked("project", "restore", "the film", "--json").out)
        assert (told["name"], told["state"], told["not_yet"]) == ("the film (2)", "active", {})
        until(lambda: _writes(there / "and again"))
        audit = ada.unlocked("audit").out
        for said in (
            "Ada renamed the project demo to the film",
            "Ada archived the project the film",
            "Ada deleted the project the film, for good from",
            "Ada brought back the project the film",
        ):
            assert said in audit, audit
        bo.ok("umount", there)
