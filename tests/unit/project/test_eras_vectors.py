"""docs/vectors/eras.json, read with the program's code, and once more from docs/format.md alone."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from blake3 import blake3
from lab.places import REPOSITORY
from nacl.bindings import crypto_aead_aegis256_decrypt
from nacl.public import PrivateKey, SealedBox
from nacl.signing import VerifyKey

from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import RosterView, opened_eras
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.roster_rules import verified

ERAS: dict[str, Any] = json.loads((REPOSITORY / "docs" / "vectors" / "eras.json").read_text())
RENAME: dict[str, Any] = json.loads((REPOSITORY / "docs" / "vectors" / "rename.json").read_text())
ITEMS = [bytes.fromhex(item) for item in ERAS["items"]]


def test_a_roster_with_eras_reads_as_published() -> None:
    roster = verified(ITEMS, bytes.fromhex(ERAS["genesis"]))
    assert not roster.voids
    assert (roster.epoch, roster.format) == (ERAS["epoch"], 2)
    assert [era.seq for era in roster.eras] == ERAS["era_entries"]
    assert [public.hex() for public in roster.members] == ERAS["members"]
    assert sorted(roster.devices) == ERAS["devices"]
    assert sorted(roster.former) == ERAS["former_devices"]
    for project, epochs in ERAS["epochs"].items():
        assert list(roster.epochs(ProjectId(project))) == epochs
    for project, devices in ERAS["may_write"].items():
        for device, epochs in devices.items():
            counted = [
                epoch
                for epoch in range(1, roster.epoch + 1)
                if roster.writer_in(ProjectId(project), DeviceId(device), epoch) is not None
            ]
            assert counted == epochs
    for name, fields in ERAS["keys"].items():
        keys = MemberKeys(*(bytes.fromhex(fields[part]) for part in ("sign_seed", "box_secret")))
        eras = opened_eras(roster, keys)
        assert {str(epoch): key.hex() for epoch, key in eras.items()} == ERAS["era_keys"][name]
    view = RosterView(roster, _membership("ada"))
    assert {one.name: one.id for one in view.projects()} == ERAS["projects"]


def test_a_workstation_has_its_new_name_as_published() -> None:
    view = RosterView.read([*ITEMS, bytes.fromhex(RENAME["entry"])], _membership("ada"))
    assert not view.roster.voids
    (label,) = [one.label for one in view.people() if one.public.hex() == RENAME["member"]]
    assert [label.member, label.device] == RENAME["label"]


def _membership(name: str) -> Membership:
    fields = ERAS["keys"][name]
    keys = MemberKeys(*(bytes.fromhex(fields[part]) for part in ("sign_seed", "box_secret")))
    studio, genesis, name_key = (
        bytes.fromhex(ERAS[part]) for part in ("studio", "genesis", "name_key")
    )
    return Membership(studio, genesis, name_key, keys, Label(name, ""))


# -- by the page alone -----------------------------------------------------------------------------


def page_secret(box_secret: bytes, sealed: bytes) -> dict[str, Any] | None:
    try:
        framed = SealedBox(PrivateKey(box_secret)).decrypt(sealed)
    except Exception:  # noqa: BLE001  # sealed to somebody else
        return None
    size = int.from_bytes(framed[:4], "big")
    return msgspec.msgpack.decode(framed[4 : 4 + size])  # type: ignore[no-any-return]


def page_keys(name: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return the era keys and project keys that *name* can open, by epoch."""
    secret = bytes.fromhex(ERAS["keys"][name]["box_secret"])
    era, befores, opened, projects = 1, dict[int, bytes](), dict[int, bytes](), dict[str, Any]()
    firsts: dict[str, int] = {}

    def take(sealed: dict[str, bytes]) -> None:
        for project, one in sealed.items():
            found = page_secret(secret, one)
            if found is not None and project == "f" * 32 and found["epoch"] == era:
                opened[era] = found["key"]
            elif found is not None and found["epoch"] == firsts.get(project):
                projects[project] = found

    for raw in ITEMS:
        entry = msgspec.msgpack.decode(raw)
        body = msgspec.msgpack.decode(entry["body"])
        assert entry["format"] == (2 if body["type"] in {"revoke", "role", "leave"} else 1)
        message = b"".join(
            [
                b"lucidnode 2026 roster entry signature\0",
                entry["format"].to_bytes(8, "big"),
                entry["seq"].to_bytes(8, "big"),
                entry["previous"],
                entry["author"],
                blake3(entry["body"]).digest(),
            ]
        )
        VerifyKey(entry["author"]).verify(message, entry["signature"])
        if body["type"] in {"revoke", "role"}:
            era += 1
            befores[era] = body["era"]["before"]
            for sealed in body["era"]["seals"].values():
                take({"f" * 32: sealed})
        elif body["type"] == "project":
            firsts[body["project"]] = era
            for sealed in body["seals"].values():
                take({body["project"]: sealed})
        else:
            take(body.get("projects", {}))
    for epoch in range(era, 2, -1):
        if epoch in opened:
            context = "lucidnode 2026 format 2 era before"
            key = blake3(opened[epoch], derive_key_context=context).digest()
            opened[epoch - 1] = crypto_aead_aegis256_decrypt(
                befores[epoch], epoch.to_bytes(4, "big"), bytes(32), key
            )
    keys = {}
    for project, found in projects.items():
        epoch, key = found["epoch"], found["key"]
        keys[project] = {str(epoch): key.hex()}
        while (epoch := epoch + 1) in opened:
            material = opened[epoch] + key + bytes.fromhex(project) + epoch.to_bytes(4, "big")
            key = blake3(material, derive_key_context="lucidnode 2026 format 2 era").digest()
            keys[project][str(epoch)] = key.hex()
    return {str(epoch): key.hex() for epoch, key in opened.items()}, keys


def test_the_page_alone_is_enough_to_find_the_keys_of_all_epochs() -> None:
    for name in ERAS["keys"]:
        eras, projects = page_keys(name)
        assert eras == ERAS["era_keys"][name]
        assert projects == ERAS["project_keys"][name]


def test_the_page_alone_is_enough_to_read_a_new_name() -> None:
    entry = msgspec.msgpack.decode(bytes.fromhex(RENAME["entry"]))
    body = msgspec.msgpack.decode(entry["body"])
    assert (entry["format"], list(body)) == (1, ["type", "member", "label"])
    nonce, sealed = body["label"][:32], body["label"][32:]
    name_key = bytes.fromhex(ERAS["name_key"])
    framed = crypto_aead_aegis256_decrypt(sealed, body["member"], nonce, name_key)
    label = msgspec.msgpack.decode(framed[4 : 4 + int.from_bytes(framed[:4], "big")])
    assert list(label.values()) == RENAME["label"]
