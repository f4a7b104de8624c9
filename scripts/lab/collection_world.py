"""A project as a collection meets it, in one process: a journal, a bucket, writers and collectors.

The collectors are the real ones (`Collection`); the journal is a list to which an entry is added
only behind the one before, the bucket a set. Writers keep the rules that mounts keep: what they seal
anew is not on a list, and no entry of theirs names what is final. Every step of anybody, and every
jump of time, is taken from one source of chance, so a seed is a history.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random  # noqa: TID251  # seeded: a failure can be repeated

from lucidnode.fs.collection import rules
from lucidnode.fs.collection.budget import Budget
from lucidnode.fs.collection.collection import Collection
from lucidnode.fs.errors import CannotCollect
from lucidnode.fs.format.project_facts import (
    COLLECTED,
    CONDEMNED,
    STANDS_LONGER_NS,
    Condemned,
    collected_in,
    condemned_in,
)
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.wire import BlockPage, BlocksDeleted

PROJECT = ProjectId("ab" * 16)
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


class World:
    """All there is. *seed* decides everything."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)  # noqa: S311  # no secret: a seed is a history
        self.now_ns = 10**18
        self.log: list[Entry] = []
        self.truth = State()
        self.bucket: set[BlockId] = set()
        self.past: list[tuple[int, frozenset[BlockId]]] = [(self.now_ns, frozenset())]
        """Each state's blocks, and when it began."""
        self.kept: set[int] = set()
        """Entries whose states must stay whole."""
        self.writers = [Writer(self, f"w{number}") for number in range(3)]
        self.waiting: list[tuple[Collector, asyncio.Event]] = []
        self.happened: Counter[str] = Counter()
        self.checkpoints: dict[int, frozenset[BlockId]] = {}
        """What the manifest of each names. None is an entry, so nothing orders them with lists."""
        self.after: BlockId | None = None
        """Where the next round of a part goes on, as somebody has said who ended one."""

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
        """Raise LostBlock unless all that is promised is in the bucket."""
        self._must_have(self.needed_now(), "a file, or a point that is kept")
        for place in range(len(self.past) - 1, -1, -1):
            self._must_have(self.past[place][1], "the past that is kept")
            if self.past[place][0] < self.now_ns - PROMISED_NS:
                break
        for seq, pieces in self.checkpoints.items():
            self._must_have(pieces, f"the checkpoint at {seq}")
        for writer in self.writers:
            if self.now_ns - writer.caught_up_ns <= PROMISED_NS:
                uploaded = {p.block for p in writer.pending if p.is_uploaded and not p.is_here}
                self._must_have(uploaded, f"work of {writer.name} that waits")

    def _must_have(self, blocks: set[BlockId] | frozenset[BlockId], what: str) -> None:
        if missing := blocks - self.bucket:
            raise LostBlock(f"{what}: {min(missing).hex()[:8]}")

    # -- what happens ------------------------------------------------------------------------

    async def live(self, steps: int, *, collectors: int) -> None:
        """Have *steps* things happen, with so many collectors that come and go."""
        async with asyncio.TaskGroup() as group:
            running: dict[Collector, asyncio.Task[None]] = {}
            for _ in range(steps):
                self.happened["steps"] += 1
                for collector in [each for each, task in running.items() if task.done()]:
                    running.pop(collector).result()
                if len(running) < collectors and self.chance.random() < 0.3:
                    started = Collector(self)
                    running[started] = group.create_task(started.round())
                await _settled()
                self._pass_time()
                self._happen(running)
                await _settled()
                self.check()
            for task in running.values():
                task.cancel()
            self.waiting.clear()

    def _happen(self, running: dict[Collector, asyncio.Task[None]]) -> None:
        awake = [each for each in self.waiting if each[0].frozen_until_ns <= self.now_ns]
        self.chance.choice(self.writers).step()
        what = self.chance.random()
        if awake and what < 0.9:
            each = self.chance.choice(awake)
            self.waiting.remove(each)
            each[1].set()
        elif awake and what < 0.91:
            each = self.chance.choice(awake)
            self.happened["collectors frozen"] += 1
            each[0].frozen_until_ns = self.now_ns + self.chance.choice([1, 30, 80]) * DAY_NS
        elif awake and what < 0.92:
            each = self.chance.choice(awake)
            self.happened["collectors killed"] += 1
            running[each[0]].cancel()
            self.waiting.remove(each)
            del running[each[0]]
        if self.chance.random() < 0.01:
            self._keep_a_point()

    def _keep_a_point(self) -> None:
        if self.kept and self.chance.random() < 0.5:
            self.kept.discard(self.chance.choice(sorted(self.kept)))
            return
        oldest = collected_in(self.truth.facts.get(COLLECTED))
        if oldest <= len(self.log):
            # As an entry like any other: it is ordered with what makes lists final.
            self.kept.add(self.chance.randint(oldest, len(self.log)))
            self.add(len(self.log) + 1, Entry({}, {}))

    def _pass_time(self) -> None:
        what = self.chance.random()
        if what < 0.3:
            self.now_ns += self.chance.randint(1, 12) * HOUR_NS
        elif what < 0.305:
            self.now_ns += self.chance.randint(3, 40) * DAY_NS
        else:
            self.now_ns += self.chance.randint(1, 60) * 10**9


