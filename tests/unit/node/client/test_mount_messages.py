"""A mount and its daemon understand each other where one of them is of a later release."""

from __future__ import annotations

import msgspec
import pytest

from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import Alert
from lucidnode.node.client.mount_messages import FileOnItsWay, FromDaemon, FromMount

ALERT = Alert("disk", "It is full.", "Make room.", 5, 1)
FILE = FileOnItsWay("reel.mov", "uploading", "", 7)


def _later(message: object) -> object:
    """Return *message* as a release has it that adds a field to each struct."""
    match msgspec.to_builtins(message):
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
    ],
)
def test_a_field_of_a_later_release_is_passed_over(kind: object, message: object) -> None:
    came = msgspec.msgpack.encode(_later(message))
    assert msgspec.msgpack.Decoder(kind).decode(came) == message
