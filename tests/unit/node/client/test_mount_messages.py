"""A mount and its daemon understand each other where one of them is of a later release."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from lucidnode.node.client import mount_messages, wire
from lucidnode.node.client.alerts import Alert
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.mount_messages import FileOnItsWay, FromDaemon, FromMount
from lucidnode.node.client.msgpack import known
from lucidnode.node.client.webhooks import ProjectWebhook, ProjectWebhooks

ALERT = Alert("disk", "It is full.", "Make room.", 5, 1)
FILE = FileOnItsWay("reel.mov", "uploading", "", 7)


def _later(message: object) -> object:
    """Return *message* as a release has it that adds a field to each struct."""
    match msgspec.to_builtins(message, builtin_types=(bytes,)):
        case {} if message == {}:  # no struct
            return {}
        case dict() as fields:
            return {name: _later(value) for name, value in fields.items()} | {"new": 1}
        case list() as items:
            return [_later(item) for item in items]
        case other:
            return other


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (FromMount, mount_messages.MountHello("/m", 1, 0, told=mount_messages.MountStats())),
        (FromMount, mount_messages.StatusReply(1, {}, [ALERT], [FILE])),
        (FromDaemon, mount_messages.Look(5)),
        (
            FromMount,
            ProjectWebhooks([ProjectWebhook("01234567", "http://r", "", False, "", "", 0, 0)]),
        ),
        (wire.CommitReply, wire.CommitReply("lost", b"entry")),
        (wire.Slot, wire.Slot(b"hash", None, signed_here=True)),
        (wire.RankedBlocks, wire.RankedBlocks([b"id"], [3])),
    ],
)
def test_a_field_of_a_later_release_is_passed_over(kind: object, message: object) -> None:
    came = msgspec.msgpack.encode(_later(message))
    assert msgspec.msgpack.Decoder(kind).decode(came) == message


def test_a_kind_of_message_of_a_later_release_is_passed_over() -> None:
    decoder: msgspec.msgpack.Decoder[FromDaemon] = msgspec.msgpack.Decoder(FromDaemon)
    kinds = mount_messages.FROM_DAEMON_KINDS
    later = msgspec.msgpack.encode({"type": "melt", "seq": "high"})
    assert known(decoder, later, kinds) is None
    assert known(decoder, msgspec.msgpack.encode(mount_messages.Look(5)), kinds) is not None
    for raw in (b"", b"\x80", msgspec.msgpack.encode({"type": "look", "seq": "high"})):
        with pytest.raises(Malformed):
            known(decoder, raw, kinds)
    assert len(kinds) == len(get_args(FromDaemon))
    assert len(mount_messages.FROM_MOUNT_KINDS) == len(get_args(FromMount))
