"""What the kernel holds of names, attributes and pages, and how it is told to forget it."""

from __future__ import annotations

import pyfuse3

from lucidnode.fs.channel import device
from lucidnode.fs.replica.inode import InodeNo


def invalidate_inode(ino: InodeNo, *, attributes_only: bool) -> None:
    """Have the kernel forget what it holds of *ino*. May block: see fs/kernel/invalidation.py."""
    if device.runs():
        device.invalidate_inode(ino, attributes_only=attributes_only)
        return
    pyfuse3.invalidate_inode(ino, attr_only=attributes_only)


def invalidate_entry(parent: InodeNo, name: bytes) -> None:
    """Have the kernel look *name* up again. May block: see fs/kernel/invalidation.py."""
    if device.runs():
        device.invalidate_entry(parent, name)
        return
    pyfuse3.invalidate_entry(parent, name)
