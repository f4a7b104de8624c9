"""One round of a collection: what is final goes, what has stood is final, what is unused is listed.

Any number of rounds may run at the same time, on any workstations; each may die or sleep between any
two steps. docs/design/0016-collection.md says why nothing that is used is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lucidnode.fs.collection import rules
from lucidnode.fs.collection.budget import Budget
from lucidnode.fs.errors import CannotCollect
from lucidnode.fs.format.project_facts import (
    COLLECTED,
    LISTED_BLOCKS,
    CollectedUpTo,
    Condemned,
    encoded_fact,
    list_name,
    listed,
)
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.wire import BlockPage, BlocksDeleted

MAX_SKEW_S = 300.0
"""Seconds that the clock of this machine may differ from the store's; beyond it nothing is done."""

MAX_BEHIND_NS = rules.DAY_NS
"""By how much it may be behind the newest entry, where the store has no clock of its own."""

FRESH_S = 600.0
"""Seconds after which the journal is read again before anything more is deleted."""

MAX_DELETED = 100_000
"""Objects that one round deletes at most, a request each; the next goes on."""

_LISTS_AT_ONCE = 8
"""Lists that one entry changes: 64,000 bytes each, twice where they change."""

_DELETED_AT_ONCE = 500

_ATTEMPTS = 100
"""Entries that others may get in ahead of ours, before this round gives up."""


class CollectionLedger(Protocol):
    """The journal of one project, and the state that it leads to (PastLedger)."""

    async def read_on(self) -> None:
        """Stand on the newest entry. Raises a NodeError or an FsError."""

    def head(self) -> Seq:
        """Return the entry that all answers are about."""

    def newest_ns(self) -> int:
        """Return when the newest entry was made, by its maker's clock; 0 if there is none."""

    def retention_days(self) -> int:
        """Return for how many days the past is kept."""

    def collected_up_to(self) -> Seq:
        """Return from where on the past is whole."""

    def lists(self) -> dict[bytes, Condemned]:
        """Return the lists of condemned blocks, by their names."""

    async def needed(self) -> set[BlockId]:
        """Return every block that the state, a point that is kept, or a checkpoint lies in."""

    def named_behind(self, seq: Seq) -> set[BlockId]:
        """Return every block that entries behind *seq* named, or took from a file."""

    async def outdated_checkpoints(self) -> list[Seq]:
        """Return the checkpoints that nobody begins with any more."""

    async def delete_checkpoints(self, seqs: Sequence[Seq]) -> int:
        """Delete these; return how many of them the store has let go."""

    async def commit(self, facts: Mapping[bytes, bytes | None]) -> bool:
        """Make the entry right behind `head` that says *facts*; False if another came first."""


class Objects(Protocol):
    """The objects in the bucket (DaemonCollection)."""

    async def page(self, project: ProjectId, after: BlockId | None) -> BlockPage:
        """Return blocks behind *after*."""

    async def delete(self, project: ProjectId, blocks: Sequence[BlockId]) -> BlocksDeleted:
        """Delete *blocks*."""


