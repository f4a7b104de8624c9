"""Secrets that this daemon makes for itself and others of its user may be given."""

from __future__ import annotations

import secrets
from pathlib import Path

from lucidnode.node.client.durable import write_durably

CHARACTERS = 64
"""Hexadecimal digits of a secret: 32 random bytes."""


def kept_secret(path: Path) -> str:
    """Return the secret in the file *path*, made on the first call. Blocking.

    It stays the same, so that whoever is given it keeps it. A damaged file is made anew; only its
    owner can read it. Raises DiskFull, OSError.
    """
    try:
        secret = path.read_text("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        secret = ""
    if len(secret) < CHARACTERS:
        secret = secrets.token_hex(CHARACTERS // 2)
        write_durably(path, secret.encode())
    return secret
