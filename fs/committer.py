"""Puts this node's changes into the journal, and everybody's changes into the replica, in order.

Two loops share one replica. The sender makes an entry of what is pending and has the daemon
create it; the follower reads what comes after our head. Whichever sees the entry in the next slot
first settles it for both: if it is the one in flight, it is committed; if not, ours has lost, and
our work is rebased onto the winner's. "Unknown" settles nothing: the same bytes are sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Protocol

from lucidnode.fs.entry_codec import EntryCodec
from lucidnode.fs.errors import (
    BadEntry,
    EntryUnauthorised,
    FormatError,
    HistoryForked,
    KeyMissing,
    NewerFormat,
    NoSpace,
    ReadOnly,
    ReplicaError,
)
from lucidnode.fs.format.journal import Change
from lucidnode.fs.replica.changes import InFlight, Touched
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.journal import SIGNATURE_SIZE, entry_hash
from lucidnode.node.client.wire import CommitReply, CommitRequest

BATCH_SECONDS = 0.15
"""How long changes gather before they become an entry, if nobody waits for them."""

FRESH_SECONDS = 3600.0
"""How old our view of the head may be when we take a slot. Entries live at least 24 h, so within
this time no slot after our head can have been filled, collected and be free again."""

_POLL_SECONDS = (0.5, 5.0)
_RETRY_SECONDS = (0.5, 10.0)
_PUSHED_LIMIT = 64

_UNKNOWN = CommitReply("unknown", b"")


class JournalService(Protocol):
    """What the daemon does for a committer (DaemonClient)."""

    async def commit(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        """Have the entry signed and created as *seq*. Safe to call again with the same request."""

    async def entry(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return entry *seq* as it lies in the bucket, or None if there is none."""


class CommitHooks(Protocol):
    """What the rest of the mount does around commits."""

    def before_batch(self) -> None:
        """Bring what is not in the replica's pending work yet there: pack the tails."""

    def touched(self, touched: Touched) -> None:
        """Hear what an entry of another node changed."""

    def trouble(self, message: str) -> None:
        """Hear of something a person should know."""

    async def refresh_roster(self) -> None:
        """Read the roster again: an entry names a device or a key that we do not know."""