async def _settled() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


@dataclass
class Pending:
    """A file that *name* is to lie in: sealed, perhaps uploaded, perhaps still here."""

    name: str
    content: int
    block: BlockId
    is_uploaded: bool = False
    is_here: bool = True


def sealed(content: int, number: int) -> BlockId:
    """Return block *number* of a content: the first is its own."""
    return BlockId(hashlib.sha256(f"{content} {number}".encode()).digest())


class Writer:
    """A workstation that saves, copies, restores and deletes, and is away at times."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.state = State()
        self.pending: list[Pending] = []
        self.contents: dict[BlockId, int] = {}
        self.away_until_ns = 0
        self.caught_up_ns = world.now_ns
        self.known: frozenset[BlockId] = frozenset()
        """The pieces of the newest checkpoint that it knows to be true."""
        self.making: tuple[int, frozenset[BlockId], int] | None = None

    def step(self) -> None:
        world, chance = self.world, self.world.chance
        if chance.random() < 0.3:
            self._save()
        if world.now_ns < self.away_until_ns:
            return
        if chance.random() < 0.2:
            self._make_checkpoint()
        what = chance.random()
        if what < 0.01:
            self.away_until_ns = world.now_ns + chance.choice([chance.randint(1, 45), 120]) * DAY_NS
        elif what < 0.35:
            self._upload()
        elif what < 0.45:
            self._forget_a_copy()
        elif what < 0.6:
            self._follow()
        elif what < 0.7:
            self._delete()
        elif what < 0.75:
            self._share()
        else:
            self._commit()

    def _follow(self) -> None:
        for entry in self.world.log[self.state.seq :]:
            self.state.apply(entry)
        was_away_ns = self.world.now_ns - self.caught_up_ns
        self.caught_up_ns = self.world.now_ns
        old = {
            block
            for each in self.state.lists().values()
            if each.is_final or self.world.now_ns - each.wall_ns >= STANDS_LONGER_NS
            for block in each.blocks()
        }
        for waiting in [each for each in self.pending if each.block in old]:
            self._seal_anew(waiting, was_away_ns)

    def _make_checkpoint(self) -> None:
        """Stage pieces beside those that are known; the manifest follows, unless it takes a day."""
        if self.making is not None:
            seq, pieces, began_ns = self.making
            self.making = None
            if self.world.now_ns - began_ns < DAY_NS:
                self.known = self.world.checkpoints.setdefault(seq, pieces)
                self.world.happened["checkpoints made"] += 1
            return
        self._follow()
        on_list = {block for each in self.state.lists().values() for block in each.blocks()}
        if self.known & on_list:
            self.world.happened["checkpoints of pieces that are listed"] += 1
            self.known = frozenset()
        if len(self.known) > 8 or self.world.chance.random() < 0.2:
            self.known = frozenset()  # a new base
        piece = self._seal(1000 + self.world.chance.randrange(40))
        self.world.bucket.add(piece)
        self.making = self.state.seq, self.known | {piece}, self.world.now_ns

    def _seal(self, content: int) -> BlockId:
        on_list = {block for each in self.state.lists().values() for block in each.blocks()}
        number = 0
        while sealed(content, number) in on_list:
            number += 1
        return sealed(content, number)

    def _save(self) -> None:
        content = self.world.chance.randrange(12)  # few: the same is saved again and again
        name = f"f{self.world.chance.randrange(6)}"
        self.pending.append(Pending(name, content, self._seal(content)))

    def _upload(self) -> None:
        for each in self.pending:
            if not each.is_uploaded:
                self.world.bucket.add(each.block)
                each.is_uploaded = True
                return

    def _forget_a_copy(self) -> None:
        """Evict what was uploaded: from then on the bucket has the only copy."""
        for each in self.pending:
            if each.is_uploaded:
                each.is_here = False

    def _delete(self) -> None:
        self._follow()
        if self.state.files:
            name = self.world.chance.choice(sorted(self.state.files))
            self.world.add(self.state.seq + 1, Entry({name: None}, {}))

    def _share(self) -> None:
        """Give a file the block of another, or one of the past, that is still whole."""
        self._follow()
        oldest = collected_in(self.state.facts.get(COLLECTED))
        seq = self.world.chance.randint(min(oldest, self.state.seq), self.state.seq)
        blocks = sorted(self.world.past[seq][1])
        if blocks:
            block = self.world.chance.choice(blocks)
            name = f"f{self.world.chance.randrange(6)}"
            self.world.add(self.state.seq + 1, Entry({name: block}, {}))

    def _commit(self) -> None:
        self._follow()
        files: dict[str, BlockId | None] = {}
        while self.pending and self.pending[0].is_uploaded:
            each = self.pending.pop(0)
            files[each.name] = each.block
        if files:
            self.world.add(self.state.seq + 1, Entry(files, {}))

    def _seal_anew(self, each: Pending, was_away_ns: int) -> None:
        if not each.is_here and each.block not in self.world.bucket:
            if was_away_ns <= PROMISED_NS:
                raise LostBlock(f"work of {self.name}, which was not away for long")
            self.world.happened["works lost by who was away too long"] += 1
            self.pending.remove(each)
            return
        self.world.happened["works sealed anew"] += 1
        each.block = self._seal(each.content)
        each.is_uploaded, each.is_here = False, True


class Collector:
    """One run of a collection: the real one, on a ledger and objects that take their time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.state = State()
        self.frozen_until_ns = 0
        self._ahead_ns = world.chance.choice([0, 0, 0, 200 * 10**9, -200 * 10**9, 50 * DAY_NS])
        """Of its clock, which nobody has set right if it is much."""
        self.most = world.chance.choice([None, None, 6, 20])
        """Requests that it may make."""

    async def round(self) -> None:
        """Do a round: of all there is, or of some of it, as one may who has to look at the money."""
        collection = Collection(
            PROJECT,
            self,
            self,
            self,
            lambda _: None,
            dry=False,
            after=None if self.most is None else self.world.after,
            budget=Budget(self.most),
        )
        try:
            told = await collection.run()
        except (CannotCollect, Unavailable):
            return
        if self.most is not None:
            self.world.after = told.after
            self.world.happened["rounds of a part"] += told.after is not None

    async def turn(self) -> None:
        event = asyncio.Event()
        self.world.waiting.append((self, event))
        await event.wait()

    # -- a clock -----------------------------------------------------------------------------

    def boot(self) -> float:
        return self.world.now_ns / 1e9

    def wall_ns(self) -> int:
        return self.world.now_ns + self._ahead_ns

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002
        raise AssertionError

    # -- a ledger ----------------------------------------------------------------------------

    async def read_on(self) -> None:
        await self.turn()
        for entry in self.world.log[self.state.seq :]:
            self.state.apply(entry)
        self._kept = frozenset(self.world.kept)

    def head(self) -> Seq:
        return Seq(self.state.seq)

    def newest_ns(self) -> int:
        return self.world.past[self.state.seq][0]

    def retention_days(self) -> int:
        return rules.DEFAULT_RETENTION_DAYS

    def collected_up_to(self) -> Seq:
        return collected_in(self.state.facts.get(COLLECTED))

    def lists(self) -> dict[bytes, Condemned]:
        return self.state.lists()

    async def needed(self) -> set[BlockId]:
        needed = set(self.state.files.values())
        for seq in self._kept:
            needed |= self.world.past[seq][1]
        for pieces in self.world.checkpoints.values():
            needed |= pieces
        await self.turn()
        return needed

    def named_behind(self, seq: Seq) -> set[BlockId]:
        return set().union(*self.state.touched[seq:])

    async def outdated_checkpoints(self) -> list[Seq]:
        return rules.outdated_checkpoints(
            {Seq(seq): self.world.past[seq][0] for seq in self.world.checkpoints},
            self.wall_ns(),
            rules.DEFAULT_RETENTION_DAYS,
        )

    async def delete_checkpoints(self, seqs: Sequence[Seq]) -> int:
        for seq in seqs:
            await self.turn()
            self.world.checkpoints.pop(seq, None)
            self.world.happened["checkpoints deleted"] += 1
        return len(seqs)

    async def commit(self, facts: Mapping[bytes, bytes | None]) -> bool:
        seq = self.state.seq + 1
        before = self.state.lists()
        await self.turn()
        if not self.world.add(seq, Entry({}, facts)):
            self.world.happened["entries of collectors that came second"] += 1
            return False
        for name, value in facts.items():
            if name.startswith(CONDEMNED):
                after = None if value is None else condemned_in(name, value)
                was, now = (
                    len(each.ids) // 32 if each else 0 for each in (before.get(name), after)
                )
                what = "final" if name in before else "listed"
                self.world.happened[f"blocks {what}"] += now
                self.world.happened["blocks taken back"] += max(0, was - now)
        return True

    # -- objects -----------------------------------------------------------------------------

    async def page(
        self,
        project: ProjectId,  # noqa: ARG002  # there is one
        after: BlockId | None,
    ) -> BlockPage:
        await self.turn()
        ids = sorted(block for block in self.world.bucket if after is None or block > after)[:3]
        return BlockPage(
            [bytes(block) for block in ids],
            [1000] * len(ids),
            len(ids) < 3,
            -self._ahead_ns / 1e9,
        )

    async def delete(
        self,
        project: ProjectId,  # noqa: ARG002  # there is one
        blocks: Sequence[BlockId],
    ) -> BlocksDeleted:
        gone = []
        for block in blocks:
            await self.turn()  # each may be the last, and any amount of time passes before it
            self.world.bucket.discard(block)
            self.world.happened["blocks deleted"] += 1
            gone.append(bytes(block))
        return BlocksDeleted(gone, [], "")
