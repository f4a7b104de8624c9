"""docs/vectors/projects.json, read with the program's code, and once more from docs/format.md alone."""

from __future__ import annotations

import hmac
import json
from typing import Any

import msgspec
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lab.places import REPOSITORY
from nacl.bindings import crypto_aead_aegis256_decrypt
from nacl.signing import VerifyKey

from lucidnode.fs.membership.member import Label, MemberKeys, open_project_name
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.roster_rules import verified
from lucidnode.node.studio_settings import opened

VECTORS: dict[str, Any] = json.loads(
    (REPOSITORY / "docs" / "vectors" / "projects.json").read_text()
)
ITEMS = [bytes.fromhex(item) for item in VECTORS["items"]]
GENESIS, NAME_KEY, STUDIO, LAN_KEY = (
    bytes.fromhex(VECTORS[name]) for name in ("genesis", "name_key", "studio", "lan_key")
)


def test_what_an_owner_made_of_projects_reads_as_published() -> None:
    roster = verified(ITEMS, GENESIS)
    assert not roster.voids
    assert roster.format == 3
    fields = VECTORS["keys"]["ada"]
    keys = MemberKeys(*(bytes.fromhex(fields[part]) for part in ("sign_seed", "box_secret")))
    view = RosterView(roster, Membership(STUDIO, GENESIS, NAME_KEY, keys, Label("Ada", "")))
    known = {one.id: one for one in view.projects_and_deleted()}
    assert {one.name: one.id for one in view.projects()} == VECTORS["shown"]
    for project, published in VECTORS["projects"].items():
        record = roster.projects[ProjectId(project)]
        assert {
            str(name.seq): open_project_name(known[record.id].keys, name.epoch, name.sealed)
            for name in record.names
        } == published["names"]
        assert [
            [change.seq, change.state, change.changed_ns, change.until_ns]
            for change in record.states
        ] == published["states"]
        for device, epochs in VECTORS["may_write"][project].items():
            counted = [
                epoch
                for epoch in range(1, roster.epoch + 1)
                if roster.writer_in(record.id, DeviceId(device), epoch) is not None
            ]
            assert counted == epochs
    assert opened(roster.settings, STUDIO, LAN_KEY) == VECTORS["settings"]


def test_the_page_alone_is_enough_to_read_names_states_and_settings() -> None:
    names: dict[str, dict[str, str]] = {project: {} for project in VECTORS["projects"]}
    states: dict[str, list[list[Any]]] = {project: [] for project in VECTORS["projects"]}
    settings: dict[str, str] = {}
    for raw in ITEMS:
        entry = msgspec.msgpack.decode(raw)
        body = msgspec.msgpack.decode(entry["body"])
        assert entry["format"] == (
            3 if body["type"] in {"rename_project", "state", "settings"} else 1
        )
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
        if body["type"] == "rename_project":
            project, epoch, sealed = body["project"], body["epoch"], body["name"]
            key = blake3(
                bytes.fromhex(VECTORS["project_keys"][project][str(epoch)])
                + bytes.fromhex(project),
                derive_key_context="lucidnode 2026 format 3 project name",
            ).digest()
            place = bytes.fromhex(project) + epoch.to_bytes(4, "big")
            framed = crypto_aead_aegis256_decrypt(sealed[32:], place, sealed[:32], key)
            size = int.from_bytes(framed[:4], "big")
            names[project][str(entry["seq"])] = framed[4 : 4 + size].decode()
        elif body["type"] == "state":
            states[body["project"]].append(
                [entry["seq"], body["state"], body["changed_ns"], body["until_ns"]]
            )
        elif body["type"] == "settings":
            key = hmac.digest(LAN_KEY, b"studio settings", "sha256")
            nonce, sealed = body["sealed"][:12], body["sealed"][12:]
            settings = msgspec.msgpack.decode(AESGCM(key).decrypt(nonce, sealed, STUDIO))
    assert {project: one["names"] for project, one in VECTORS["projects"].items()} == names
    assert {project: one["states"] for project, one in VECTORS["projects"].items()} == states
    assert settings == VECTORS["settings"]
