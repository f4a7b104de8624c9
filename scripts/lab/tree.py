"""What a directory holds, down to the last byte, as a value that can be compared."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import msgspec

_STEP = 1024 * 1024


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One name below a directory. Of directories and links nothing is known that file systems choose."""

    mode: int
    owner: tuple[int, int]
    size: int = 0
    links: int = 0
    modified_ns: int = 0
    target: str = ""
    attributes: dict[str, bytes] = {}
    content: str = ""
    """SHA-256 in hex, where it was asked for."""


Tree = dict[str, Entry]


def tree(root: Path, *, contents: bool = True) -> Tree:
    """Describe all that is below *root*, names relative to it. Raises OSError."""
    found: Tree = {}
    for folder, folders, files in os.walk(root, onerror=_raise):
        for name in [*folders, *files]:
            path = Path(folder, name)
            found[str(path.relative_to(root))] = _entry(path, contents=contents)
    return found


def differences(one: Tree, other: Tree, limit: int = 5) -> list[str]:
    """Name what differs between two trees, a line for each; at most *limit* lines."""
    lines = []
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other:
            lines.append(f"{name}: only {'here' if name in one else 'there'}")
        elif one[name] != other[name]:
            here, there = msgspec.structs.asdict(one[name]), msgspec.structs.asdict(other[name])
            fields = [
                f"{key} {here[key]} / {there[key]}" for key in here if here[key] != there[key]
            ]
            lines.append(f"{name}: {', '.join(fields)}")
    return lines[:limit]


def _raise(error: OSError) -> None:
    raise error


def _entry(path: Path, *, contents: bool) -> Entry:
    facts = path.lstat()
    owner = (facts.st_uid, facts.st_gid)
    if stat.S_ISLNK(facts.st_mode):
        return Entry(facts.st_mode, owner, target=str(path.readlink()))
    # Ours say how a file travels; they are not a part of it.
    attributes = {
        name: os.getxattr(path, name)
        for name in os.listxattr(path)
        if name.startswith("user.") and not name.startswith("user.lucid.")
    }
    if not stat.S_ISREG(facts.st_mode):
        return Entry(facts.st_mode, owner, attributes=attributes)
    return Entry(
        facts.st_mode,
        owner,
        facts.st_size,
        facts.st_nlink,
        facts.st_mtime_ns,
        attributes=attributes,
        content=_digest(path) if contents else "",
    )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_STEP):
            digest.update(piece)
    return digest.hexdigest()
