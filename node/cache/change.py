"""What is asked of the cache directory, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lucidnode.node.cache.verified import Ciphertext
from lucidnode.node.client.ids import BlockId

Whose = Literal["ours", "read for a peer", "offered by a peer"]
"""For whom a block came. What is not ours is a guest, until a mount here uses it."""


@dataclass(frozen=True, slots=True)
class Insertion:
    """A block about to be kept: its bytes, or a file on the same disk that becomes its file."""

    block: BlockId
    size: int
    content: Ciphertext | Path
    whose: Whose = "ours"

    @property
    def growth(self) -> int:
        """Return the bytes of disk it takes that are not taken already."""
        return self.size if not isinstance(self.content, Path) else 0


@dataclass(slots=True)
class CacheChange:
    """What one change did. A fault does not undo the part that was done before it."""

    removed: list[BlockId] = field(default_factory=list)
    """Victims whose files are gone."""
    kept: bool = False
    """The arrival has its file."""
    reclaim_bytes: int = 0
    """Bytes of disk that must be freed before the arrival fits; 0 if that is not the reason."""
    fault: OSError | None = None
    """The disk failed, other than by being full."""
