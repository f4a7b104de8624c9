"""Recovery codes: what brings an owner back who has lost every workstation. Format 1 (docs/format.md).

A code opens an owner's invite that is open for good. What it opens lies in the bucket under a name
made of the code, so a sheet of paper and the bucket are enough.
"""

from __future__ import annotations

from blake3 import blake3

from lucidnode.fs.errors import SealDamaged, WrongPassphrase
from lucidnode.fs.format.sodium import PassphraseCost
from lucidnode.fs.membership import passphrase_seal as seals
from lucidnode.fs.membership.ticket import MAX_COST, Ticket, new_code, parsed_ticket, plain_code

_MAGIC = b"LNK1"
_CONTEXT = "lucidnode 2026 format 1 recovery"
_NAME_BYTES = 16

SHOWN_AS = "(recovery code)"
"""Whom the invite of a code is for, in the list of open invites."""

GROUPS = 8
"""Of four characters each, 160 bits: what it opens lies in the bucket for years."""

MAX_RECOVERY_BYTES = 16 * 1024
"""No object that a recovery code opens has more."""


def new_recovery_code() -> str:
    """Return a fresh code."""
    return new_code(GROUPS)


def is_whole(code: str) -> bool:
    """Return whether *code* has as many characters as one has."""
    return len(plain_code(code)) == GROUPS * 4


def object_name(code: str) -> str:
    """Return the name of what *code* opens, 32 hex digits. It tells nothing of the code."""
    letters = plain_code(code).encode()
    return blake3(letters, derive_key_context=_CONTEXT).digest(length=_NAME_BYTES).hex()


def seal_recovery(ticket: Ticket, code: str, cost: PassphraseCost = seals.FOR_CODES) -> bytes:
    """Return *ticket* sealed under *code*. Slow by design; call it from a thread."""
    return seals.seal(_MAGIC, plain_code(code), ticket.encode(), cost)


def open_recovery(sealed: bytes, code: str) -> Ticket:
    """Return the ticket in *sealed*. Slow by design; call it from a thread. Raises SealDamaged."""
    try:
        return parsed_ticket(seals.unseal(_MAGIC, plain_code(code), sealed, MAX_COST))
    except WrongPassphrase:
        # Under the name that the code gives there is nothing that the code does not open.
        raise SealDamaged("made for another code") from None
