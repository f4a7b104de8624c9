"""A copy of a workstation's keys, for a safe: one file, sealed under a passphrase (docs/format.md)."""

from __future__ import annotations

import base64

import msgspec

from lucidnode.fs.errors import NewerFormat, SealDamaged
from lucidnode.fs.format.sodium import PassphraseCost
from lucidnode.fs.membership import passphrase_seal as seals
from lucidnode.fs.membership.member_file import Membership
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.json_text import json_in
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.public_keys import KEY_SIZE
from lucidnode.node.client.roster_entry import HASH_SIZE, STUDIO_SIZE

_MAGIC = b"LNX1"

MAX_COPY_BYTES = 1024 * 1024
"""A copy has a few kilobytes, and as many as the authorities that its store's TLS needs."""


class KeyCopy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that makes a home this workstation again. *device* is its `device.pem`."""

    membership: Membership
    device: bytes
    bucket: str
    endpoint: str | None
    region: str | None
    authorities: str | None
    credentials: dict[str, str]
    lan_key: bytes

    def __repr__(self) -> str:
        return f"KeyCopy({self.membership!r})"


class _File(msgspec.Struct, frozen=True):
    format: int
    keys: str = ""


_COPY = msgspec.msgpack.Decoder(KeyCopy)


def seal_copy(copy: KeyCopy, passphrase: str, cost: PassphraseCost = seals.FOR_PEOPLE) -> bytes:
    """Return the bytes of the file. Slow by design; call it from a thread."""
    sealed = seals.seal(_MAGIC, passphrase, msgspec.msgpack.encode(copy), cost)
    return msgspec.json.encode(_File(1, base64.b64encode(sealed).decode())) + b"\n"


def open_copy(raw: bytes, passphrase: str) -> KeyCopy:
    """Return what the file holds. Slow by design; call it from a thread.

    Raises WrongPassphrase, and as `check_copy` does.
    """
    contents = seals.unseal(_MAGIC, passphrase, _sealed_in(raw))
    try:
        copy = decoded(_COPY, contents)
    except Malformed as error:
        raise SealDamaged("it holds no keys of a workstation") from error
    mine = copy.membership
    sizes = [len(part) for part in (mine.studio, mine.genesis, mine.name_key, copy.lan_key)]
    if sizes != [STUDIO_SIZE, HASH_SIZE, KEY_SIZE, KEY_SIZE]:
        raise SealDamaged("it holds no keys of a workstation")
    return copy


def check_copy(raw: bytes) -> None:
    """Check all that needs no passphrase.

    Raises SealDamaged if the file was changed, NewerFormat if a later version wrote it.
    """
    seals.inspect(_MAGIC, _sealed_in(raw), seals.MAX_COST)


def _sealed_in(raw: bytes) -> bytes:
    if len(raw) > MAX_COPY_BYTES:
        raise SealDamaged("too large to be one")
    try:
        file = json_in(raw, _File)
        if file.format > 1:
            raise NewerFormat("the keys were exported by a later version: update Lucidnode")
        return base64.b64decode(file.keys, validate=True)
    except (Malformed, ValueError) as error:
        raise SealDamaged("not a file of exported keys") from error
