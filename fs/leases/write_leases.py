"""Files that one workstation has for itself: while a program has them open for writing, or a person says so.

The first who opens such a file for writing takes its lease by an entry of the log, and gives it back
some time after the last handle is closed and all that was written is committed. Everybody else is
refused meanwhile, and told who has it. Who loses the lease goes on in a conflict copy: what waits is
laid aside by the rebase (fs/replica/pending/rebase.py), what is written later by `OpenFiles.fence`.
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.errors import (
    FsError,
    HeldElsewhere,
    Invalid,
    LeaseUndecided,
    NoAttribute,
    ReadOnlyHere,
)
from lucidnode.fs.files.opening import HOLDER_XATTR
from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.leases.lease_row import NOBODY
from lucidnode.fs.leases.standstill import Standstill
from lucidnode.fs.leases.write_lease import WriteLease
from lucidnode.fs.leases.write_lease_rows import WRITE_TTL_S, WriteLeaseRows
from lucidnode.fs.replica.inode import InodeNo, Kind
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.supervision import Tasks

log = logging.getLogger(__name__)

ANSWER_S = 5.0
"""How long `open` waits for the bucket's word on who has a file, while nothing is heard of the log."""

ORDER_S = 30.0
"""How long somebody who takes, releases or breaks a lock by hand waits for it, and `open` in any case."""

LINGER_S = 2.0
"""How long a file stays ours when no program has it open for writing any more: many save in several steps."""

YOUNG_S = 0.75
"""A file that was made here is taken once a program has had it open that long, or syncs it: before others
see its name, which waits for its content for a second (fs/write/shipments.py). So those that are written
and closed at once cost no entry."""

RENEW_WITHIN_S = 60.0
"""What is held is renewed, by any entry, once it lasts no longer than this."""

_TICK_S = 1.0
_ALONE_S = 10.0
_TOLD_S = 15 * 60.0

Elsewhere = Literal["read-only", "busy"]
"""What `open` for writing says of a file that another workstation has: EACCES, so that programs open it
for reading, or EBUSY."""


@dataclass(frozen=True, slots=True)
class LockOnOpen:
    """Which files are locked when they are opened for writing, by their names, and what others get.

    With *alone_when_away* they are opened also while there is no bucket to ask.
    """

    patterns: Sequence[str]
    elsewhere: Elsewhere
    alone_when_away: bool


