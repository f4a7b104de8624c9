"""Thumbnailers and indexers: programs that look into every file, though nobody asked for any of them.

Somebody opens a folder of clips in a file manager, or a search index finds a drive, and every file is read:
gigabytes over the line to the bucket for pictures the size of a stamp. So such a program, known by its name,
has what is in the cache or at a colleague's for nothing, and of the bucket a little of each file,
at a rate. It has no read-ahead. Who wants more than that of one file, or waits too long for his turn,
hears Withheld, which is EIO for him: thumbnailers then show an icon. (EAGAIN has ffmpeg ask again for ever.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import msgspec
from cachetools import LRUCache

from lucidnode.node.bucket.pace import Pace, RateLimit
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Withheld
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.wire import Reading

USUAL_WORD: Final = "usual"

USUAL: Final = (
    "*thumbnailer",
    "*thumbnailer.py",
    "thumbnail.so",
    "tumblerd",
    "mate-thumbnail-font",
    "tracker-extract*",
    "tracker-miner-fs*",
    "localsearch*",
    "baloo_file*",
    "recollindex",
)
"""What USUAL_WORD stands for: GNOME's, Xfce's, MATE's and Cinnamon's thumbnailers, KDE's (a library in a
worker), and what builds the search indexes of the desktops. `updatedb` reads names alone, and is none."""

WAIT_S: Final = 20.0
"""Seconds that an indexer waits for its turn: less than the 30 after which thumbnailers are given up, for
then the desktop remembers for as long as the file does not change that there is no picture of it."""

_MOST_OPENINGS = 4096
_MOST_PROGRAMS = 64
_MOST_BLOCKS = 16_384


@dataclass(frozen=True, slots=True)
class IndexerRules:
    """Patterns of names, USUAL_WORD among them; bytes from the bucket for each opening, and their rate."""

    names: Sequence[str]
    per_file: int | None
    rate: RateLimit | None

    def hold(self, program: str) -> bool:
        """Tell whether *program* is an indexer."""
        return any(
            fnmatchcase(program, pattern)
            for name in self.names
            for pattern in (USUAL if name == USUAL_WORD else (name,))
        )


class IndexerCounts(msgspec.Struct):
    """What one indexer did since the daemon started: bytes, and files as often as it wanted more of one than was near."""

    files: int = 0
    fetched: int = 0
    withheld: int = 0
    """Blocks that it was not given, each once for each time that a file was opened."""


class WithheldBlock(msgspec.Struct, frozen=True):
    """Which program did not get a block last, and when, in ns since 1970."""

    program: str
    wall_ns: int


class Indexers:
    """Decides for all mounts of this workstation. Lives in one event loop."""

    def __init__(self, rules: Callable[[], IndexerRules], clock: Clock) -> None:
        """*rules* returns those that hold now."""
        self._rules = rules
        self._clock = clock
        self._pace = Pace(lambda: rules().rate, clock)
        self._taken: LRUCache[str, int] = LRUCache(_MOST_OPENINGS)
        """Bytes from the bucket by opening."""
        self._counts: LRUCache[str, IndexerCounts] = LRUCache(_MOST_PROGRAMS)
        self._counted: LRUCache[tuple[str, BlockId], None] = LRUCache(_MOST_BLOCKS)
        self._withheld: LRUCache[BlockId, WithheldBlock] = LRUCache(_MOST_BLOCKS)

    def holds(self, program: str) -> bool:
        """Tell whether *program* is held to what is cheap."""
        return self._rules().hold(program)

    async def admit(self, reading: Reading, block: BlockId) -> None:
        """Return once *reading* may have *block* fetched, which is not near. Raises Withheld."""
        if reading.ahead:
            raise Withheld(f"nothing is fetched ahead of {reading.program}")
        taken, most = self._taken.get(reading.opening), self._rules().per_file
        if taken is None:
            self._of(reading.program).files += 1
        so_far = taken or 0
        # The first block always: a file begins with what it is.
        if so_far and most is not None and so_far + reading.size > most:
            raise self._refusal(reading, block, "of one file", "indexers.per-file")
        self._taken[reading.opening] = so_far + reading.size
        try:
            async with asyncio.timeout(WAIT_S):
                await self._pace.wait(reading.size)
        except TimeoutError:
            self._taken[reading.opening] = so_far
            raise self._refusal(reading, block, "so quickly", "indexers.rate") from None

    def fetched(self, program: str, size: int) -> None:
        """Count *size* bytes that came for *program*."""
        self._of(program).fetched += size

    def counts(self) -> dict[str, IndexerCounts]:
        """Return what each has done."""
        return dict(self._counts)

    def withheld(self, block: BlockId) -> WithheldBlock | None:
        """Return from whom *block* was withheld last, if it was."""
        return self._withheld.get(block)

    def _of(self, program: str) -> IndexerCounts:
        return self._counts.setdefault(program, IndexerCounts())

    def _refusal(self, reading: Reading, block: BlockId, what: str, setting: str) -> Withheld:
        self._withheld[block] = WithheldBlock(reading.program, self._clock.wall_ns())
        if (reading.opening, block) not in self._counted:
            self._counted[reading.opening, block] = None
            self._of(reading.program).withheld += reading.size
        return Withheld(
            f"{reading.program} looks into files by itself, and is not given so much {what}: see {setting}"
        )
