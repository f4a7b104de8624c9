"""How much is in each directory of a project, and whose work it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lucidnode.fs.replica.id_allocator import tag_of, writer_tag
from lucidnode.fs.replica.inode import InodeNo, Kind
from lucidnode.fs.replica.used_files import UsedFile, UsedFiles
from lucidnode.node.client.ids import DeviceId


@dataclass(slots=True)
class UsedSpace:
    """Bytes of files, holes included, and how many things they are. Hard links count once."""

    size: int = 0
    files: int = 0

    def add(self, file: UsedFile) -> None:
        """Count *file* in."""
        self.size += file.size
        self.files += 1


Writer = Callable[[UsedFile], DeviceId | None]
"""Tells which workstation gave a file the content that it has; None if that is not known."""


@dataclass(slots=True)
class Usage:
    """What a directory holds: in all, by what lies directly in it, and by who wrote it last.

    A directory among *parts* has all that is below it. Among *writers* are files that are not empty;
    None wrote those of which it is not known.
    """

    total: UsedSpace
    parts: dict[bytes, UsedSpace]
    writers: dict[DeviceId | None, UsedSpace]


def usage_of(files: UsedFiles, path: Sequence[bytes], writer: Writer) -> Usage | None:
    """Return what *path* holds, None if there is nothing. Reads every name below it."""
    found = files.at(path)
    if found is None:
        return None
    usage = Usage(UsedSpace(), {}, {})
    seen: set[InodeNo] = set()
    parts = files.listed(found.ino) if found.is_directory else [(path[-1], found)]
    for name, part in parts:
        used = usage.parts[name] = UsedSpace()
        waiting = [part]
        while waiting:
            each = waiting.pop()
            if each.is_directory:
                waiting += (inner for _, inner in files.listed(each.ino))
            elif each.ino not in seen:
                if each.nlink > 1:
                    seen.add(each.ino)
                used.add(each)
                usage.total.add(each)
                if each.kind is Kind.FILE and each.size:
                    usage.writers.setdefault(writer(each), UsedSpace()).add(each)
    return usage


def writer_by_version(devices: Iterable[DeviceId]) -> Writer:
    """Return what knows which of *devices* wrote a file by the version of its content.

    That of an earlier release tells nothing, and nothing is told where two devices have one tag.
    """
    by_tag: dict[int, DeviceId | None] = {}
    for device in devices:
        tag = writer_tag(device)
        by_tag[tag] = None if tag in by_tag else device

    def writer(file: UsedFile) -> DeviceId | None:
        tag = tag_of(file.version)
        return None if tag is None else by_tag.get(tag)

    return writer
