"""Founding: a run that did not finish never costs anybody a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from lucidnode import node_key
from lucidnode.fs.membership.member import Label
from lucidnode.fs.membership.member_file import open_membership
from lucidnode.new_home import NodeOptions, check_fresh
from lucidnode.new_studio import BucketSpec, check_bucket, create_studio
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.network import Network
from lucidnode.node.client.errors import Refused
from lucidnode.node.config import MEMBER_FILE, NODE_FILE, load_config
from lucidnode.node.identity import DeviceIdentity

LOCAL = NodeOptions(cache_dir=None, cache_limit_mib=None)
ADA = Label("Ada", "edit-1")


def place(folder: Path) -> BucketSpec:
    folder.mkdir(exist_ok=True)
    return BucketSpec.parse(f"file://{folder}", None, None, None, Network())


async def test_founding_can_be_repeated_and_destroys_no_key(tmp_path: Path) -> None:
    home, first, second = tmp_path / "home", place(tmp_path / "a"), place(tmp_path / "b")
    await create_studio(home, first, LOCAL, "first words", ADA)
    founded, device = load_config(home), DeviceIdentity.load(home / "device.pem")
    with pytest.raises(Refused, match="kept as it is") as refused:
        check_fresh(home, LOCAL)
    assert "remove" not in str(refused.value)

    (home / NODE_FILE).unlink()  # the run ended before it knew that the studio was there
    await check_bucket(home, first)
    with pytest.raises(WrongBucket, match="the passphrase you chose then"):
        await create_studio(home, first, LOCAL, "other words", ADA)
    await create_studio(home, first, LOCAL, "first words", ADA)
    again = load_config(home)
    assert (again.studio, again.genesis) == (founded.studio, founded.genesis)

    (home / NODE_FILE).unlink()
    await create_studio(home, second, LOCAL, "second words", ADA)
    assert load_config(home).studio != founded.studio
    kept = open_membership((home / "member.1.json").read_bytes(), "first words")
    assert kept.studio.hex() == founded.studio
    assert (home / MEMBER_FILE).exists()
    # Nor the device key, which the first studio knows, and what opens it.
    again_home = tmp_path / "again"
    again_home.mkdir()
    for name, before in (
        ("member.json", "member.1.json"),
        ("node.key", "node.1.key"),
        ("device.pem", "device.1.pem"),
    ):
        (again_home / name).write_bytes((home / before).read_bytes())
        (again_home / name).chmod(0o600)
    node_key.hold_kept(again_home, kept.keys)
    assert DeviceIdentity.load(again_home / "device.pem").id == device.id
