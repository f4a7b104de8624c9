"""How much can still be written to a disk."""

from __future__ import annotations

import os
from pathlib import Path


def free_bytes(directory: Path) -> int:
    """Return the bytes that this user can still write to the disk of *directory*.

    Blocking: a disk that hangs does not answer. Raises OSError.
    """
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize
