"""A join token: a file with which a number of unattended machines join, each once, as one role.

It is one unattended ticket for several invites, so the log of members holds role, number and time:
what the file says of them is for people. Whoever has it is one of the machines; it is kept as a key is.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from lucidnode.fs.errors import SealDamaged, TicketSpent
from lucidnode.fs.format.sodium import random_bytes
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.membership.ticket import Ticket, parsed_ticket
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.json_text import json_in
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.roster_entry import Role

FORMAT = 1
MAX_MACHINES = 100
MAX_TOKEN_BYTES = 64 * 1024
"""Bytes of the file; one for 100 machines has some 20,000."""


@dataclass(frozen=True, slots=True)
class JoinToken:
    """*ticket* is for the first of *invites*."""

    ticket: Ticket
    invites: Sequence[MemberKeys]


class _Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ticket: bytes
    invites: list[MemberKeys]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    role: str
    machines: int
    expires_ns: int
    join_token: str


_CONTENTS = msgspec.msgpack.Decoder(_Contents)


def shuffled(invites: Sequence[MemberKeys]) -> list[MemberKeys]:
    """Return *invites* in an order of chance."""
    return sorted(invites, key=lambda _: random_bytes(8))


def written(token: JoinToken, role: Role) -> bytes:
    """Return *token* as a file."""
    contents = _Contents(token.ticket.encode(), list(token.invites))
    file = _File(
        FORMAT,
        role,
        len(token.invites),
        token.ticket.expires_ns,
        base64.b64encode(msgspec.msgpack.encode(contents)).decode(),
    )
    return msgspec.json.format(msgspec.json.encode(file)) + b"\n"


def read(raw: bytes, wall_ns: int) -> JoinToken:
    """Return the token in the file *raw*. Raises SealDamaged, TicketSpent if it is past its time at *wall_ns*."""
    if len(raw) > MAX_TOKEN_BYTES:
        raise SealDamaged("it is too long to be one")
    try:
        file = json_in(raw, _File)
        packed = base64.b64decode(file.join_token, validate=True)
        contents = decoded(_CONTENTS, packed)
    except (Malformed, binascii.Error, ValueError) as error:
        raise SealDamaged("it is none, or a part of one") from error
    if file.format != FORMAT:
        raise SealDamaged("made by another version of Lucidnode")
    ticket = parsed_ticket(contents.ticket)
    if not 1 <= len(contents.invites) <= MAX_MACHINES:
        raise SealDamaged("made by another program than Lucidnode")
    if wall_ns > ticket.expires_ns:
        raise TicketSpent("this join token is past its time: ask for a new one")
    return JoinToken(ticket, contents.invites)
