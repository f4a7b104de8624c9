"""What the kernel says is mounted in this process's mount namespace."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

FSNAME = "lucidnode"
"""The name of the device in /proc/self/mountinfo, by which we know our own mounts."""

_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")


class Mounted(NamedTuple):
    """One line of mountinfo."""

    device: str
    """Major and minor number: `0:53`."""
    directory: Path
    kind: str
    source: str
    options: frozenset[str] = frozenset()
    """Of the file system, not of this place of it."""

    @property
    def is_ours(self) -> bool:
        return self.kind.startswith("fuse") and self.source == FSNAME


def mounts(mountinfo: bytes) -> list[Mounted]:
    """Parse a process's mountinfo, as proc(5) describes it.

    Bytes, and only a newline ends a line: anybody on this machine may mount on a directory whose
    name holds a carriage return, a Unicode line separator or no text at all. What has not the shape
    of a line is none.
    """
    found = []
    for line in mountinfo.split(b"\n"):
        fields, _, rest = line.partition(b" - ")
        where, what = fields.split(b" "), rest.split(b" ")
        if len(where) < 5 or len(what) < 2:  # up to the mount point; type and source
            continue
        found.append(
            Mounted(
                os.fsdecode(where[2]),
                Path(_unescaped(where[4])),
                os.fsdecode(what[0]),
                _unescaped(what[1]),
                frozenset(os.fsdecode(what[2]).split(",")) if len(what) > 2 else frozenset(),
            )
        )
    return found


def _unescaped(field: bytes) -> str:
    """Undo mountinfo's escapes, a backslash and three octal digits, in one pass."""
    return os.fsdecode(_ESCAPED.sub(lambda code: bytes([int(code[1], 8)]), field))
