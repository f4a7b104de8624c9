"""What a daemon that works with a device's key leaves in the bucket for any other that does. Pure.

An object (docs/format.md, "Instances of a device"): a version, a signature by the device's key, and
MessagePack of `InstanceRecord`. The key of the object, which names the instance, belongs to what is signed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

import msgspec

from lucidnode.node.bucket.keys import RENDEZVOUS
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.public_keys import verify

INSTANCE_BYTES = 16
"""8 of the time at which the daemon began, in nanoseconds since 1970, and 8 random ones: they sort by time."""

MAX_SEEN = 8

MAX_BYTES = 512

_VERSION = b"\x01"
_SIGNATURE_BYTES = 64
_SIGNING_DOMAIN = b"lucidnode 2026 instance signature\0"
_NAME = re.compile(r"[0-9a-f]{32}")


class SeenInstance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Another instance, and the newest turn of its record that was read."""

    instance: Annotated[bytes, msgspec.Meta(min_length=INSTANCE_BYTES, max_length=INSTANCE_BYTES)]
    turn: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class InstanceRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """What an instance says in its *turn*: which others it has read of, since it began."""

    turn: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    seen: Annotated[list[SeenInstance], msgspec.Meta(max_length=MAX_SEEN)]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(InstanceRecord)


def folder_of(device: DeviceId) -> str:
    """Return the folder in which the instances of *device* leave their records, beside where it can be reached."""
    return f"{RENDEZVOUS}/{device}"


def key_of(device: DeviceId, instance: bytes) -> str:
    """Return where the record of *instance* is kept."""
    return f"{folder_of(device)}/{instance.hex()}"


def instance_in(key: str, device: DeviceId) -> bytes | None:
    """Return which instance of *device* the object *key* is of, None if it is another object."""
    name = key.removeprefix(f"{folder_of(device)}/")
    return bytes.fromhex(name) if _NAME.fullmatch(name) else None


def signed_record(said: InstanceRecord, key: str, sign: Callable[[bytes], bytes]) -> bytes:
    """Return the object *key* that says *said*."""
    text = _ENCODER.encode(said)
    return _VERSION + sign(_SIGNING_DOMAIN + key.encode() + b"\0" + text) + text


def record_in(body: bytes, key: str, device_key: bytes) -> InstanceRecord | None:
    """Return what the object *key* says, None if nobody with the key of the device has said it."""
    signature, text = body[1 : 1 + _SIGNATURE_BYTES], body[1 + _SIGNATURE_BYTES :]
    if len(body) > MAX_BYTES or body[:1] != _VERSION or len(signature) != _SIGNATURE_BYTES:
        return None
    if not verify(device_key, _SIGNING_DOMAIN + key.encode() + b"\0" + text, signature):
        return None
    try:
        said = _DECODER.decode(text)
    except msgspec.MsgspecError:
        return None
    return said if _ENCODER.encode(said) == text else None
