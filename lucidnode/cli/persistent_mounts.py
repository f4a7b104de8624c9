"""The mounts that the service of a home brings back: `mounts.json` in the home directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from lucidnode.fs.mount_spec import Consistency, LockedElsewhere, SnapshotDirectory
from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import Malformed, Refused
from lucidnode.node.client.json_text import json_in

MOUNTS_FILE = "mounts.json"

_LOCK_FILE = "mounts.lock"

_MAX_FILE_BYTES = 1024 * 1024
_MAX_PATH = 4096
_MAX_MOUNTS = 256

MAX_PATTERNS = 64
"""Of names of files that one mount locks on opening."""

LockPattern = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class PersistentMount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mount that comes back: what `lucidnode mount` is given for it. *directory* is absolute."""

    project: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    directory: Annotated[str, msgspec.Meta(min_length=1, max_length=_MAX_PATH)]
    durability: Literal["relaxed", "local", "office", "cloud"] = "local"
    read_only: bool = False
    allow_other: bool = False
    lock_on_open: Annotated[list[LockPattern], msgspec.Meta(max_length=MAX_PATTERNS)] | None = None
    locked_elsewhere: LockedElsewhere = "read-only"
    consistency: Consistency = "polled"
    snapdir: SnapshotDirectory = "none"

    def words(self) -> list[str]:
        """Return the arguments of `lucidnode` that mount it."""
        options = [f"--durability={self.durability}"]
        options += ["--read-only"] if self.read_only else []
        options += ["--allow-other"] if self.allow_other else []
        options += [f"--lock-on-open={pattern}" for pattern in self.lock_on_open or ()]
        if self.locked_elsewhere != "read-only":
            options.append(f"--locked-elsewhere={self.locked_elsewhere}")
        if self.consistency != "polled":
            options.append(f"--consistency={self.consistency}")
        if self.snapdir != "none":
            options.append(f"--snapdir={self.snapdir}")
        return ["mount", *options, "--", self.project, self.directory]


class _MountsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mounts: Annotated[list[PersistentMount], msgspec.Meta(max_length=_MAX_MOUNTS)]


def persistent_mounts(home: Path) -> list[PersistentMount]:
    """Return the mounts of *home* that come back, in the order of their listing. Raises Refused."""
    path = home / MOUNTS_FILE
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return []
    try:
        return _mounts_in(raw)
    except Malformed as error:
        raise Refused(
            f"{path} is damaged ({error}): delete it, and list each mount again with "
            "`lucidnode mount --persist`"
        ) from error


def _mounts_in(raw: bytes) -> list[PersistentMount]:
    if len(raw) > _MAX_FILE_BYTES:
        raise Malformed("it is too long")
    found = json_in(raw, _MountsFile).mounts
    _check(found)
    return found


def add(home: Path, mount: PersistentMount) -> None:
    """Have *mount* come back, also after a power cut. Raises Refused, DiskFull, OSError.

    It replaces what was listed for its directory.
    """
    with _changing(home) as listed:
        _refuse_elsewhere(listed, mount)
        kept = [each for each in listed if each.directory != mount.directory]
        _write(home, [*kept, mount])


def check_fits(home: Path, mount: PersistentMount) -> None:
    """Raise Refused if *mount* cannot be listed as things are now."""
    _refuse_elsewhere(persistent_mounts(home), mount)


def forget(home: Path, directory: Path) -> bool:
    """Have what is listed for *directory* come back no more; tell whether anything was.

    Raises Refused, DiskFull, OSError.
    """
    with _changing(home) as listed:
        kept = [each for each in listed if each.directory != str(directory)]
        if len(kept) == len(listed):
            return False
        _write(home, kept)
        return True


def comes_back(home: Path, directory: Path) -> bool:
    """Tell whether a mount is listed for *directory*. Raises Refused."""
    return any(each.directory == str(directory) for each in persistent_mounts(home))


def _refuse_elsewhere(listed: list[PersistentMount], mount: PersistentMount) -> None:
    for each in listed:
        if each.project == mount.project and each.directory != mount.directory:
            raise Refused(
                f"{mount.project} comes back at {each.directory}: take that off first with "
                f"`lucidnode umount --forget {each.directory}`"
            )


def _check(mounts: list[PersistentMount]) -> None:
    """Raise ValidationError for paths that nobody can mount at, and for places taken twice."""
    directories = {each.directory for each in mounts}
    for each in mounts:
        path = each.directory
        if not path.startswith("/") or os.path.normpath(path) != path or "\0" in path:
            raise Malformed(f"{path!r} is no absolute path")
        if "\0" in each.project:
            raise Malformed(f"{each.project!r} is no name of a project")
    if len(directories) < len(mounts) or len({each.project for each in mounts}) < len(mounts):
        raise Malformed("a directory or a project is listed twice")


def _write(home: Path, mounts: list[PersistentMount]) -> None:
    if len(mounts) > _MAX_MOUNTS:
        raise Refused(f"{_MAX_MOUNTS} mounts come back already: take some off first")
    write_durably(home / MOUNTS_FILE, msgspec.json.format(msgspec.json.encode(_MountsFile(mounts))))


@contextlib.contextmanager
def _changing(home: Path) -> Iterator[list[PersistentMount]]:
    """Be the only one who changes the list of *home*; gives what is listed."""
    descriptor = os.open(home / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield persistent_mounts(home)
    finally:
        os.close(descriptor)
