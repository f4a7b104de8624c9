"""Tickets that only ask: no key of a project or studio, no credential of the bucket.

Their holder may put one request into the bucket and look for the answer, for as long as the store
lets him (docs/format.md, "Asking to join"). A workstation of an owner decides.
"""

from __future__ import annotations

import msgspec

from lucidnode.fs.errors import SealDamaged, TicketSpent, WrongPassphrase
from lucidnode.fs.format.sodium import PassphraseCost
from lucidnode.fs.membership import passphrase_seal as seals
from lucidnode.fs.membership import ticket_text
from lucidnode.fs.membership.ticket import MAX_COST, plain_code
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.public_keys import KEY_SIZE
from lucidnode.node.client.roster_entry import HASH_SIZE, STUDIO_SIZE

MAGIC = b"LNT2"

IDENT_SIZE = 16
"""The first bytes of the invite's public key, by which its objects are found."""

_MAX_URL = 8192
"""Characters. A session token of Amazon's, which goes into a presigned URL, has up to 4,096."""


class AskingTicket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What asking needs. The URLs are presigned; empty, the bucket itself is asked, by name."""

    bucket: str
    studio: bytes
    genesis: bytes
    invitation: bytes
    ask_key: bytes
    request_url: str
    answer_url: str
    expires_ns: int
    host: str
    """Who invites, for people: "Ada (edit-1)"."""

    def __repr__(self) -> str:
        return f"AskingTicket(bucket={self.bucket!r}, studio={self.studio.hex()!r})"


_TICKET = msgspec.msgpack.Decoder(AskingTicket)


def only_asks(text: str) -> bool:
    """Tell whether *text* is a ticket of this kind. Raises SealDamaged if it is none at all."""
    return ticket_text.read(text).startswith(MAGIC)


def seal_asking(ticket: AskingTicket, code: str, cost: PassphraseCost = seals.FOR_CODES) -> str:
    """Return *ticket* as text sealed under *code*. Slow by design; call it from a thread."""
    contents = msgspec.msgpack.encode(ticket)
    return ticket_text.written(seals.seal(MAGIC, plain_code(code), contents, cost))


def check_asking(text: str) -> None:
    """Raise SealDamaged unless *text* is an undamaged ticket. Needs no code and is fast."""
    seals.inspect(MAGIC, ticket_text.read(text), MAX_COST)


def open_asking(text: str, code: str, wall_ns: int) -> AskingTicket:
    """Return the ticket in *text*. Slow by design; call it from a thread.

    Raises SealDamaged, WrongPassphrase if the code is not this ticket's, TicketSpent if it is
    past its time at *wall_ns*.
    """
    try:
        contents = seals.unseal(MAGIC, plain_code(code), ticket_text.read(text), MAX_COST)
    except WrongPassphrase:
        raise WrongPassphrase("that is not the code of this ticket") from None
    ticket = parsed_asking(contents)
    if wall_ns > ticket.expires_ns:
        raise TicketSpent("this ticket is past its time: ask for a new one")
    return ticket


def parsed_asking(contents: bytes) -> AskingTicket:
    """Return the ticket that *contents* of a seal are. Raises SealDamaged."""
    try:
        ticket = decoded(_TICKET, contents)
    except Malformed as error:
        raise SealDamaged("made by another version of Lucidnode") from error
    sizes = [
        len(part) for part in (ticket.studio, ticket.genesis, ticket.invitation, ticket.ask_key)
    ]
    urls = [ticket.request_url, ticket.answer_url]
    if (
        sizes != [STUDIO_SIZE, HASH_SIZE, IDENT_SIZE, KEY_SIZE]
        or any(len(url) > _MAX_URL for url in urls)
        or (urls[0] == "") != (urls[1] == "")
    ):
        raise SealDamaged("made by another program than Lucidnode")
    return ticket