class Committer:
    """Runs both loops in `run`. Everything else may be called any time from the same loop."""

    def __init__(
        self,
        replica: Replica,
        journal: JournalService,
        project: ProjectId,
        codec: EntryCodec,
        hooks: CommitHooks,
        clock: Clock,
    ) -> None:
        self._replica = replica
        self._journal = journal
        self._project = project
        self._codec = codec
        self._hooks = hooks
        self._clock = clock
        # Held while an entry is settled, across the awaits that may take (roster, head).
        self._order = asyncio.Lock()
        self._pushed: dict[Seq, bytes] = {}
        self._hurry = asyncio.Event()
        self._work = asyncio.Event()
        self._news = asyncio.Event()
        self._progress = asyncio.Event()
        self._waiters = 0
        self._head_seen_at: float | None = None
        self._stopped: str | None = None
        self._told: dict[str, str] = {}
        replica.watch(self._work.set)

    # -- for the rest of the mount -----------------------------------------------------------

    async def run(self) -> None:
        """Commit and follow until cancelled; returns early only after `stopped` says why."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._send())

    @property
    def stopped(self) -> str | None:
        """Why this mount went read-only for good, or None."""
        return self._stopped

    def pushed(self, seq: Seq, entry: bytes) -> None:
        """Take an entry that a peer sent. It is believed only if it is authentic."""
        if seq > self._replica.head().seq and len(self._pushed) < _PUSHED_LIMIT:
            self._pushed[seq] = entry
        self._news.set()

    async def flush(self) -> None:
        """Return once everything done before this call is committed in the bucket.

        Waits as long as that takes; raises ReadOnly if it never will be.
        """
        self._hooks.before_batch()
        mark = self._replica.newest()
        self._waiters += 1
        self._hurry.set()
        try:
            while not self._replica.is_settled(mark):
                if self._stopped is not None:
                    raise ReadOnly(self._stopped)
                await self._progress.wait()
        finally:
            self._waiters -= 1

    # -- following ---------------------------------------------------------------------------

    async def _follow(self) -> None:
        pause = _POLL_SECONDS[0]
        while self._stopped is None:
            moved = await self._settling(self._catch_up())
            pause = _POLL_SECONDS[0] if moved else min(pause * 1.5, _POLL_SECONDS[1])
            await self._until(self._news, pause)

    async def _catch_up(self) -> bool:
        """Settle every entry there is after our head; tell whether there was one."""
        moved = False
        while True:
            self._news.clear()
            seq = Seq(self._replica.head().seq + 1)
            pushed = self._pushed.pop(seq, None)
            if pushed is not None and await self._settle(seq, pushed, pushed=True):
                moved = True
                continue
            asked_at = self._clock.boot()
            entry = await self._journal.entry(self._project, seq)
            if entry is not None:
                self._head_seen_at = asked_at
                moved = await self._settle(seq, entry) or moved
            elif self._replica.head().seq < seq:
                await self._nothing_after_head(asked_at)
                return moved

    async def _nothing_after_head(self, asked_at: float) -> None:
        if self._is_fresh():
            self._head_seen_at = asked_at
        else:
            # An empty slot proves nothing when the entries before it may be collected as well.
            await self._confirm_head()
        head = self._replica.head().seq
        self._pushed = {
            seq: entry
            for seq, entry in self._pushed.items()
            if seq > head and self._codec.is_authentic(entry, seq)
        }
        newest = max(self._pushed, default=head)
        if newest > self._replica.seen():
            self._replica.see(newest)
        if self._is_denied():
            self._tell("follow", f"the bucket does not show journal entry {head + 1}")
        else:
            self._told.pop("follow", None)

    def _is_denied(self) -> bool:
        """Tell whether entries are known to exist that the bucket does not give us."""
        return self._replica.seen() > self._replica.head().seq

    # -- sending -----------------------------------------------------------------------------

    async def _send(self) -> None:
        pause = _RETRY_SECONDS[0]
        while self._stopped is None:
            if self._replica.in_flight() is None:
                await self._gathered()
            if await self._settling(self._send_once()):
                pause = _RETRY_SECONDS[0]
            else:
                await self._until(self._progress, pause)
                pause = min(pause * 2, _RETRY_SECONDS[1])

    async def _gathered(self) -> None:
        """Return when there is something to commit, after letting more of it gather."""
        while not self._replica.has_work():
            self._work.clear()
            await self._work.wait()
        self._hurry.clear()
        if not self._waiters:
            await self._until(self._hurry, BATCH_SECONDS)

    async def _send_once(self) -> bool:
        """Send one entry; tell whether its slot is settled."""
        if not self._is_fresh():
            await self._confirm_head()
        if self._is_denied():
            return False
        flight = self._replica.in_flight() or self._prepared()
        if flight is None:
            self._progressed()
            await asyncio.sleep(0)
            return True
        # After a power cut we must know our own entry, or we would do its work a second time.
        await self._replica.barrier()
        reply = await self._reply(flight)
        if reply.outcome != "unknown":
            await self._settle(flight.seq, reply.body)
        return self._replica.head().seq >= flight.seq

    def _prepared(self) -> InFlight | None:
        # No await in here: what is packed, batched and sealed is one state.
        self._hooks.before_batch()
        batch = self._replica.next_batch()
        if batch is None:
            return None
        unsigned = self._codec.seal(batch, self._clock.wall_ns())
        return self._replica.set_in_flight(batch, unsigned)

    async def _reply(self, flight: InFlight) -> CommitReply:
        """Return the daemon's reply, or "unknown" once the follower has settled the slot.

        A reply may take as long as the uploads of a film, and others go on meanwhile.
        """
        request = CommitRequest(flight.unsigned, [bytes(block) for block in flight.needs])
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._asked(flight.seq, request))
            settled = group.create_task(self._until_settled(flight.seq))
            await asyncio.wait({asking, settled}, return_when=asyncio.FIRST_COMPLETED)
            reply = asking.result() if asking.done() else _UNKNOWN
            asking.cancel()
            settled.cancel()
        return reply

    async def _asked(self, seq: Seq, request: CommitRequest) -> CommitReply:
        try:
            return await self._journal.commit(self._project, seq, request)
        except NodeError as error:
            self._tell("send", f"changes cannot be committed now: {error}")
            return _UNKNOWN

    async def _until_settled(self, seq: Seq) -> None:
        while self._replica.head().seq < seq and self._stopped is None:
            await self._progress.wait()

    # -- settling ----------------------------------------------------------------------------

    async def _settle(self, seq: Seq, entry: bytes, *, pushed: bool = False) -> bool:
        """Stand on *entry* if it is the next one; tell whether we do.

        A bad entry in the bucket counts as empty. A bad one that was pushed counts as nothing: it
        says nothing of the bucket.
        """
        async with self._order:
            head = self._replica.head()
            if seq != head.seq + 1:
                return False
            try:
                change = await self._opened(entry, seq, head.hash)
            except BadEntry as error:
                if pushed:
                    return False
                self._hooks.trouble(f"a journal entry was skipped: {error}")
                change = None
            flight = self._replica.in_flight()
            ours = flight is not None and entry[:-SIGNATURE_SIZE] == flight.unsigned
            if ours and change is not None:
                if not self._is_fresh():
                    await self._confirm_head()
                self._replica.settled_committed(seq, entry_hash(entry))
                self._told.clear()
            else:
                self._adopt(seq, entry, change)
            self._progressed()
        if ours and change is None:
            # To try again would only fill the journal with entries that nobody accepts.
            self._stop("the journal entries of this device are not accepted")
        return True

    def _adopt(self, seq: Seq, entry: bytes, change: Change | None) -> None:
        touched = self._replica.apply_entry(
            seq, entry_hash(entry), None if change is None else change.changeset
        )
        if touched.refused is not None:
            self._hooks.trouble(f"journal entry {seq} was skipped: {touched.refused}")
        self._hooks.touched(touched)

    async def _opened(self, entry: bytes, seq: Seq, previous: bytes) -> Change:
        try:
            return self._codec.open(entry, seq, previous)
        except (EntryUnauthorised, KeyMissing):
            await self._hooks.refresh_roster()
            return self._codec.open(entry, seq, previous)

    async def _confirm_head(self) -> None:
        """See in the bucket that our head is still part of the history; raises HistoryForked."""
        asked_at = self._clock.boot()
        head = self._replica.head()
        if head.seq > 0:
            entry = await self._journal.entry(self._project, head.seq)
            if entry is None or entry_hash(entry) != head.hash:
                raise HistoryForked(
                    f"the bucket no longer has journal entry {head.seq} as this node has seen it"
                )
        self._head_seen_at = asked_at

    def _is_fresh(self) -> bool:
        seen_at = self._head_seen_at
        return seen_at is not None and self._clock.boot() - seen_at < FRESH_SECONDS

    # -- faults and waiting ------------------------------------------------------------------

    async def _settling(self, step: Coroutine[None, None, bool]) -> bool:
        """Run one *step* of a loop. Faults that pass make it False; the others stop the mount."""
        try:
            return await step
        except NoSpace as error:
            self._tell("record", f"changes cannot be recorded: {error}")
        except (HistoryForked, NewerFormat, ReplicaError) as error:
            self._stop(str(error))
        except (NodeError, FormatError) as error:
            self._tell("read", f"the journal cannot be read now: {error}")
        return False

    def _stop(self, reason: str) -> None:
        self._stopped = reason
        self._replica.stop(reason)
        self._hooks.trouble(f"{reason}. This project is read-only here until a person looks.")
        self._progressed()
        self._work.set()
        self._news.set()

    def _tell(self, what: str, message: str) -> None:
        """Report *message* about *what* once, until things work again."""
        if message != self._told.get(what):
            self._told[what] = message
            self._hooks.trouble(message)

    def _progressed(self) -> None:
        # Wakes everybody who waits now; those who come later wait for the next time.
        self._progress.set()
        self._progress = asyncio.Event()

    async def _until(self, event: asyncio.Event, seconds: float) -> None:
        """Return when *event* is set, or after *seconds*."""
        async with asyncio.TaskGroup() as group:
            waits = {
                group.create_task(event.wait()),
                group.create_task(self._clock.sleep(seconds)),
            }
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
