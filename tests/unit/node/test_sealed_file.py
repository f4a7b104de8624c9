"""Secrets of a home on its disk: sealed under the node key, each for its own place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lucidnode.node import sealed_file
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.client.errors import Locked, NotOurs, Refused
from lucidnode.node.config import (
    NodeConfig,
    kept_lan_key,
    lan_key_of,
    load_credentials,
    save_credentials,
)
from lucidnode.node.sealed_file import NODE_KEY_FILE

KEY, OTHER = b"k" * 32, b"o" * 32


def sealed_home(folder: Path, key: bytes | None = KEY) -> Path:
    """Return a home that has a node key, which this process holds unless *key* is None."""
    folder.mkdir()
    (folder / NODE_KEY_FILE).write_bytes(b"{}")
    if key is not None:
        sealed_file.hold(folder, key)
    return folder


def test_what_is_written_is_read_again_and_nothing_of_it_is_in_the_file(tmp_path: Path) -> None:
    home = sealed_home(tmp_path / "home")
    save_credentials(home, Credentials("an id", "a secret"))
    path = home / "bucket.json"
    assert load_credentials(home) == Credentials("an id", "a secret")
    assert b"a secret" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    before = path.read_bytes()
    save_credentials(home, Credentials("an id", "a secret"))
    assert path.read_bytes() != before  # no nonce twice


def test_without_the_key_nothing_is_read_and_nothing_written_in_clear(tmp_path: Path) -> None:
    writer = sealed_home(tmp_path / "a")
    save_credentials(writer, Credentials("an id", "a secret"))
    home = sealed_home(tmp_path / "b", None)
    (home / "bucket.json").write_bytes((writer / "bucket.json").read_bytes())
    with pytest.raises(Locked, match="lucidnode unlock"):
        load_credentials(home)
    for name in ("bucket.json", "webhooks.json"):
        with pytest.raises(Locked):
            sealed_file.write(home / name, b"a secret")
    with pytest.raises(Locked):
        kept_lan_key(home, bytes(32))
    assert b"a secret" not in (home / "bucket.json").read_bytes()
    assert not (home / "webhooks.json").exists()


def test_a_file_opens_in_its_own_place_and_home_alone(tmp_path: Path) -> None:
    home, other = sealed_home(tmp_path / "a"), sealed_home(tmp_path / "b", OTHER)
    sealed_file.write(home / "bucket.json", b"content")
    raw = (home / "bucket.json").read_bytes()
    for place in (home / "webhooks.json", other / "bucket.json"):
        place.write_bytes(raw)
        with pytest.raises(NotOurs):
            sealed_file.read(place)


@pytest.mark.parametrize("bit", [0, 7, 60, 95, 300])
def test_a_file_of_which_one_bit_was_changed_is_none(tmp_path: Path, bit: int) -> None:
    home = sealed_home(tmp_path / "home")
    sealed_file.write(home / "bucket.json", b"content")
    raw = bytearray((home / "bucket.json").read_bytes())
    start = raw.index(b'sealed":"') + len(b'sealed":"')
    raw[start + bit % 50] ^= 1
    (home / "bucket.json").write_bytes(raw)
    with pytest.raises(Refused, match="restore it from a copy"):
        sealed_file.read(home / "bucket.json")


def test_what_a_later_version_wrote_says_so(tmp_path: Path) -> None:
    home = sealed_home(tmp_path / "home")
    (home / "bucket.json").write_text('{"format":2,"sealed":"AAAA"}')
    with pytest.raises(Refused, match="update Lucidnode"):
        sealed_file.read(home / "bucket.json")


def test_what_a_home_of_before_holds_in_clear_is_read_and_stays_so_until_it_has_a_key(
    tmp_path: Path,
) -> None:
    save_credentials(tmp_path, Credentials("an id", "a secret"))
    assert b"a secret" in (tmp_path / "bucket.json").read_bytes()
    assert load_credentials(tmp_path) == Credentials("an id", "a secret")
    config = NodeConfig("", "", kept_lan_key(tmp_path, b"l" * 32), "file:///b")
    assert config.lan_key == (b"l" * 32).hex()
    assert lan_key_of(tmp_path, config) == b"l" * 32


def test_a_daemon_that_has_not_heard_of_the_key_yet_loses_nothing_and_what_it_writes_is_sealed_later(
    tmp_path: Path,
) -> None:
    (tmp_path / "webhooks.json").write_bytes(b"before")
    (tmp_path / NODE_KEY_FILE).write_bytes(b"{}")  # by the command that upgrades, this moment
    sealed_file.write(tmp_path / "webhooks.json", b"of the daemon")
    sealed_file.hold(tmp_path, KEY)
    sealed_file.seal_in_place(tmp_path / "webhooks.json")
    assert b"of the daemon" not in (tmp_path / "webhooks.json").read_bytes()
    assert sealed_file.read(tmp_path / "webhooks.json") == b"of the daemon"


def test_sealing_in_place_overwrites_what_was_in_clear_and_what_a_killed_write_left(
    tmp_path: Path,
) -> None:
    home = sealed_home(tmp_path / "home")
    path, left = home / "bucket.json", home / ".bucket.json.0123abcd.tmp"
    other = home / ".bucket.json.of-somebody.tmp"
    for each in (path, left, other):
        each.write_bytes(b"a secret")
    held = [os.open(each, os.O_RDONLY) for each in (path, left)]
    try:
        sealed_file.seal_in_place(path)
        assert [os.pread(each, 100, 0) for each in held] == [bytes(8)] * 2
    finally:
        for descriptor in held:
            os.close(descriptor)
    assert sealed_file.read(path) == b"a secret"
    assert not left.exists()
    assert other.read_bytes() == b"a secret"
    before = path.read_bytes()
    sealed_file.seal_in_place(path)
    assert path.read_bytes() == before
    sealed_file.seal_in_place(home / "webhooks.json")  # there is none
    assert not (home / "webhooks.json").exists()


def test_no_link_leads_the_sealing_out_of_the_home(tmp_path: Path) -> None:
    home = sealed_home(tmp_path / "home")
    (tmp_path / "elsewhere").write_bytes(b"not a secret of ours")
    (home / "bucket.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        sealed_file.seal_in_place(home / "bucket.json")
    assert (tmp_path / "elsewhere").read_bytes() == b"not a secret of ours"


def test_a_lan_key_that_is_no_text_of_ours_is_named(tmp_path: Path) -> None:
    home = sealed_home(tmp_path / "home")
    for text in ("sealed:%%%", "sealed:AAAA", "no hex"):
        with pytest.raises(Refused, match=r"lan_key|LAN key"):
            lan_key_of(home, NodeConfig("", "", text, "file:///b"))
