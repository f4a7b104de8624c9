"""Where a node key is besides: what is there, what is not, and what is another's."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import get_args

import pytest

from lucidnode.cli import key_places
from lucidnode.node import sealed_file
from lucidnode.node.client.errors import Refused, Unavailable
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node_key import KeptNodeKey, KeyPlace

KEY = b"k" * 32


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home whose device key is sealed under KEY."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "node.key").touch()
    sealed_file.hold(folder, KEY)
    DeviceIdentity.create(folder / "device.pem")
    return folder


def test_a_file_holds_it_for_its_user_alone_and_replaces_nothing(
    home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    where = key_places.keep(home, KEY, "file", file)
    assert where == KeptNodeKey("file", path=str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert key_places.read(home, where, {}) == KEY
    with pytest.raises(Refused, match="exists already"):
        key_places.keep(home, bytes(32), "file", file)
    assert key_places.read(home, where, {}) == KEY
    key_places.forget(home, where)
    assert not file.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"no key", base64.b64encode(b"x" * 32), base64.b64encode(b"k" * 31), b"\xff" * 44],
)
def test_what_is_no_key_of_this_home_is_said_and_opens_nothing(
    home: Path, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_bytes(content)
    with pytest.raises(Unavailable, match="a file that only its user can read"):
        key_places.read(home, KeptNodeKey("file", path=str(file)), {})


def test_a_file_that_others_can_read_is_refused(home: Path, tmp_path: Path) -> None:
    where = key_places.keep(home, KEY, "file", tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(Unavailable, match="chmod 600"):
        key_places.read(home, where, {})


@pytest.mark.parametrize("place", [None, *get_args(KeyPlace)])
def test_a_unit_gets_it_from_its_manager_whatever_is_chosen(
    home: Path, tmp_path: Path, place: KeyPlace | None
) -> None:
    given = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    where = None if place is None else KeptNodeKey(place, path="/nowhere")
    (tmp_path / "lucidnode.node-key").write_bytes(base64.b64encode(KEY) + b"\n")
    assert key_places.read(home, where, given) == KEY
    (tmp_path / "lucidnode.node-key").write_bytes(base64.b64encode(bytes(32)))
    with pytest.raises(Unavailable, match="that systemd hands over is not that of"):
        key_places.read(home, where, given)


def test_where_it_is_nowhere_else_nothing_is_asked(home: Path) -> None:
    assert key_places.read(home, None, {}) is None
    assert key_places.read(home, KeptNodeKey("passphrase"), {}) is None


def test_what_systemd_cannot_open_is_said(home: Path) -> None:
    with pytest.raises(Unavailable, match="systemd-creds"):
        key_places.read(home, KeptNodeKey("systemd", sealed="AAAA"), {})


def test_without_a_session_the_keyring_is_away(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    with pytest.raises(Unavailable, match="no keyring answers"):
        key_places.read(home, KeptNodeKey("keyring"), {})
    with pytest.raises(Unavailable, match="no keyring answers"):
        key_places.keep(home, KEY, "keyring", None)
    with pytest.raises(Unavailable, match="no keyring answers"):
        key_places.forget(home, KeptNodeKey("keyring"))
