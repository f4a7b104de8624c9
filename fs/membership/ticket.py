"""Tickets that work unattended: all that a new workstation needs, and a code told apart.

The seal's check shows a damaged ticket before anybody types the code. The code is 80 random bits
in Crockford's base32: no I, L, O or U, and whoever reads a 0 as an O is understood.
"""

from __future__ import annotations

import msgspec

from lucidnode.fs.errors import SealDamaged, TicketSpent, WrongPassphrase
from lucidnode.fs.format.sodium import PassphraseCost, random_bytes
from lucidnode.fs.membership import passphrase_seal as seals
from lucidnode.fs.membership import ticket_text
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.public_keys import KEY_SIZE
from lucidnode.node.client.roster_entry import HASH_SIZE, STUDIO_SIZE

_MAGIC = b"LNT1"
MAX_COST = PassphraseCost(passes=4, kibibytes=256 * 1024)
"""What a ticket may ask of the machine that opens it: it is somebody else's, and comes by mail."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOK_ALIKES = str.maketrans("OIL", "011", " -\t\r\n")
_GROUPS = 4
_GROUP = 4


class Ticket(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What `join` needs. *credentials* are the bucket's, as the node keeps them."""

    bucket: str
    endpoint: str | None
    region: str | None
    credentials: dict[str, str]
    studio: bytes
    genesis: bytes
    lan_key: bytes
    name_key: bytes
    invite: MemberKeys
    expires_ns: int
    suggested_name: str
    slots: dict[int, str] = {}
    """Presigned URLs of the next entries of the roster, for who has no right to create one."""

    def encode(self) -> bytes:
        """Return what is sealed."""
        return msgspec.msgpack.encode(self)

    def __repr__(self) -> str:
        return f"Ticket(bucket={self.bucket!r}, studio={self.studio.hex()!r})"


_TICKET = msgspec.msgpack.Decoder(Ticket)


def new_code(groups: int = _GROUPS) -> str:
    """Return a fresh code, such as 7Q2K-M0XD-9FTA-R4WE: 20 random bits in each of an even number of groups."""
    bits = int.from_bytes(random_bytes(groups * _GROUP * 5 // 8), "big")
    letters = [_ALPHABET[bits >> shift & 31] for shift in range(0, groups * _GROUP * 5, 5)]
    return "-".join("".join(letters[at : at + _GROUP]) for at in range(0, len(letters), _GROUP))


def plain_code(code: str) -> str:
    """Return the letters of *code* as they were made, however somebody typed them."""
    return code.upper().translate(_LOOK_ALIKES)


def seal_ticket(ticket: Ticket, code: str, cost: PassphraseCost = seals.FOR_CODES) -> str:
    """Return *ticket* as text sealed under *code*. Slow by design; call it from a thread."""
    sealed = seals.seal(_MAGIC, plain_code(code), ticket.encode(), cost)
    return ticket_text.written(sealed)


def check_ticket(text: str) -> None:
    """Raise SealDamaged unless *text* is an undamaged ticket. Needs no code and is fast."""
    seals.inspect(_MAGIC, ticket_text.read(text), MAX_COST)


def open_ticket(text: str, code: str, wall_ns: int) -> Ticket:
    """Return the ticket in *text*. Slow by design; call it from a thread.

    Raises SealDamaged, WrongPassphrase if the code is not this ticket's, TicketSpent if it is
    past its time at *wall_ns*.
    """
    try:
        contents = seals.unseal(_MAGIC, plain_code(code), ticket_text.read(text), MAX_COST)
    except WrongPassphrase:
        raise WrongPassphrase("that is not the code of this ticket") from None
    ticket = parsed_ticket(contents)
    if wall_ns > ticket.expires_ns:
        raise TicketSpent("this ticket is past its time: ask for a new one")
    return ticket


def parsed_ticket(contents: bytes) -> Ticket:
    """Return the ticket that *contents* of a seal are. Raises SealDamaged."""
    try:
        ticket = decoded(_TICKET, contents)
    except Malformed as error:
        raise SealDamaged("made by another version of Lucidnode") from error
    sizes = [len(part) for part in (ticket.studio, ticket.genesis, ticket.lan_key, ticket.name_key)]
    if sizes != [STUDIO_SIZE, HASH_SIZE, KEY_SIZE, KEY_SIZE]:
        raise SealDamaged("made by another program than Lucidnode")
    return ticket
