"""How a ticket is written: one word that survives mail, chat and line breaks.

    lucid1 || base32 (lower case, no padding) of a passphrase seal

White space, quotation marks and case mean nothing: programs that carry text wrap, quote and
capitalise it.
"""

from __future__ import annotations

import base64
from unicodedata import category

from lucidnode.fs.errors import SealDamaged

_PREFIX = "lucid1"

_QUOTES = "\"'`<>"
_AROUND = {"Pi", "Pf", "Ps", "Cf"}
"""Categories of Unicode: quotation marks, and what is put unseen into long words."""

_LONGEST_TEXT = 65_536
"""Characters; no ticket has a tenth of it."""


def written(sealed: bytes) -> str:
    """Return *sealed* as text."""
    return _PREFIX + base64.b32encode(sealed).decode().rstrip("=").lower()


def read(text: str) -> bytes:
    """Return what `written` wrote, whatever carried it. Raises SealDamaged."""
    if len(text) > _LONGEST_TEXT:
        raise SealDamaged("it is too long to be one")
    kept = (one for one in text if one not in _QUOTES and category(one) not in _AROUND)
    joined = "".join("".join(kept).split()).lower()
    if not joined.startswith(_PREFIX):
        raise SealDamaged(f"a ticket starts with {_PREFIX}")
    letters = joined[len(_PREFIX) :].upper()
    try:
        sealed = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except ValueError as error:
        raise SealDamaged("the ticket has characters missing or changed") from error
    if written(sealed) != joined:
        raise SealDamaged("the ticket has characters that do not belong to it")
    return sealed
