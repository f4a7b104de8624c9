"""The text of the unit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lucidnode.cli.service_unit import ServiceUnit

HOME = Path("/home/ann/.local/share/lucidnode")
COMMAND = ["/bin/sh", "-c", "exit 0"]


def test_a_home_has_a_name_of_its_own_and_the_usual_one_a_short_one() -> None:
    other = Path("/srv/lucid")
    units = [
        ServiceUnit(home, user, HOME) for home in (HOME, other) for user in (None, "ann", "bea")
    ]
    names = [unit.name for unit in units]
    assert names[:2] == ["lucidnode.service", "lucidnode-ann.service"]
    assert len(set(names)) == len(names)


def test_only_a_unit_of_the_machine_waits_for_the_network_and_names_a_user() -> None:
    of_machine = ServiceUnit(HOME, "ann", HOME).text(COMMAND, None)
    of_user = ServiceUnit(HOME, None, HOME).text(COMMAND, None)
    assert "User=ann" in of_machine
    assert "After=network-online.target" in of_machine
    assert "User=" not in of_user
    assert "network-online" not in of_user


def test_a_crash_of_the_service_or_a_full_memory_costs_no_mount() -> None:
    lines = ServiceUnit(HOME, None, HOME).text(COMMAND, None).splitlines()
    assert {"KillMode=process", "OOMPolicy=continue", "Restart=on-failure"} <= set(lines)


def test_what_systemd_would_expand_is_written_so_that_it_stays() -> None:
    text = ServiceUnit(Path("/srv/100 %h"), "ann", HOME).text(
        ["/opt/it's $HOME/python", 'a"b\\c'], Path("/etc/lucidnode/100%.cred")
    )
    assert '''ExecStart="/opt/it's $$HOME/python" "a\\"b\\\\c"''' in text
    assert 'RequiresMountsFor="/srv/100 %%h"' in text
    assert "LoadCredentialEncrypted=lucidnode-passphrase:/etc/lucidnode/100%%.cred" in text


@pytest.mark.parametrize("user", [None, "root"])
def test_systemd_finds_nothing_wrong(tmp_path: Path, user: str | None) -> None:
    tool = shutil.which("systemd-analyze")
    unit = ServiceUnit(tmp_path / "a home", user, HOME)
    path = tmp_path / unit.name
    path.write_text(unit.text(COMMAND, tmp_path / "sealed" if user else None))
    if tool is None:
        return  # where there is no systemd there is nothing to be wrong with
    # To the machine's own manager the unit of a user is one like another.
    done = subprocess.run(
        [tool, "verify", "--man=no", "--recursive-errors=no", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert str(path) not in done.stderr
    assert done.returncode == 0, done.stderr
