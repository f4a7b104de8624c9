"""Credentials of the bucket for all workstations of a role, as an owner leaves them in it. Pure.

The object `credentials/<role>/<number>` is created once (docs/format.md, "Credentials of a role").
Its contents are sealed under a key that is sealed to each workstation of the role, and of everybody
who may invite somebody as that, who hands them to newcomers. An owner has signed all of it, with studio, role and number: so
none can be put in the place of another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lucidnode.node.client.device_seal import SEALED_SIZE, SECRET_SIZE, seal_to_device
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.public_keys import KEY_SIZE, SIGNATURE_SIZE, verify
from lucidnode.node.client.roster import Device, Roster
from lucidnode.node.client.roster_entry import Role

MAX_SET_BYTES = 512 * 1024
"""Bytes of an object for 1,800 workstations, and more."""

FORMAT = 1
MAX_NUMBER = 10**16 - 1

_NUMBER = re.compile(r"[0-9]{16}")
_SIGNING_DOMAIN = b"lucidnode 2026 credentials of a role signature\0"
_SEAL_DOMAIN = b"lucidnode 2026 credentials of a role seal\0"
_NONCE_BYTES = 12
_ID_BYTES = 16


class SetName(NamedTuple):
    """Which set it is: the role, and the number that orders those of the role."""

    role: Role
    number: int

    def __str__(self) -> str:
        return f"{self.role}/{self.number:016d}"

    @classmethod
    def parse(cls, text: str) -> SetName | None:
        """Return the name that *text* is, None if it is none."""
        role, _, number = text.partition("/")
        if role not in {"owner", "editor", "viewer"} or _NUMBER.fullmatch(number) is None:
            return None
        return cls(role, int(number))  # type: ignore[arg-type]


class OpenedSet(NamedTuple):
    """What a set says to one workstation: *contents* are None if it is sealed to others alone."""

    contents: bytes | None
    devices: frozenset[DeviceId]


class _RoleSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    author: bytes
    keys: dict[bytes, bytes]
    sealed: bytes
    signature: bytes


_ROLE_SET = msgspec.msgpack.Decoder(_RoleSet)


def holders(roster: Roster, role: Role) -> list[Device]:
    """Return the workstations to which a set of *role* is sealed: of the role, and of who lets it in.

    Those are all owners', and of editors who may invite, who have wider rights than viewers already.
    """
    return [
        device
        for device in roster.devices.values()
        if roster.widest_role(device.id) in {role, "owner"}
        or (role == "viewer" and roster.members[device.member].can_invite)
    ]


def seal_role_set(
    name: SetName,
    studio: bytes,
    devices: Iterable[Device],
    contents: bytes,
    author: bytes,
    sign: Callable[[bytes], bytes],
    random_bytes: Callable[[int], bytes],
) -> bytes:
    """Return *contents* sealed to *devices*, signed by the owner with the member key *author*."""
    context = _context(_SEAL_DOMAIN, name, studio, author)
    key, nonce = random_bytes(SECRET_SIZE), random_bytes(_NONCE_BYTES)
    unsigned = _RoleSet(
        FORMAT,
        author,
        {
            bytes.fromhex(device.id): seal_to_device(
                device.public, key, context, random_bytes(KEY_SIZE)
            )
            for device in devices
        },
        nonce + AESGCM(key).encrypt(nonce, contents, context),
        b"",
    )
    signature = sign(_signed(name, studio, unsigned))
    return msgspec.msgpack.encode(msgspec.structs.replace(unsigned, signature=signature))


def open_role_set(
    raw: bytes,
    name: SetName,
    roster: Roster,
    device: DeviceId,
    unseal: Callable[[bytes, bytes], bytes | None],
) -> OpenedSet:
    """Return what a set says to *device*, which `unseal` is of.

    Raises Malformed for what no owner of now has made under this name.
    """
    if len(raw) > MAX_SET_BYTES:
        raise Malformed("credentials of a role: too large")
    found = decoded(_ROLE_SET, raw)
    author = roster.members.get(found.author)
    if found.format != FORMAT or len(found.signature) != SIGNATURE_SIZE:
        raise Malformed("credentials of a role: format")
    if author is None or author.role != "owner" or author.has_left:
        raise Malformed("credentials of a role: by nobody who may give them")
    message = _signed(name, roster.studio, msgspec.structs.replace(found, signature=b""))
    if not verify(found.author, message, found.signature):
        raise Malformed("credentials of a role: signature")
    if any(len(one) != _ID_BYTES or len(key) != SEALED_SIZE for one, key in found.keys.items()):
        raise Malformed("credentials of a role: sizes")
    devices = frozenset(DeviceId(one.hex()) for one in found.keys)
    sealed_key = found.keys.get(bytes.fromhex(device))
    if sealed_key is None:
        return OpenedSet(None, devices)
    context = _context(_SEAL_DOMAIN, name, roster.studio, found.author)
    key = unseal(sealed_key, context)
    if key is None:
        raise Malformed("credentials of a role: sealed to another key")
    nonce, body = found.sealed[:_NONCE_BYTES], found.sealed[_NONCE_BYTES:]
    try:
        return OpenedSet(AESGCM(key).decrypt(nonce, body, context), devices)
    except (InvalidTag, ValueError) as error:
        raise Malformed("credentials of a role: seal") from error


def _signed(name: SetName, studio: bytes, unsigned: _RoleSet) -> bytes:
    digest = blake3(msgspec.msgpack.encode(unsigned)).digest()
    return _context(_SIGNING_DOMAIN, name, studio, unsigned.author) + digest


def _context(domain: bytes, name: SetName, studio: bytes, author: bytes) -> bytes:
    # The studio and the author have one size each, so no two contexts have the same bytes.
    return domain + studio + author + str(name).encode() + b"\0"
