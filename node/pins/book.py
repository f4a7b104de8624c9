"""Which blocks the mounts here want to have kept: on disk, so that a restart evicts none of them.

The door to `pins.db` in the home: ids of blocks and the sizes of what is in them, by project. Mounts
tell it all again when they start, so a damaged file is made anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import BlockId, ProjectId, block_ids, parse_project_id
from lucidnode.node.small_database import SmallDatabase

PINS_FILE = "pins.db"

_VERSION = 1
_SCHEMA = """
CREATE TABLE pinned (
    project TEXT NOT NULL,
    block   BLOB NOT NULL,
    size    INTEGER NOT NULL,
    PRIMARY KEY (project, block)
) STRICT, WITHOUT ROWID;
"""

Pinned = dict[ProjectId, dict[BlockId, int]]


class PinBook:
    """The file at *path*. Blocking; any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises OSError if the disk lets nobody."""
        # What a power cut takes is told again.
        self._database = SmallDatabase.open(
            path, _SCHEMA, _VERSION, path.unlink, outlives_power_cuts=False
        )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def all(self) -> Pinned:
        """Return the blocks of each project, with their sizes. Raises OSError."""
        found: Pinned = {}
        for project, block, size in self._database.rows("SELECT * FROM pinned"):
            with contextlib.suppress(Malformed):
                [name] = block_ids([block])
                found.setdefault(parse_project_id(project), {})[name] = size
        return found

    def change(
        self, project: ProjectId, added: Mapping[BlockId, int], gone: AbstractSet[BlockId]
    ) -> None:
        """Note that *added* are wanted and *gone* no more, all or nothing. Raises OSError."""
        with self._database.transaction():
            self._database.change(
                "REPLACE INTO pinned VALUES (?, ?, ?)",
                ((project, bytes(block), size) for block, size in added.items()),
            )
            self._database.change(
                "DELETE FROM pinned WHERE project = ? AND block = ?",
                ((project, bytes(block)) for block in gone),
            )
