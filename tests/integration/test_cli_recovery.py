"""Every workstation of the owner is lost: what the recovery sheet and the bucket bring back."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from cli_fixture import LUCIDNODE, PASSPHRASE, workstation

from lucidnode.cli.exit_codes import Exit

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(180)]

_CODE = re.compile(r"^ +((?:[0-9A-Z]{4}-){7}[0-9A-Z]{4})$", re.MULTILINE)


def _code(sheet: Path) -> str:
    assert sheet.stat().st_mode & 0o077 == 0
    found = _CODE.search(sheet.read_text())
    assert found
    return found[1]


def test_an_owner_comes_back_from_the_bucket_and_a_sheet_of_paper(tmp_path: Path) -> None:
    bucket = f"file://{tmp_path}/bucket"
    objects = tmp_path / "bucket" / "recovery"
    with workstation(tmp_path / "a") as lost:
        first = lost.folder / "sheet"
        lost.unlocked("init", bucket, "--sheet", first)
        lost.unlocked("recovery", "new", "--sheet", lost.folder / "second")
        assert len(list(objects.iterdir())) == 1  # the first code opens nothing any more
        refused = lost.run("recovery", "new", "--sheet", first)
        assert (refused.code, "exists already" in refused.line) == (Exit.FAILED, True)
        # A code that could not be written down ends none, and leaves nothing behind.
        nowhere = lost.folder / "nowhere" / "sheet"
        ended = lost.run("recovery", "new", "--sheet", nowhere, "--passphrase-file", lost.words)
        assert (ended.code, "cannot write" in ended.line) == (Exit.FAILED, True)
        assert len(list(objects.iterdir())) == 1
        # A sheet is checked by typing it; one that is not the newest, or that is not right, is told.
        for sheet, right in ((first, False), (lost.folder / "second", True)):
            typed = lost.secret_file(f"{sheet.name} typed", _code(sheet).lower())
            words = ("--code-file", typed, "--passphrase-file", lost.words)
            checked = lost.run("recovery", "check", *words)
            assert checked.code == (Exit.OK if right else Exit.PASSPHRASE), checked
        assert len(list(objects.iterdir())) == 1  # and used up by that is none
        assert "is the only owner" in lost.unlocked("members", "list").err
        # Made after the code, so its key was sealed to what the code opens.
        lost.unlocked("project", "create", "demo")
        lost.unlocked("mount", "demo", lost.folder / "drive")
        (lost.folder / "drive" / "cut.txt").write_text("the only copy")
        lost.ok("umount", lost.folder / "drive")
        lost.ok("exit")
        codes = [_code(first), _code(lost.folder / "second")]
    shutil.rmtree(tmp_path / "a")
    with workstation(tmp_path / "b") as found:
        for wrong, exit_code, said in (
            (codes[1][:-1], Exit.USAGE, "32 characters"),
            (codes[0], Exit.PASSPHRASE, "replaced by a later one"),
        ):
            file = found.secret_file("wrong", wrong)
            ended = found.run(
                *("recover", bucket, "--code-file", file, "--passphrase-file", found.words)
            )
            assert (ended.code, said in ended.line) == (exit_code, True), ended.err
            assert not (found.home / "node.json").exists()
        code = found.secret_file("code", codes[1].lower().replace("-", " "))
        found.unlocked(
            *("recover", bucket, "--code-file", code, "--sheet", found.folder / "next"),
            *("--name", "Ada again"),
        )
        found.unlocked("mount", "demo", found.folder / "drive")
        assert (found.folder / "drive" / "cut.txt").read_text() == "the only copy"
        told = found.unlocked("audit").out
        assert "Ada again joined as owner with" in told, told
        members = json.loads(found.unlocked("members", "list", "--json").out)
        assert [(one["role"], one["is_me"]) for one in members["members"]] == [
            ("owner", False),
            ("owner", True),
        ]
        # Its next code is an invite that is open; those of a code that was used, or ended, are not.
        assert [(one["role"], one["recovery_code"]) for one in members["invites"]] == [
            ("owner", True)
        ]
        new = found.secret_file("new", "another passphrase")
        found.unlocked("passphrase", "change", "--new-passphrase-file", new)
        assert found.run("audit", "--passphrase-file", found.words).code == Exit.PASSPHRASE
        assert found.run("audit", "--passphrase-file", new).code == Exit.OK
        assert len(list(objects.iterdir())) == 1
        assert _code(found.folder / "next") not in codes
    with workstation(tmp_path / "c") as late:
        ended = late.run(
            *("recover", bucket, "--code-file", late.secret_file("code", codes[1])),
            *("--passphrase-file", late.words),
        )
        assert (ended.code, "may have been used" in ended.line) == (Exit.PASSPHRASE, True)


def test_a_code_on_a_terminal_is_shown_and_asked_for(tmp_path: Path) -> None:
    with workstation(tmp_path / "a") as station:
        said = station.unlocked("init", f"file://{tmp_path}/bucket").err
        assert "no recovery code was made" in said
        code, shown = station.on_terminal(
            *(LUCIDNODE, "recovery", "new"),
            answers=(
                ("Passphrase", PASSPHRASE),
                ("(Enter: later)", "nonsense"),
                ("look again", ""),
            ),
        )
        assert (code, "not checked" in shown) == (0, True), shown
        assert _CODE.search(shown.replace("\r", ""))