class WriteLeases:
    """The write leases of one mount: its `Opening`. Keep `run` running."""

    def __init__(
        self,
        *,
        work: WorkHere,
        committer: Committer,
        commit_file: Callable[[InodeNo], Awaitable[None]],
        settled: Callable[[], Coroutine[None, None, None]],
        policy: LockOnOpen,
        tasks: Tasks,
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        """Take what it works with.

        *commit_file* commits a file's content; *settled* returns once the kernel shows what others did.
        """
        self._work = work
        self._tree = work.replica.tree
        self._open = work.open_files
        self._life = committer.life
        self._commit_file = commit_file
        self._settled = settled
        self._policy = policy
        self._names = re.compile("|".join(map(fnmatch.translate, policy.patterns)) or r"(?!)")
        self._tasks = tasks
        self._alerts = alerts
        self._clock = clock
        self.rows = WriteLeaseRows(work.replica, work.device, committer, clock)
        self._wanting: Counter[InodeNo] = Counter()
        self._held: set[InodeNo] = set()
        """What the log said to be ours when it was last looked at."""
        self._new: dict[InodeNo, float] = {}
        """Files that were made here, and are open since then."""
        self._alone: dict[InodeNo, float] = {}
        """Files that are opened without a lease, and until when."""
        self._giving: set[InodeNo] = set()
        self._given: set[InodeNo] = set()
        """Files that we have said to have no more, though that may not be committed yet."""
        self._used_at: dict[InodeNo, float] = {}
        self._told_of: set[InodeNo] = set()
        """Files of which somebody here was told that another has them."""
        self._life.watch(self._told)

    # -- who opens ---------------------------------------------------------------------------

    def admits(self, ino: InodeNo) -> bool:
        """Tell whether *ino* may be opened for writing here and now, without asking anybody."""
        row = self.rows.of(ino)
        if row is not None and row.holder not in {NOBODY, self._work.device}:
            return False
        if self._open.is_fenced(ino):
            return False
        # One that was made here and closed is like any other: others may see it by now.
        if self.rows.holds(ino) or (ino in self._new and self._open.is_written(ino)):
            return True
        if (row is None or row.holder == NOBODY) and not self._is_meant(ino):
            return True
        return self._alone.get(ino, 0.0) > self._clock.boot()

    async def admitted(self, ino: InodeNo) -> None:
        """Return once `admits` may hold.

        Raises HeldElsewhere, or LeaseUndecided where the bucket does not answer and that matters.
        """
        standstill = Standstill(self._work.replica, self._life, self._clock)
        ends_at = self._clock.boot() + ORDER_S
        self._wanting[ino] += 1
        try:
            while not self.admits(ino):
                self._refuse_held(ino)
                stands_s = standstill.lasts_s(asked=self.rows.changes(ino))
                if stands_s >= ANSWER_S or self._clock.boot() >= ends_at:
                    self._go_alone(ino)
                    return
                self.rows.ask_for(ino, taken=False)
                await self.rows.news()
            await self._show_what_others_did()
        finally:
            self._wanting -= Counter([ino])
            self._used_at[ino] = self._clock.boot()

    def created(self, ino: InodeNo, name: bytes) -> None:
        """Note that a program has made *ino* just now, and has it open for writing."""
        if self._matches(name):
            self._new[ino] = self._clock.boot()
            self.rows.look_again()

    def shown_unclosed(self, ino: InodeNo) -> None:
        """Take *ino* if it was made here and is open: others are about to see what is written to it."""
        if ino in self._new and self._open.is_written(ino):
            self.rows.ask_for(ino, taken=False)

    def check_free(self, ino: InodeNo) -> None:
        """Raise HeldElsewhere if another workstation has *ino* for itself."""
        if (row := self.rows.other(ino)) is not None:
            raise self._refusal(ino, row)

    def follow(self, replaced: InodeNo, parent: InodeNo, name: bytes) -> None:
        """Have what we hold of *replaced* go over to the file *name*, which is put in its place by a save."""
        row = self.rows.of(replaced)
        if row is None or row.holder != self._work.device:
            return
        by = self._tree.lookup(parent, name)
        if by is not None and by.kind is Kind.FILE and self.rows.of(by.ino) is None:
            same = msgspec.structs.replace(row, fence=1)
            self.rows.change(by.ino, None, same, claims=True)
            self._used_at[by.ino] = self._clock.boot()

    def shown(self, ino: InodeNo, name: bytes) -> bytes:
        """Return whether *ino* is `open` for writing or `taken` somewhere, or the name of where.

        Raises NoAttribute if it is neither.
        """
        row = self.rows.of(ino)
        if row is None or row.holder == NOBODY:
            raise NoAttribute(name.decode(errors="replace"))
        if name == HOLDER_XATTR:
            return self._work.device_name(row.holder).encode()
        return b"taken" if row.taken else b"open"

    def _is_meant(self, ino: InodeNo) -> bool:
        return any(self._matches(name) for _, name in self._tree.names_of(ino))

    def _matches(self, name: bytes) -> bool:
        return self._names.match(name.decode(errors="replace").lower()) is not None

    def _refuse_held(self, ino: InodeNo) -> None:
        self.check_free(ino)
        if self._open.is_fenced(ino):
            raise HeldElsewhere("it is open here since before its lock was lost: close it first")

    def _refusal(self, ino: InodeNo, row: WriteLease) -> HeldElsewhere:
        """Tell people that another has *ino*; return what the program is told."""
        who = self._work.device_name(row.holder)
        path = self._tree.shown_path(ino)
        state = "is locked by" if row.taken else "is open for writing on"
        self._told_of.add(ino)
        self._alerts.begin(
            f"held:{ino}",
            f"{path} {state} {who}, so programs here cannot write to it.",
            f"Ask there to let it go, or run `lucidnode lock break` with its path: what is written "
            f"on {who} after that becomes a conflict copy.",
            lasts_s=_TOLD_S,
        )
        reads = self._policy.elsewhere == "read-only"
        return (ReadOnlyHere if reads else HeldElsewhere)(f"{path} {state} {who}")

    def _go_alone(self, ino: InodeNo) -> None:
        if not self._policy.alone_when_away:
            raise LeaseUndecided("the bucket does not answer")
        self._alone[ino] = self._clock.boot() + _ALONE_S
        self._alerts.begin(
            "write-leases",
            "The bucket does not answer, so files are opened for writing that somebody else may have.",
            "What two workstations change meanwhile becomes two files: look for conflict copies.",
            lasts_s=_TOLD_S,
        )

    async def _show_what_others_did(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._settled()
        except TimeoutError as error:
            raise LeaseUndecided("the kernel still shows what the file was before") from error

    # -- what people order -------------------------------------------------------------------

    async def ordered(self, ino: InodeNo, order: bytes) -> None:
        """Take, release or break the lease of *ino* for a person; return once that is committed.

        Raises Invalid, HeldElsewhere, LeaseUndecided, ReadOnly or NoSpace.
        """
        found = self._tree.attributes(ino)
        if found is None or found.kind is not Kind.FILE:
            raise Invalid("only files can be locked")
        steps: dict[bytes, Callable[[InodeNo], bool]] = {
            b"take": self._take,
            b"release": self._release_taken,
            b"break": self._break,
        }
        if order not in steps:
            raise Invalid("only take, release and break can be ordered")
        ends_at = self._clock.boot() + ORDER_S
        self._wanting[ino] += 1
        try:
            while not steps[order](ino):
                if self._clock.boot() >= ends_at:
                    if order == b"take":
                        self._take_back(ino)
                    raise LeaseUndecided("the bucket does not answer")
                await self.rows.news()
        except ReadOnlyHere as error:
            raise HeldElsewhere(str(error)) from None
        finally:
            self._wanting -= Counter([ino])

    def _take(self, ino: InodeNo) -> bool:
        row = self.rows.of(ino)
        if row is not None and row.taken and self.rows.holds(ino) and not self.rows.changes(ino):
            return True
        self._refuse_held(ino)
        self.rows.ask_for(ino, taken=True)
        return False

    def _take_back(self, ino: InodeNo) -> None:
        """Have what was asked for in vain be nobody's, should it come to be committed."""
        row = self.rows.ours().get(ino)
        if row is not None and row.taken:
            self.rows.change(ino, row, row.with_taken(taken=False))

    def _release_taken(self, ino: InodeNo) -> bool:
        row = self.rows.of(ino)
        if row is not None and row.holder not in {NOBODY, self._work.device}:
            raise self._refusal(ino, row)
        if self.rows.changes(ino):
            return False
        if row is None or not row.taken:
            return True
        if self._open.is_written(ino) or self._work.replica.pending.is_pending(ino):
            self.rows.change(ino, row, row.with_taken(taken=False))
        else:
            self._end(ino, row)
        return False

    def _break(self, ino: InodeNo) -> bool:
        row = self.rows.of(ino)
        if self.rows.changes(ino):
            return False
        if row is None or row.holder == NOBODY:
            return True
        self.rows.change(ino, row, row.broken(), claims=True)
        return False

    # -- what is held ------------------------------------------------------------------------

    async def run(self) -> None:
        """Renew what is in use, take what stays open, and give back the rest, until cancelled."""
        while True:
            self._take_what_stays_open()
            self._renew()
            self._give_what_is_unused()
            await self.rows.news(self._next_look_s())

    def resign(self) -> None:
        """Say with the next entry that we hold nothing any more, but for what is not committed: the mount ends."""
        for ino, row in self.rows.ours().items():
            if not self._work.replica.pending.is_pending(ino):
                self._end(ino, row)

    def _told(self) -> None:
        """Look what has become of our leases, in the step in which the log went on."""
        self.rows.told()
        rows = self.rows.all()
        ours = self.rows.ours().keys()
        for ino in self._held - ours - self._given:
            self._lost(ino, rows.get(ino))
        for ino, row in rows.items():
            if row.holder not in {NOBODY, self._work.device} and self._is_open_here(ino):
                self._new.pop(ino, None)
                self._lost(ino, row)
        self._given -= ours
        self._held = {ino for ino in ours if not self.rows.changes(ino) or ino in self._held}
        for ino in [ino for ino in self._told_of if self.rows.other(ino) is None]:
            self._told_of.discard(ino)
            self._alerts.end(f"held:{ino}")

    def _is_open_here(self, ino: InodeNo) -> bool:
        """Tell whether programs have *ino* open for writing that have not been told that it is another's."""
        return (
            self._open.is_open(ino) and self._open.is_written(ino) and not self._open.is_fenced(ino)
        )

    def _end(self, ino: InodeNo, row: WriteLease) -> None:
        self._given.add(ino)
        self.rows.change(ino, row, None, claims=True)

    def _lost(self, ino: InodeNo, row: WriteLease | None) -> None:
        """Keep apart from *ino* what programs here write from now on: it is another's, or nobody's."""
        found = self._tree.attributes(ino)
        if found is None or found.nlink == 0:
            return
        self._open.fence(ino)
        path = self._tree.shown_path(ino)
        cause = f"Somebody broke the lock that this workstation had on {path}."
        if row is not None and row.holder != NOBODY:
            cause = f"{path} belongs to {self._work.device_name(row.holder)} now, and is open here for writing as well."
        self._alerts.begin(
            f"lock-lost:{ino}",
            cause,
            "Close it in the programs that have it open here; what they write from now on becomes a conflict copy.",
            lasts_s=EVENT_S,
        )

    def _is_used(self, ino: InodeNo) -> bool:
        return self._wanting[ino] > 0 or self._open.is_written(ino)

    def _take_what_stays_open(self) -> None:
        now = self._clock.boot()
        for ino, made_at in list(self._new.items()):
            if not self._open.is_written(ino) or self.rows.holds(ino):
                del self._new[ino]
            elif now - made_at >= YOUNG_S:
                self.rows.ask_for(ino, taken=False)

    def _next_look_s(self) -> float:
        """Return in how many seconds a file that was made here is to be taken, a second at most."""
        now = self._clock.boot()
        ages = (now - made_at for made_at in self._new.values())
        return min((YOUNG_S - age for age in ages if age < YOUNG_S), default=_TICK_S)

    def _renew(self) -> None:
        if self._life.ours_for(WRITE_TTL_S) > RENEW_WITHIN_S:
            return
        for ino, row in self.rows.ours().items():
            if row.taken or self._is_used(ino):
                if not self.rows.changes(ino):
                    self.rows.change(ino, row, row.renewed())
                return

    def _give_what_is_unused(self) -> None:
        now = self._clock.boot()
        ours = self.rows.ours()
        for ino, row in ours.items():
            if row.taken or self._is_used(ino):
                self._used_at[ino] = now
            elif now - self._used_at.get(ino, 0.0) >= LINGER_S and ino not in self._giving:
                self._giving.add(ino)
                _ = self._tasks.create_task(self._give(ino), name="giving a write lease back")
        self._used_at = {ino: at for ino, at in self._used_at.items() if ino in ours}
        self._alone = {ino: until for ino, until in self._alone.items() if until > now}

    async def _give(self, ino: InodeNo) -> None:
        try:
            await self._commit_file(ino)
            row = self.rows.ours().get(ino)
            if row is None or row.taken or self._is_used(ino):
                return
            while self.rows.changes(ino):
                await self.rows.news()
            if self.rows.of(ino) == row and not self._is_used(ino):
                self._end(ino, row)
            while self.rows.changes(ino):
                await self.rows.news()
        except (FsError, NodeError, OSError) as error:
            log.warning("the write lease of inode %d stays here for now: %s", ino, error)
        finally:
            self._giving.discard(ino)
            self._used_at[ino] = self._clock.boot()
