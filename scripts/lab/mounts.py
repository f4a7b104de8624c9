"""The kernel's table of mounts, below one directory."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from lab.command import run
from lab.errors import CommandFailed, LabError

_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")


def mounted_below(root: Path) -> list[Path]:
    """Return the mount points at or below *root*, the innermost first."""
    found = []
    # Bytes, and only a newline ends a line: other people's directories are in there, too.
    for line in Path("/proc/self/mountinfo").read_bytes().strip().split(b"\n"):
        field = _OCTAL.sub(lambda code: bytes([int(code[1], 8)]), line.split(b" ")[4])
        point = Path(os.fsdecode(field))
        if point.is_relative_to(root):
            found.append(point)
    return found[::-1]


def unmount_below(root: Path) -> None:
    """Detach everything mounted at or below *root*, dead FUSE mounts included."""
    for point in mounted_below(root):
        lazily = ["umount", "--lazy"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
        # Two entries can share a point, and a dying FUSE process unmounts itself.
        with contextlib.suppress(CommandFailed):
            run([*lazily, str(point)], within=60)
    left = mounted_below(root)
    if left:
        raise LabError(f"still mounted: {left[0]}; unmount it and run `scripts/lan down` again")
