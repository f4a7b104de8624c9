"""A project as a collection meets it, in one process: a journal, a bucket, time, and what was promised.

The journal is a list to which an entry is added only behind the one before, the bucket a set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random  # noqa: TID251  # seeded: a failure can be repeated

from lucidnode.fs.format.project_facts import CONDEMNED, Condemned, condemned_in
from lucidnode.node.client.ids import BlockId

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
PROMISED_NS = 30 * DAY_NS
"""For how long the past is whole, and a workstation may be away."""


class LostBlock(AssertionError):
    """Something that was promised to be there is not."""


@dataclass(frozen=True)
class Entry:
    """One entry: what some files lie in from now on (None: deleted), and what the project says."""

    files: Mapping[str, BlockId | None]
    facts: Mapping[bytes, bytes | None]


@dataclass
class State:
    """What the entries up to *seq* lead to; *touched* is what each of them named, or took away."""

    seq: int = 0
    files: dict[str, BlockId] = field(default_factory=dict)
    facts: dict[bytes, bytes] = field(default_factory=dict)
    touched: list[set[BlockId]] = field(default_factory=list)

    def apply(self, entry: Entry) -> None:
        touched: set[BlockId] = set()
        for name, block in entry.files.items():
            if (old := self.files.pop(name, None)) is not None:
                touched.add(old)
            if block is not None:
                self.files[name] = block
                touched.add(block)
        for fact, value in entry.facts.items():
            self.facts.pop(fact, None)
            if value is not None:
                self.facts[fact] = value
        self.touched.append(touched)
        self.seq += 1

    def lists(self) -> dict[bytes, Condemned]:
        found = {}
        for name, value in sorted(self.facts.items()):
            if name.startswith(CONDEMNED):
                each = condemned_in(name, value)
                assert each is not None
                found[name] = each
        return found


class CollectedProject:
    """All there is of it. What anybody does next, and when, is taken from *chance*."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.now_ns = 10**18
        self.log: list[Entry] = []
        self.truth = State()
        self.bucket: set[BlockId] = set()
        self.past: list[tuple[int, frozenset[BlockId]]] = [(self.now_ns, frozenset())]
        """Each state's blocks, and when it began."""
        self.kept: set[int] = set()
        """Entries whose states must stay whole."""
        self.checkpoints: dict[int, frozenset[BlockId]] = {}
        """What the manifest of each names. None is an entry, so nothing orders them with lists."""
        self.after: BlockId | None = None
        """Where the next round of a part goes on, as somebody has said who ended one."""
        self.happened: Counter[str] = Counter()

    def add(self, seq: int, entry: Entry) -> bool:
        """Create entry *seq* if absent."""
        if seq != len(self.log) + 1:
            return False
        self.log.append(entry)
        self.truth.apply(entry)
        self.past.append((self.now_ns, frozenset(self.truth.files.values())))
        self.check()
        return True

    def needed_now(self) -> set[BlockId]:
        needed = set(self.truth.files.values())
        for seq in self.kept:
            needed |= self.past[seq][1]
        return needed

    def check(self) -> None:
        """Raise LostBlock unless all that is promised of the project is in the bucket."""
        self.must_have(self.needed_now(), "a file, or a point that is kept")
        for place in range(len(self.past) - 1, -1, -1):
            self.must_have(self.past[place][1], "the past that is kept")
            if self.past[place][0] < self.now_ns - PROMISED_NS:
                break
        for seq, pieces in self.checkpoints.items():
            self.must_have(pieces, f"the checkpoint at {seq}")

    def must_have(self, blocks: Iterable[BlockId], what: str) -> None:
        """Raise LostBlock unless *blocks* are in the bucket: those of *what*."""
        if missing := set(blocks) - self.bucket:
            raise LostBlock(f"{what}: {min(missing).hex()[:8]}")
