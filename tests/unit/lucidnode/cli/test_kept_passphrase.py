"""Where a service has its passphrase from, and what it says when it has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from lucidnode.cli.kept_passphrase import KeptPassphrase, session_bus
from lucidnode.cli.service_loop import PassphraseAway
from lucidnode.cli.service_unit import CREDENTIAL

WORDS = "correct horse battery"


def secret_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_text(text)
    return path


async def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = secret_file(tmp_path / "passphrase", WORDS + "\n")
    kept = KeptPassphrase(tmp_path, "file", file, {})
    assert await kept.read() == WORDS
    file.write_text("another one\n")
    assert await kept.read() == "another one"


async def test_a_file_that_others_can_read_or_that_is_not_there_is_said(tmp_path: Path) -> None:
    file = secret_file(tmp_path / "passphrase", WORDS, 0o644)
    with pytest.raises(PassphraseAway, match="can be read by other users"):
        await KeptPassphrase(tmp_path, "file", file, {}).read()
    with pytest.raises(PassphraseAway, match="cannot read the passphrase"):
        await KeptPassphrase(tmp_path, "file", tmp_path / "none", {}).read()


async def test_what_systemd_hands_over_is_read_whatever_its_mode_looks_like(tmp_path: Path) -> None:
    # For the user of a unit it has a list of access, which shows as rights of the group.
    secret_file(tmp_path / CREDENTIAL, WORDS, 0o440)
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert await KeptPassphrase(tmp_path, "credential", None, environment).read() == WORDS


async def test_that_systemd_hands_nothing_over_is_said(tmp_path: Path) -> None:
    for environment in ({}, {"CREDENTIALS_DIRECTORY": str(tmp_path)}):
        with pytest.raises(PassphraseAway, match="systemd has handed over no passphrase"):
            await KeptPassphrase(tmp_path, "credential", None, environment).read()


def test_the_keyring_is_found_by_the_bus_of_the_session(tmp_path: Path) -> None:
    assert session_bus({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/x", "HOME": "/"}) == {
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/x"
    }
    assert session_bus({"XDG_RUNTIME_DIR": str(tmp_path)}) == {}
    (tmp_path / "bus").touch()
    assert session_bus({"XDG_RUNTIME_DIR": str(tmp_path)}) == {
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path}/bus"
    }
