"""How much is in each directory of a project, and whose work it is."""

from __future__ import annotations

from dataclasses import dataclass

from lucidnode.fs.history.past import Past
from lucidnode.fs.history.past_places import Path
from lucidnode.fs.replica.inode import Attributes, InodeNo, Kind
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.ids import DeviceId

_LISTED_NAMES = 1000
"""Names that are read of a directory at once."""


@dataclass(slots=True)
class UsedSpace:
    """Bytes of files, holes included, and how many things they are. Hard links count once."""

    size: int = 0
    files: int = 0

    def add(self, file: Attributes) -> None:
        """Count *file* in."""
        self.size += file.size
        self.files += 1


@dataclass(slots=True)
class Usage:
    """What a directory holds: in all, by what lies directly in it, and by who wrote it last.

    A directory among *parts* has all that is below it.
    """

    total: UsedSpace
    parts: dict[bytes, UsedSpace]
    writers: dict[DeviceId, UsedSpace]


def usage_of(past: Past, found: Attributes, path: Path) -> Usage:
    """Return what *found*, which is at *path* now, holds. Reads every name below it."""
    usage = Usage(UsedSpace(), {}, {})
    seen: set[InodeNo] = set()
    parts = _listed(past.now, found.ino) if found.is_directory else [(path[-1], found)]
    for name, part in parts:
        used = usage.parts[name] = UsedSpace()
        waiting = [part]
        while waiting:
            each = waiting.pop()
            if each.is_directory:
                waiting += (inner for _, inner in _listed(past.now, each.ino))
            elif each.ino not in seen:
                if each.nlink > 1:
                    seen.add(each.ino)
                used.add(each)
                usage.total.add(each)
                if each.kind is Kind.FILE and (device := past.log.writer(each.ino)) is not None:
                    usage.writers.setdefault(device, UsedSpace()).add(each)
    return usage


def _listed(tree: TreeReader, directory: InodeNo) -> list[tuple[bytes, Attributes]]:
    found: list[tuple[bytes, Attributes]] = []
    after: bytes | None = None
    while names := tree.list_names(directory, after, _LISTED_NAMES):
        found += names
        after = names[-1][0]
    return found
