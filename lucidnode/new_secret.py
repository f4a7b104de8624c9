"""A new file with a secret in it: for its maker's eyes from the first byte, in the place of nothing."""

from __future__ import annotations

import os
from pathlib import Path

from lucidnode.node.client.durable import sync_directory
from lucidnode.node.client.errors import Refused


def write_new_secret(target: Path, contents: bytes) -> None:
    """Write *contents* into the new file *target*, mode 0600, whole or not at all. Raises Refused, OSError."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Refused(f"{target} exists already: name a new file") from None
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(contents)
            stream.flush()
            os.fsync(stream.fileno())
        sync_directory(target.absolute().parent)
    except OSError:
        target.unlink(missing_ok=True)  # half a secret in a safe is worse than none
        raise
