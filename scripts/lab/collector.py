"""A collection that comes and goes: the real one, on a ledger and objects that take their time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from lab.collected_project import DAY_NS, CollectedProject, Entry, State
from lucidnode.fs.collection import rules
from lucidnode.fs.collection.budget import Budget
from lucidnode.fs.collection.collection import Collection
from lucidnode.fs.errors import CannotCollect
from lucidnode.fs.format.project_facts import (
    COLLECTED,
    CONDEMNED,
    Condemned,
    collected_in,
    condemned_in,
)
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.wire import BlockPage, BlocksDeleted

PROJECT = ProjectId("ab" * 16)


class Collector:
    """One run of a collection: the real one, on a ledger and objects that take their time."""

    def __init__(
        self, project: CollectedProject, turn: Callable[[Collector], Awaitable[None]]
    ) -> None:
        """Wait for its *turn* before each thing that it asks or does."""
        self.project = project
        self._turn = turn
        self.state = State()
        self.frozen_until_ns = 0
        self._ahead_ns = project.chance.choice([0, 0, 0, 200 * 10**9, -200 * 10**9, 50 * DAY_NS])
        """Of its clock, which nobody has set right if it is much."""
        self.most = project.chance.choice([None, None, 6, 20])
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
            after=None if self.most is None else self.project.after,
            budget=Budget(self.most),
        )
        try:
            told = await collection.run()
        except (CannotCollect, Unavailable):
            return
        if self.most is not None:
            self.project.after = told.after
            self.project.happened["rounds of a part"] += told.after is not None

    # -- a clock -----------------------------------------------------------------------------

    def boot(self) -> float:
        return self.project.now_ns / 1e9

    def wall_ns(self) -> int:
        return self.project.now_ns + self._ahead_ns

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002
        raise AssertionError

    # -- a ledger ----------------------------------------------------------------------------

    async def read_on(self) -> None:
        await self._turn(self)
        for entry in self.project.log[self.state.seq :]:
            self.state.apply(entry)
        self._kept = frozenset(self.project.kept)

    def head(self) -> Seq:
        return Seq(self.state.seq)

    def newest_ns(self) -> int:
        return self.project.past[self.state.seq][0]

    def retention_days(self) -> int:
        return rules.DEFAULT_RETENTION_DAYS

    def collected_up_to(self) -> Seq:
        return collected_in(self.state.facts.get(COLLECTED))

    def lists(self) -> dict[bytes, Condemned]:
        return self.state.lists()

    async def needed(self) -> set[BlockId]:
        needed = set(self.state.files.values())
        for seq in self._kept:
            needed |= self.project.past[seq][1]
        for pieces in self.project.checkpoints.values():
            needed |= pieces
        await self._turn(self)
        return needed

    def named_behind(self, seq: Seq) -> set[BlockId]:
        return set().union(*self.state.touched[seq:])

    async def outdated_checkpoints(self) -> list[Seq]:
        return rules.outdated_checkpoints(
            {Seq(seq): self.project.past[seq][0] for seq in self.project.checkpoints},
            self.wall_ns(),
            rules.DEFAULT_RETENTION_DAYS,
        )

    async def delete_checkpoints(self, seqs: Sequence[Seq]) -> int:
        for seq in seqs:
            await self._turn(self)
            self.project.checkpoints.pop(seq, None)
            self.project.happened["checkpoints deleted"] += 1
        return len(seqs)

    async def commit(self, facts: Mapping[bytes, bytes | None]) -> bool:
        seq = self.state.seq + 1
        before = self.state.lists()
        await self._turn(self)
        if not self.project.add(seq, Entry({}, facts)):
            self.project.happened["entries of collectors that came second"] += 1
            return False
        for name, value in facts.items():
            if name.startswith(CONDEMNED):
                after = None if value is None else condemned_in(name, value)
                was, now = (
                    len(each.ids) // 32 if each else 0 for each in (before.get(name), after)
                )
                what = "final" if name in before else "listed"
                self.project.happened[f"blocks {what}"] += now
                self.project.happened["blocks taken back"] += max(0, was - now)
        return True

    # -- objects -----------------------------------------------------------------------------

    async def page(
        self,
        project: ProjectId,  # noqa: ARG002  # there is one
        after: BlockId | None,
    ) -> BlockPage:
        await self._turn(self)
        ids = sorted(block for block in self.project.bucket if after is None or block > after)[:3]
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
            await self._turn(self)  # each may be the last, and any amount of time passes before it
            self.project.bucket.discard(block)
            self.project.happened["blocks deleted"] += 1
            gone.append(bytes(block))
        return BlocksDeleted(gone, [], "")
