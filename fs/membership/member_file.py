"""member.json: what makes a person a member, sealed under a passphrase.

The file is JSON, {"format": 1, "sealed": base64}, so that people recognise it and backups carry
it; the contents are a passphrase seal (lucidnode.fs.membership.passphrase_seal) of a Membership.
"""

from __future__ import annotations

import base64

import msgspec

from lucidnode.fs.errors import NewerFormat, SealDamaged
from lucidnode.fs.format.sodium import KEY_SIZE, PassphraseCost
from lucidnode.fs.membership import passphrase_seal as seals
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.json_text import json_in
from lucidnode.node.client.msgpack import decoded

_MAGIC = b"LNM1"


class Membership(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One person's place in one studio. *genesis* pins the roster's first entry by its hash."""

    studio: bytes
    genesis: bytes
    name_key: bytes
    keys: MemberKeys
    label: Label

    def __repr__(self) -> str:
        return f"Membership(studio={self.studio.hex()!r}, label={self.label!r})"


_MEMBERSHIP = msgspec.msgpack.Decoder(Membership)


class _File(msgspec.Struct, frozen=True):
    format: int
    sealed: str = ""


def seal_membership(
    membership: Membership, passphrase: str, cost: PassphraseCost = seals.FOR_PEOPLE
) -> bytes:
    """Return the bytes of member.json. Slow by design; call it from a thread."""
    sealed = seals.seal(_MAGIC, passphrase, msgspec.msgpack.encode(membership), cost)
    return msgspec.json.encode(_File(1, base64.b64encode(sealed).decode())) + b"\n"


def open_membership(raw: bytes, passphrase: str) -> Membership:
    """Return what member.json holds. Slow by design; call it from a thread.

    Raises WrongPassphrase, SealDamaged, and as `sealed_in` does.
    """
    contents = seals.unseal(_MAGIC, passphrase, sealed_in(raw))
    try:
        membership = decoded(_MEMBERSHIP, contents)
    except Malformed as error:
        raise SealDamaged("member.json holds no membership") from error
    if len(membership.genesis) != KEY_SIZE or len(membership.name_key) != KEY_SIZE:
        raise SealDamaged("member.json holds no membership")
    return membership


def sealed_in(raw: bytes) -> bytes:
    """Return the seal in the bytes of member.json, unopened.

    Raises SealDamaged if the file was changed, NewerFormat if a later version wrote it.
    """
    try:
        file = json_in(raw, _File)
        if file.format > 1:
            raise NewerFormat("member.json was written by a later version: update Lucidnode")
        return base64.b64decode(file.sealed, validate=True)
    except (Malformed, ValueError) as error:
        raise SealDamaged("member.json is damaged: restore it from a copy") from error
