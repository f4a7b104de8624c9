"""Where a workstation can be reached, as it leaves that in the bucket for those of its studio. Pure.

An object of 1,068 bytes (docs/format.md, "Rendezvous"): a version, a nonce, and sealed under a key
made of the studio's LAN key: a signature by the device's own key, a length, and MessagePack of
`ReachableAt`, filled up with zeros. The key of the object belongs to what is sealed and what is
signed, so none can be put in the place of another.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lucidnode.node.client.public_keys import verify

MAX_HOSTS = 14

RECORD_BYTES = 1 + 12 + 64 + 2 + 973 + 16

_VERSION = b"\x01"
_NONCE_BYTES = 12
_SIGNATURE_BYTES = 64
_ROOM = 973
_SIGNING_DOMAIN = b"lucidnode 2026 rendezvous signature\0"

_CARRIER_GRADE = ipaddress.ip_network("100.64.0.0/10")


class ReachableAt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """IP addresses without a zone, and the control port there."""

    hosts: Annotated[
        list[Annotated[str, msgspec.Meta(max_length=45)]], msgspec.Meta(max_length=MAX_HOSTS)
    ]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]


_DECODER = msgspec.msgpack.Decoder(ReachableAt)


def is_private(host: str) -> bool:
    """Tell whether *host* is an address of a private network, which more than one link can share."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback or address.is_link_local or address.is_multicast:
        return False
    if address.is_unspecified or address.is_reserved:
        return False
    return address.is_private or (address.version == 4 and address in _CARRIER_GRADE)


def sealed(
    whereabouts: ReachableAt,
    key: str,
    lan_key: bytes,
    sign: Callable[[bytes], bytes],
    random_bytes: Callable[[int], bytes],
) -> bytes:
    """Return the object that says *whereabouts* under *key*, its name in the bucket."""
    said = msgspec.msgpack.encode(whereabouts)
    assert len(said) <= _ROOM
    text = len(said).to_bytes(2, "big") + said.ljust(_ROOM, b"\0")
    signature = sign(_SIGNING_DOMAIN + key.encode() + b"\0" + text)
    nonce = random_bytes(_NONCE_BYTES)
    return _VERSION + nonce + _cipher(lan_key).encrypt(nonce, signature + text, key.encode())


def opened(body: bytes, key: str, lan_key: bytes, device_key: bytes) -> ReachableAt | None:
    """Return what the object *key* says, None if the device with *device_key* has not said it.

    Addresses that are none, or not of a private network, are left out.
    """
    if len(body) != RECORD_BYTES or body[:1] != _VERSION:
        return None
    nonce, rest = body[1 : 1 + _NONCE_BYTES], body[1 + _NONCE_BYTES :]
    try:
        plain = _cipher(lan_key).decrypt(nonce, rest, key.encode())
    except InvalidTag:
        return None
    signature, text = plain[:_SIGNATURE_BYTES], plain[_SIGNATURE_BYTES:]
    if not verify(device_key, _SIGNING_DOMAIN + key.encode() + b"\0" + text, signature):
        return None
    length = int.from_bytes(text[:2], "big")
    try:
        said = _DECODER.decode(text[2 : 2 + length])
    except msgspec.MsgspecError:
        return None
    return ReachableAt([host for host in said.hosts if is_private(host)], said.port)


def _cipher(lan_key: bytes) -> AESGCM:
    return AESGCM(hmac.digest(lan_key, b"rendezvous", "sha256"))
