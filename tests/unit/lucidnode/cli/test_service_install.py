"""Where the unit of a home goes, and what is refused before anything is written."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from lucidnode.cli.service_install import check_file, installed, place_of
from lucidnode.node.client.errors import Refused


def test_a_unit_of_a_login_goes_where_its_manager_looks(tmp_path: Path) -> None:
    home = tmp_path / "data/lucidnode"
    home.mkdir(parents=True)
    environment = {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }
    place = place_of(home, environment, is_system=False)
    assert place.path == tmp_path / "config/systemd/user/lucidnode.service"
    assert place.systemctl == ["systemctl", "--user"]
    assert installed(home, environment) is None
    place.path.parent.mkdir(parents=True)
    place.path.touch()
    assert installed(home, environment) == place


def test_a_unit_of_the_machine_runs_as_the_owner_of_the_home(tmp_path: Path) -> None:
    place = place_of(tmp_path, {}, is_system=True)
    owner = pwd.getpwuid(tmp_path.stat().st_uid).pw_name
    assert place.unit.user == owner
    assert place.path.parent == Path("/etc/systemd/system")
    assert place.path.name.startswith(f"lucidnode-{owner}-")  # this home is at no usual place
    assert place.credential.parent == Path("/etc/lucidnode")


def test_a_file_that_others_can_read_keeps_no_passphrase(tmp_path: Path) -> None:
    place = place_of(tmp_path, {}, is_system=True)
    file = tmp_path / "passphrase"
    file.touch(mode=0o600)
    check_file(place, file)
    file.chmod(0o640)
    with pytest.raises(Refused, match="nobody else may read it"):
        check_file(place, file)
