"""Secrets that this daemon makes for itself and others of its user may be given."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from lucidnode.node.client.durable import write_durably

CHARACTERS = 64
"""Hexadecimal digits of a secret: 32 random bytes."""


def kept_secret(
    path: Path,
    read: Callable[[Path], bytes] = Path.read_bytes,
    write: Callable[[Path, bytes], None] = write_durably,
) -> str:
    """Return the secret in the file *path*, made on the first call. Blocking.

    It stays the same, so that whoever is given it keeps it. A damaged file is made anew; only its
    owner can read it. Raises DiskFull, OSError, and what *read* and *write* raise.
    """
    try:
        secret = read(path).decode("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        secret = ""
    if len(secret) < CHARACTERS:
        secret = secrets.token_hex(CHARACTERS // 2)
        write(path, secret.encode())
    return secret