@dataclass(slots=True)
class Amount:
    """Some blocks: how many, and their bytes in the bucket."""

    blocks: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count one more."""
        self.blocks += 1
        self.bytes += size


@dataclass(slots=True)
class Round:
    """What a round found and did; or would do.

    *condemned* are listed from now on, *standing* were before and are not due before *due_ns*,
    *final* are the last word from now on, *waiting* were so before and go after their grace. *left*
    are final and not deleted yet, since this round has done enough.
    """

    stored: Amount = field(default_factory=Amount)
    used: Amount = field(default_factory=Amount)
    condemned: Amount = field(default_factory=Amount)
    standing: Amount = field(default_factory=Amount)
    final: Amount = field(default_factory=Amount)
    waiting: Amount = field(default_factory=Amount)
    deleted: Amount = field(default_factory=Amount)
    refused: Amount = field(default_factory=Amount)
    left: Amount = field(default_factory=Amount)
    checkpoints: int = 0
    """Old checkpoints that were deleted."""
    due_ns: int = 0
    next_ns: int = 0
    """When there will be something to do though nothing is committed, 0 if never."""
    entries: int = 0
    """Entries that were made."""
    why: str = ""
    """What the store said about the objects that it *refused* to delete."""
    after: BlockId | None = None
    """The block behind which the next round looks; None is the first: all were looked at."""


class Collection:
    """Collects one project. With *dry*, nothing is written or deleted.

    It looks at blocks behind *after*, as far as *budget* lasts: half of it is for looking. Where
    *nobody_asked*, no list is final by the word of a clock that the store's does not confirm.
    """

    def __init__(
        self,
        project: ProjectId,
        ledger: CollectionLedger,
        objects: Objects,
        clock: Clock,
        progress: Callable[[str], None],
        *,
        dry: bool,
        after: BlockId | None = None,
        budget: Budget | None = None,
        nobody_asked: bool = False,
    ) -> None:
        self._nobody_asked = nobody_asked
        self._after = after
        self._budget = budget or Budget(None)
        self._project = project
        self._ledger = ledger
        self._objects = objects
        self._clock = clock
        self._progress = progress
        self._dry = dry
        self._sizes: dict[BlockId, int] = {}
        self._told = Round()

    async def run(self) -> Round:
        """Do one round. Raises CannotCollect, another FsError or a NodeError; the next goes on."""
        skew_s = await self._look()
        await self._ledger.read_on()
        self._check_clock(skew_s)
        await self._delete_checkpoints()
        needed = await self._ledger.needed()
        for block, size in self._sizes.items():
            self._told.stored.add(size)
            if block in needed:
                self._told.used.add(size)
        await self._delete(needed)
        if skew_s is not None or not self._nobody_asked:
            await self._make_final()
        await self._condemn()
        self._told.next_ns = self._next_ns()
        return self._told

    def _next_ns(self) -> int:
        now_ns, days = self._clock.wall_ns(), self._ledger.retention_days()
        if self._told.left.blocks:
            return now_ns
        steps = [rules.next_step_ns(each, days) for each in self._ledger.lists().values()]
        return min((step for step in steps if step > now_ns), default=0)

    async def _look(self) -> float | None:
        """Learn what lies in the bucket; return how far ahead the store's clock is."""
        after = self._after
        while True:
            self._budget.spend()
            page = await self._objects.page(self._project, after)
            ids = [BlockId(each) for each in page.ids]
            self._sizes.update(zip(ids, page.sizes, strict=True))
            self._progress(f"looking at the bucket: {len(self._sizes):,} blocks")
            if page.is_last:
                return page.skew_s
            after = ids[-1]
            if self._budget.is_half_spent():
                self._told.after = after
                return page.skew_s

    def _check_clock(self, skew_s: float | None) -> None:
        now_ns = self._clock.wall_ns()
        if skew_s is not None and abs(skew_s) > MAX_SKEW_S:
            raise CannotCollect(
                "the clock of this machine differs from the store's by more than five minutes: set "
                "it right"
            )
        if skew_s is None and self._ledger.newest_ns() - now_ns > MAX_BEHIND_NS:
            raise CannotCollect(
                "the clock of this machine is more than a day behind the newest version: set it right"
            )

    async def _delete_checkpoints(self) -> None:
        """Delete old manifests: their pieces are unused then, and go as all blocks do."""
        outdated = await self._ledger.outdated_checkpoints()
        outdated = outdated[: self._budget.left(MAX_DELETED)]
        if self._dry or not outdated:
            self._told.checkpoints = len(outdated)
            return
        self._progress(f"deleting old checkpoints: {len(outdated):,}")
        self._budget.spend(len(outdated))
        self._told.checkpoints = await self._ledger.delete_checkpoints(outdated)

    # -- what is final goes ------------------------------------------------------------------

    async def _delete(self, needed: set[BlockId]) -> None:
        now_ns, read = self._clock.wall_ns(), self._clock.boot()
        gone = rules.may_be_deleted(self._sizes, self._ledger.lists().values(), needed, now_ns)
        most = self._budget.left(MAX_DELETED)
        for block in gone[most:]:
            self._told.left.add(self._sizes[block])
        gone = gone[:most]
        for start in range(0, len(gone), _DELETED_AT_ONCE):
            some = gone[start : start + _DELETED_AT_ONCE]
            if self._dry:
                for block in some:
                    self._told.deleted.add(self._sizes[block])
                continue
            if self._clock.boot() - read > FRESH_S:
                await self._ledger.read_on()
                needed, read = await self._ledger.needed(), self._clock.boot()
                some = [block for block in some if block not in needed]
            self._progress(f"deleting: {len(gone) - start:,} blocks left")
            self._budget.spend(len(some))
            answer = await self._objects.delete(self._project, some)
            for each in answer.deleted:
                self._told.deleted.add(self._sizes.pop(BlockId(each)))
            for each in answer.refused:
                self._told.refused.add(self._sizes[BlockId(each)])
            self._told.why = answer.why or self._told.why
            if some and len(answer.refused) == len(some):
                # It is us whom the store does not let delete: it need not be asked for each.
                for block in gone[start + len(some) :]:
                    self._told.left.add(self._sizes[block])
                break
        self._count_waiting(now_ns)

    def _count_waiting(self, now_ns: int) -> None:
        for found in self._ledger.lists().values():
            if found.is_final and now_ns - found.final_ns < rules.GRACE_NS:
                for block in found.blocks():
                    if block in self._sizes:
                        self._told.waiting.add(self._sizes[block])

    # -- what has stood is final -------------------------------------------------------------

    async def _make_final(self) -> None:
        for _ in range(_ATTEMPTS):
            now_ns, days = self._clock.wall_ns(), self._ledger.retention_days()
            due = {
                name: found
                for name, found in self._ledger.lists().items()
                if rules.is_due(found, now_ns, days)
            }
            if not due or not self._budget.has_entry():
                break
            self._progress(f"looking at what has stood for {days} days")
            some = dict(list(due.items())[:_LISTS_AT_ONCE])
            if self._dry:
                some = due
            needed = await self._ledger.needed()
            named = self._ledger.named_behind(Seq(min(found.seq for found in some.values())))
            changed = {
                name: rules.final(found, named, needed, now_ns) for name, found in some.items()
            }
            if self._dry:
                self._count_final(changed)
                break
            facts = {
                name: None if found is None else encoded_fact(found)
                for name, found in changed.items()
            }
            whole = max(
                self._ledger.collected_up_to(),
                *(found.seq for found in changed.values() if found is not None),
                0,
            )
            facts[COLLECTED] = encoded_fact(CollectedUpTo(whole))
            self._budget.spend_entry()
            if await self._ledger.commit(facts):
                self._told.entries += 1
                self._count_final(changed)
            await self._ledger.read_on()
        else:
            raise CannotCollect("others were quicker all the time: try again when less is going on")
        self._count_standing()

    def _count_final(self, changed: Mapping[bytes, Condemned | None]) -> None:
        for found in changed.values():
            for block in found.blocks() if found is not None else ():
                if block in self._sizes:
                    self._told.final.add(self._sizes[block])

    def _count_standing(self) -> None:
        days = self._ledger.retention_days()
        standing = [
            found
            for found in self._ledger.lists().values()
            if not found.is_final and not rules.is_due(found, self._clock.wall_ns(), days)
        ]
        for found in standing:
            for block in found.blocks():
                if block in self._sizes:
                    self._told.standing.add(self._sizes[block])
        self._told.due_ns = min((rules.due_ns(found, days) for found in standing), default=0)

    # -- what is unused is listed ------------------------------------------------------------

    async def _condemn(self) -> None:
        for _ in range(_ATTEMPTS):
            needed = await self._ledger.needed()
            unused = rules.may_be_condemned(self._sizes, needed, self._ledger.lists().values())
            if not unused or not self._budget.has_entry():
                return
            self._progress(f"listing what is unused: {len(unused):,} blocks")
            some = unused if self._dry else unused[: LISTED_BLOCKS * _LISTS_AT_ONCE]
            self._budget.spend_entry()
            if not self._dry and not await self._ledger.commit(self._lists_of(some)):
                await self._ledger.read_on()
                continue
            self._told.entries += not self._dry
            for block in some:
                self._told.condemned.add(self._sizes[block])
            if self._dry:
                return
            await self._ledger.read_on()
        raise CannotCollect("others were quicker all the time: try again when less is going on")

    def _lists_of(self, blocks: Sequence[BlockId]) -> dict[bytes, bytes | None]:
        seq, now_ns = self._ledger.head(), self._clock.wall_ns()
        return {
            list_name(seq, start): encoded_fact(
                Condemned(seq, now_ns, 0, listed(blocks[start : start + LISTED_BLOCKS]))
            )
            for start in range(0, len(blocks), LISTED_BLOCKS)
        }
