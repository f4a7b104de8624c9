"""docs/vectors/instances.json, read with the program's code, and once more from docs/format.md alone."""

from __future__ import annotations

import json

import msgspec
from lab.places import REPOSITORY
from nacl.signing import VerifyKey

from lucidnode.node.client.ids import DeviceId
from lucidnode.node.peers.instance_record import (
    InstanceRecord,
    SeenInstance,
    instance_in,
    record_in,
)

GOLDEN = json.loads((REPOSITORY / "docs" / "vectors" / "instances.json").read_text())
KEY, BODY, PUBLIC = GOLDEN["key"], bytes.fromhex(GOLDEN["object"]), bytes.fromhex(GOLDEN["public"])
SEEN = [(bytes.fromhex(instance), turn) for instance, turn in GOLDEN["seen"]]


def test_a_record_reads_as_published() -> None:
    said = InstanceRecord(GOLDEN["turn"], [SeenInstance(*each) for each in SEEN])
    assert record_in(BODY, KEY, PUBLIC) == said
    assert instance_in(KEY, DeviceId(GOLDEN["device"])) == bytes.fromhex(KEY.rpartition("/")[2])


def test_the_page_alone_is_enough_to_read_one() -> None:
    assert BODY[:1] == b"\x01"
    signature, text = BODY[1:65], BODY[65:]
    message = b"lucidnode 2026 instance signature\0" + KEY.encode() + b"\0" + text
    VerifyKey(PUBLIC).verify(message, signature)
    turn, seen = msgspec.msgpack.decode(text)
    assert (turn, [tuple(each) for each in seen]) == (GOLDEN["turn"], SEEN)
