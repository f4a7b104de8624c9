"""Which directory is this node's cache: a file in it holds a random id that the settings remember.

Without it, a disk that is not mounted would be replaced by an empty directory on the disk below
it, in silence: what waits there for its upload could not be read, and the system's disk would fill
up in its place.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from lucidnode.node.client.durable import make_directory, write_durably
from lucidnode.node.client.errors import Refused
from lucidnode.node.client.guarded_disk import DiskMissing
from lucidnode.node.client.staging import BLOCKS, STAGING

MARK_FILE = "cache.id"
COPYING_FILE = "copying.id"
"""The same, in a directory to which the cache with that id is being moved."""

_ID_BYTES = 16
_LONGEST_ID = 64
"""Characters. What is longer is no id of ours."""

PARTS = frozenset(
    {BLOCKS, STAGING, MARK_FILE, COPYING_FILE, "arriving", "incoming"}
    | {"index.db", "index.db-wal", "index.db-shm"}
)
"""What can lie in a cache directory."""

SCRATCH = re.compile(
    r"\.(?:cache|copying)\.id\.[0-9a-f]{8}\.tmp|\.(?:index\.db(?:-wal|-shm)?|cache\.id)\.part"
)
"""What is left by whoever was killed while he wrote a mark (node/client/durable.py), or moved a cache."""

REMEDY = (
    "Mount its disk, and work goes on by itself; if it is lost, run `lucidnode umount` for each "
    "mount, `lucidnode exit`, and `lucidnode cache adopt DIRECTORY` to begin a new cache."
)
"""What helps when the directory is missing."""


class CacheMissing(DiskMissing):
    """The directory is not there, or is not this node's cache."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"the cache directory {directory} is missing, or another one is there", REMEDY
        )


@dataclass(frozen=True, slots=True)
class CacheMark:
    """A cache directory, and the id that it must carry; None takes it as it is, or makes it."""

    directory: Path
    id: str | None

    def check(self) -> None:
        """Raise CacheMissing unless the directory carries the id. Blocking; raises OSError."""
        if self.id is not None and read_mark(self.directory) != self.id:
            raise CacheMissing(self.directory)


def read_mark(directory: Path, name: str = MARK_FILE) -> str | None:
    """Return the id that *directory* carries in the file *name*, or None. Blocking; raises OSError."""
    try:
        with (directory / name).open("rb") as file:
            return file.read(_LONGEST_ID + 1).decode("ascii", "replace").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None


def take(directory: Path) -> str:
    """Return the id of *directory*, which is made and marked as far as that is to be done.

    On disk on return. Blocking; raises DiskFull, OSError.
    """
    known = read_mark(directory)
    if known is not None:
        return known
    make_directory(directory)
    new = secrets.token_hex(_ID_BYTES)
    write_durably(directory / MARK_FILE, new.encode() + b"\n")
    return new


def check_fit(directory: Path) -> None:
    """Raise Refused if *directory* holds anything that is no cache of ours. Blocking."""
    try:
        # A disk may be the cache as a whole, and has lost+found then.
        passed = PARTS | {"lost+found"}
        other = next(
            (
                path
                for path in directory.iterdir()
                if path.name not in passed and not SCRATCH.fullmatch(path.name)
            ),
            None,
        )
    except FileNotFoundError:
        return
    except OSError as error:
        raise Refused(f"{directory} cannot be a cache: {error.strerror}") from error
    if other is not None:
        raise Refused(
            f"{directory} holds {other.name}, which is not Lucidnode's: name an empty directory, "
            "or one that was its cache before"
        )
