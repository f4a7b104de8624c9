"""Machines that join by themselves with one file: as many as it was made for, and as its role."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_fixture import workstation

from lucidnode.cli.exit_codes import Exit

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(200)]


def test_a_join_token_is_for_so_many_machines_of_one_role_and_can_be_withdrawn(
    tmp_path: Path,
) -> None:
    with (
        workstation(tmp_path / "ada") as ada,
        workstation(tmp_path / "r1") as first,
        workstation(tmp_path / "r2") as second,
    ):
        ada.unlocked("init", f"file://{tmp_path}/bucket", "--name", "Ada")
        file = tmp_path / "farm.json"
        ada.unlocked("invite", "--join-token", file, "--role", "viewer", "--count", "2")
        assert file.stat().st_mode & 0o777 == 0o600
        again = ada.run(
            *("invite", "--join-token", file, "--count", "2", "--passphrase-file", ada.words)
        )
        assert "exists already" in again.line

        first.unlocked("join", "--join-token", file, "--name", "farm", "--device-name", "r1")
        listed = json.loads(ada.unlocked("members", "list", "--json").out)
        assert [(one["device"], one["role"]) for one in listed["members"][1:]] == [("r1", "viewer")]
        assert len(listed["invites"]) == 1

        # What is left of it is withdrawn; nobody joins with it any more.
        said = ada.unlocked("invite", "cancel", "--join-token", file).err
        assert "withdrawn: 1 place" in said
        late = second.run("join", "--join-token", file, "--passphrase-file", second.words)
        assert late.code != Exit.OK
        assert "all places of this join token (2 machines) are used or withdrawn" in late.line
