"""The node key: opened by the member's keys, and a home of before gets one once, whatever happens."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from lucidnode import node_key
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.node import sealed_file
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.client.errors import Refused
from lucidnode.node.config import (
    NodeConfig,
    lan_key_of,
    load_config,
    load_credentials,
    save_config,
    save_credentials,
)
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node_key import KeptNodeKey

KEYS = MemberKeys.new()
LAN_KEY = b"l" * 32


def home_of_before(home: Path) -> DeviceIdentity:
    """Make *home* one as release 0.1 left it; return its device."""
    identity = DeviceIdentity.create(home / "device.pem")
    save_credentials(home, Credentials("an id", "a secret"))
    (home / "webhook.secret").write_text("5ec" * 30)
    (home / "webhooks.json").write_text('{"webhooks":[],"places":{}}')
    save_config(home, NodeConfig("aa", "bb", LAN_KEY.hex(), "file:///b"))
    return identity


def test_a_home_of_before_is_sealed_once_and_has_what_it_had(tmp_path: Path) -> None:
    home = tmp_path / "home"
    identity = home_of_before(home)
    secrets = [(home / name).read_bytes() for name in node_key.SEALED_FILES]
    assert not node_key.is_all_sealed(home)
    node_key.hold_kept(home, KEYS)
    for _ in range(2):
        node_key.seal_all(home)
        assert node_key.is_all_sealed(home)
    for name, secret in zip(node_key.SEALED_FILES, secrets, strict=True):
        assert sealed_file.read(home / name) == secret
        assert secret not in (home / name).read_bytes()
    assert DeviceIdentity.load(home / "device.pem").id == identity.id
    assert load_credentials(home) == Credentials("an id", "a secret")
    assert lan_key_of(home, load_config(home)) == LAN_KEY
    assert LAN_KEY.hex() not in (home / "node.json").read_text()


def test_the_same_key_is_opened_each_time_and_by_this_member_alone(tmp_path: Path) -> None:
    node_key.hold_kept(tmp_path, KEYS)
    key = sealed_file.held(tmp_path)
    assert key is not None
    assert node_key.open_kept(tmp_path, KEYS) == key
    assert key not in (tmp_path / "node.key").read_bytes()
    assert (tmp_path / "node.key").stat().st_mode & 0o077 == 0
    with pytest.raises(Refused, match="another member's"):
        node_key.open_kept(tmp_path, MemberKeys.new())


@pytest.mark.parametrize(
    "text", ["", "{", '{"format":1,"sealed":"AAAA","kept":null}', '{"format":1,"sealed":"%"}']
)
def test_a_damaged_node_key_is_named_and_never_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "node.key").write_text(text)
    with pytest.raises(Refused, match=r"node\.key is damaged"):
        node_key.hold_kept(tmp_path, KEYS)
    assert (tmp_path / "node.key").read_text() == text


def test_a_node_key_that_is_lost_is_named_and_no_other_is_put_in_its_place(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home_of_before(home)
    node_key.hold_kept(home, KEYS)
    node_key.seal_all(home)
    (home / "node.key").unlink()
    with pytest.raises(Refused, match=r"is missing, and .* is sealed under it"):
        node_key.hold_kept(home, KEYS)
    assert not (home / "node.key").exists()


def test_where_it_is_kept_besides_is_noted_and_changes_nothing_else(tmp_path: Path) -> None:
    node_key.hold_kept(tmp_path, KEYS)
    key = sealed_file.held(tmp_path)
    assert node_key.kept_where(tmp_path) is None
    where = KeptNodeKey("file", path="/somewhere")
    node_key.note_kept(tmp_path, where)
    assert node_key.kept_where(tmp_path) == where
    assert node_key.open_kept(tmp_path, KEYS) == key
    held = json.loads((tmp_path / "node.key").read_text())
    held["kept"]["place"] = "a place of a later version"
    (tmp_path / "node.key").write_text(json.dumps(held))
    with pytest.raises(Refused, match="damaged"):
        node_key.kept_where(tmp_path)


def test_two_that_begin_at_once_have_one_key_and_what_is_written_meanwhile_stays(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    home_of_before(home)
    barrier = threading.Barrier(4)
    keys = set()

    def begin() -> None:
        barrier.wait()
        node_key.hold_kept(home, KEYS)
        keys.add(node_key.open_kept(home, KEYS))
        node_key.seal_all(home)

    def write() -> None:
        barrier.wait()
        sealed_file.write(home / "webhooks.json", b"of the daemon")

    threads = [threading.Thread(target=each) for each in (begin, begin, begin, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 1
    assert sealed_file.read(home / "webhooks.json") == b"of the daemon"
    assert load_credentials(home) == Credentials("an id", "a secret")
