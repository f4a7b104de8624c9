"""docs/vectors/inviting.json: what an editor who may invite brings about, read as published."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from blake3 import blake3
from lab.places import REPOSITORY
from nacl.signing import VerifyKey

from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.roster_rules import verified

INVITING: dict[str, Any] = json.loads(
    (REPOSITORY / "docs" / "vectors" / "inviting.json").read_text()
)
ITEMS = [bytes.fromhex(item) for item in INVITING["items"]]


def test_a_roster_with_an_editor_who_may_invite_reads_as_published() -> None:
    roster = verified(ITEMS, bytes.fromhex(INVITING["genesis"]))
    assert (roster.format, [void.seq for void in roster.voids]) == (4, INVITING["void"])
    assert bytes.fromhex(INVITING["closed_invite"]) not in roster.invites
    assert {
        device: {
            project: roster.devices[DeviceId(device)].role_in(ProjectId(project))
            for project in roles
        }
        for device, roles in INVITING["roles"].items()
    } == INVITING["roles"]
    told = INVITING["inviting"]
    for head, may in ((told["on"] - 1, False), (told["on"], True), (told["off"], False)):
        then = verified(ITEMS[:head], bytes.fromhex(INVITING["genesis"]))
        assert then.members[bytes.fromhex(told["member"])].may_invite is may


def test_the_page_alone_is_enough_to_read_the_entries() -> None:
    told = INVITING["inviting"]
    for seq, may in ((told["on"], True), (told["off"], False)):
        entry = msgspec.msgpack.decode(ITEMS[seq - 1])
        assert (entry["format"], entry["seq"]) == (4, seq)
        assert entry["previous"] == blake3(ITEMS[seq - 2]).digest()
        member = bytes.fromhex(told["member"])
        assert msgspec.msgpack.decode(entry["body"]) == {
            "type": "inviting",
            "member": member,
            "may": may,
        }
        said = b"".join(
            (
                b"lucidnode 2026 roster entry signature\0",
                (4).to_bytes(8, "big"),
                seq.to_bytes(8, "big"),
                *(entry["previous"], entry["author"], blake3(entry["body"]).digest()),
            )
        )
        VerifyKey(entry["author"]).verify(said, entry["signature"])
