"""Puts this node's changes into the journal, and everybody's changes into the replica, in order.

Two loops share one replica. The sender makes an entry of what is pending and has the daemon
create it; the follower reads what comes after our head. Whichever sees the entry in the next slot
first settles it for both: if it is the one in flight, it is committed; if not, ours has lost, and
our work is rebased onto the winner's. "Unknown" settles nothing: the same bytes are sent again.

Nothing is decided for good on one look, and nothing on a peer's word: a hint makes us look, an
entry that fails its check is read again until it is proven to lie there, and the history has forked
only once our own head is proven to be gone. That ends when the head is there again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import NoReturn, Protocol

from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.errors import (
    BadEntry,
    EntryAstray,
    EntryUnannounced,
    EntryUnauthorised,
    FormatError,
    HistoryForked,
    KeyMissing,
    NoSpace,
    ReadOnly,
    ReplicaError,
)
from lucidnode.fs.format.journal import EntryBody
from lucidnode.fs.replica.changes import Head, InFlight, Touched
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.pending.batch_selection import Shipping
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.journal import SIGNATURE_SIZE, entry_hash, follows
from lucidnode.node.client.wire import CommitReply, CommitRequest, Slot

BATCH_INTERVAL_S = 0.15
"""How long changes gather before they become an entry, if nobody waits for them."""

FRESH_S = 60.0
"""How old our view of the head may be. An empty slot after it proves nothing: the bucket may have
lost its newest entries, or collected old ones while this workstation slept."""

POLL_INTERVAL_S = 1.0
"""How often to look whether what waits for programs and uploads may be committed by now, if nothing
is heard of it."""

FORKED_S = 30.0
"""How often the bucket is asked whether it has our head again."""

MISSING_S = 60.0
"""How long our head must be missing before this workstation is read-only: most of what a store, or
what answers in its place, makes of an entry is over sooner. Changes wait here meanwhile."""

_POLL_SECONDS = (0.5, 5.0)
_RETRY_SECONDS = (0.5, 10.0)

_UNKNOWN = CommitReply("unknown", b"")


@dataclass(frozen=True, slots=True)
class _Work:
    """What may fail for a while, and what a person hears of it."""

    topic: str
    cause: str
    remedy: str


_READ = _Work("journal:read", "The journal cannot be read now", "It is asked again by itself.")
_SEND = _Work(
    "journal:send",
    "Changes cannot be committed now",
    "They wait here, and are sent as soon as it is over.",
)
_RECORD = _Work(
    "journal:record",
    "Changes cannot be recorded",
    "Make room on the disk of the home directory.",
)


class JournalClient(Protocol):
    """What the daemon does for a committer (DaemonClient)."""

    async def commit(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        """Have the entry signed and created as *seq*. Safe to call again with the same request."""

    async def entry(self, project: ProjectId, seq: Seq) -> Slot | None:
        """Return what one look at slot *seq* shows, or None if there is nothing."""

    async def proven(self, project: ProjectId, seq: Seq) -> Slot | None:
        """Return what is proven to lie in slot *seq*, or None if nothing is."""


class CommitHooks(Protocol):
    """What the rest of the mount does around commits."""

    def before_batch(self) -> None:
        """Bring what is not in the replica's pending work yet there: pack the tails."""

    def touched(self, touched: Touched) -> None:
        """Hear what an entry of another node changed."""

    async def refresh_roster(self) -> None:
        """Read the roster again: an entry names a device or a key that we do not know."""


class Committer:
    """Runs both loops in `run`. Everything else may be called any time from the same loop."""

    def __init__(
        self,
        replica: Replica,
        journal: JournalClient,
        project: ProjectId,
        codec: EntryCodec,
        hooks: CommitHooks,
        alerts: Alerts,
        clock: Clock,
        shipping: Shipping | None = None,
        durable: Callable[[], Awaitable[None]] | None = None,
        arrived: asyncio.Event | None = None,
    ) -> None:
        """Take the parts it works with. *durable* waits until all that was done survives a power cut.

        With *shipping*, entries are made of what has arrived in the bucket; what has not holds up
        only what depends on it, and is looked at again when *arrived* is set. Without, each entry waits in the daemon for all that it needs.
        """
        self._replica = replica
        self._shipping = shipping
        self._durable = durable or replica.barrier
        self._journal = journal
        self._project = project
        self._codec = codec
        self._hooks = hooks
        self._alerts = alerts
        self._clock = clock
        # Held while an entry is settled, across the awaits that may take (roster, head).
        self._order = asyncio.Lock()
        self._hurry = asyncio.Event()
        self._work = asyncio.Event()
        self._stir = arrived or asyncio.Event()
        self._changes_seen = asyncio.Event()
        self._progress = asyncio.Event()
        self._waiters = 0
        self._head_seen_at: float | None = None
        self._missing: tuple[bytes, float] | None = None
        self._let_down = False
        self._stopped: str | None = None
        self._ended = False
        replica.watch(self._worked)

    # -- for the rest of the mount -----------------------------------------------------------

    async def run(self) -> None:
        """Commit and follow until cancelled; returns early only if that can never go on here."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._send())

    @property
    def stopped(self) -> str | None:
        """Why this mount is read-only, or None."""
        return self._stopped

    def hinted(self, seq: Seq) -> None:
        """Look soon: somebody says that entry *seq* exists, or that ours of that number is gone.

        Nothing else comes of it. A hint that led nowhere makes later ones wait for the next poll.
        """
        if self._let_down:
            return
        if seq <= self._replica.pending.head().seq:
            self._head_seen_at = None
        self._changes_seen.set()

    async def drain(self) -> None:
        """Do as `flush`, at the end of a mount: entries are made though blocks are on their way.

        The daemon goes on with the last of them when the mount is gone.
        """
        self._shipping = None
        self._stir.set()
        await self.flush()

    async def give_up(self, lost: Collection[BlockId]) -> tuple[str, ...]:
        """Go on without what needs a block that is *lost*; return the files that fell back."""
        async with self._order:
            given_up = self._replica.give_up(lost, self._clock.wall_ns())
        self._hooks.touched(given_up.touched)
        self._progressed()
        self._worked()
        return given_up.files

    async def flush(self, ino: InodeNo | None = None) -> None:
        """Return once everything done before this call is committed in the bucket, or *ino*'s part.

        Waits as long as that takes; raises ReadOnly if it never will be.
        """
        self._hooks.before_batch()
        mark = self._replica.pending.newest()
        self._waiters += 1
        self._hurry.set()
        self._stir.set()
        try:
            while not self._replica.pending.is_settled(mark, ino):
                if self._stopped is not None:
                    raise ReadOnly(self._stopped)
                await self._progress.wait()
        finally:
            self._waiters -= 1

    async def catch_up(self) -> bool:
        """Settle every entry there is after our head; tell whether there was one.

        `run` does this for a mount. Raises HistoryForked, another FsError or a NodeError.
        """
        moved = False
        self._changes_seen.clear()
        while True:
            seq = Seq(self._replica.pending.head().seq + 1)
            asked_at = self._clock.boot()
            slot = await self._journal.entry(self._project, seq)
            if slot is not None:
                moved = await self._settle(seq, slot) or moved
                self._head_seen_at = asked_at
            elif self._replica.pending.head().seq < seq:
                if not self._is_fresh():
                    await self._confirm_head()
                return moved

    # -- following ---------------------------------------------------------------------------

    async def _follow(self) -> None:
        pause = _POLL_SECONDS[0]
        while not self._ended:
            if self._stopped is not None:
                await self._clock.sleep(FORKED_S)
                await self._settling(_READ, self._head_is_back())
                continue
            hinted = self._changes_seen.is_set()
            moved = await self._settling(_READ, self.catch_up())
            self._let_down = hinted and not moved
            pause = _POLL_SECONDS[0] if moved else min(pause * 1.5, _POLL_SECONDS[1])
            await self._until(self._changes_seen, pause)

    # -- sending -----------------------------------------------------------------------------

    async def _send(self) -> None:
        pause = _RETRY_SECONDS[0]
        while not self._ended:
            if self._stopped is not None:
                await self._progress.wait()
                continue
            if self._replica.pending.in_flight() is None:
                await self._gathered()
            if await self._settling(_SEND, self._send_once()):
                pause = _RETRY_SECONDS[0]
            else:
                await self._until(self._progress, pause)
                pause = min(pause * 2, _RETRY_SECONDS[1])

    async def _gathered(self) -> None:
        """Return when there is something to commit, after letting more of it gather."""
        while not self._replica.pending.has_work():
            self._work.clear()
            await self._work.wait()
        self._hurry.clear()
        if not self._waiters:
            await self._until(self._hurry, BATCH_INTERVAL_S)

    async def _send_once(self) -> bool:
        """Send one entry; tell whether its slot is settled."""
        if not self._is_fresh():
            await self._confirm_head()
        self._stir.clear()
        flight = self._replica.pending.in_flight() or self._prepared()
        if flight is None:
            self._progressed()
            if self._replica.pending.has_work():
                await self._until(self._stir, POLL_INTERVAL_S)
            return True
        # After a power cut we must know our own entry, or we would do its work a second time; and
        # nothing that lies below it may be taken back.
        await self._durable()
        reply = await self._reply(flight)
        if reply.outcome == "unchained":
            await self._confirm_head()
        elif reply.body:
            await self._settle(flight.seq, Slot(entry_hash(reply.body), reply.body))
        return self._replica.pending.head().seq >= flight.seq

    def _prepared(self) -> InFlight | None:
        # No await in here: what is packed, batched and sealed is one state.
        self._hooks.before_batch()
        batch = self._replica.pending.next_batch(self._shipping)
        if batch is None:
            return None
        unsigned = self._codec.seal(batch, self._clock.wall_ns())
        return self._replica.pending.set_in_flight(batch, unsigned)

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
            reply = await self._journal.commit(self._project, seq, request)
        except NodeError as error:
            self._tell(_SEND, error)
            return _UNKNOWN
        if reply.why:
            self._tell(_SEND, Unavailable(reply.why))
        return reply

    async def _until_settled(self, seq: Seq) -> None:
        while self._replica.pending.head().seq < seq and self._stopped is None:
            await self._progress.wait()

    # -- settling ----------------------------------------------------------------------------

    async def _settle(self, seq: Seq, slot: Slot) -> bool:
        """Stand on what lies in *slot* if it is the next entry; tell whether we do."""
        async with self._order:
            if seq != self._replica.pending.head().seq + 1:
                return False
            slot, change = await self._judged(seq, slot)
            flight = self._replica.pending.in_flight()
            ours = (
                flight is not None
                and slot.body is not None
                and slot.body[:-SIGNATURE_SIZE] == flight.unsigned
            )
            if ours and change is not None:
                if not self._is_fresh():
                    await self._confirm_head()
                self._replica.pending.settled_committed(seq, slot.hash)
                self._alerts.end(_SEND.topic)
            else:
                self._adopt(seq, slot.hash, change)
            self._progressed()
        if ours and change is None:
            # To try again would only fill the journal with entries that nobody accepts.
            self._end("the journal entries of this device are not accepted")
        return True

    def _adopt(self, seq: Seq, hash_: bytes, change: EntryBody | None) -> None:
        touched = self._replica.entries.apply_entry(
            seq, hash_, None if change is None else change.changeset
        )
        if touched.refused is not None:
            self._skipped(f"journal entry {seq}: {touched.refused}")
        self._hooks.touched(touched)

    async def _judged(self, seq: Seq, slot: Slot) -> tuple[Slot, EntryBody | None]:
        """Return what lies in the slot and what it does; None: it counts as empty for everybody.

        That needs proof, of what lies there as of what came before: one flipped bit, or one entry
        of somebody who stands on another history, shall not part us from the others.
        """
        link = self._replica.pending.head().link
        if slot.body is not None:
            try:
                return slot, await self._opened(slot.body, seq, link)
            except BadEntry:
                pass
            proven = await self._journal.proven(self._project, seq)
            if proven is None:
                raise Unavailable(f"the bucket shows journal entry {seq} only now and then")
            slot = proven
        if slot.body is None:
            self._skipped(f"what lies in the place of journal entry {seq} is none")
            return slot, None
        try:
            return slot, await self._opened(slot.body, seq, link)
        except EntryAstray as error:
            await self._confirm_head()
            self._alerts.begin(
                f"astray:{error.device}",
                f"Device {error.device[:8]} stands on another history of this project; what it "
                f"commits counts as empty, first journal entry {seq}.",
                "Run `lucidnode repair` on that workstation.",
                lasts_s=EVENT_S,
            )
        except BadEntry as error:
            self._skipped(str(error))
        return slot, None

    def _skipped(self, what: str) -> None:
        self._alerts.begin(
            "journal:skipped",
            f"A journal entry counts as empty: {what}.",
            "Nothing is lost here; look at what the device that made it runs.",
            lasts_s=EVENT_S,
        )

    async def _opened(self, entry: bytes, seq: Seq, link: bytes) -> EntryBody:
        try:
            return self._codec.open(entry, seq, link)
        except (EntryUnauthorised, EntryUnannounced, KeyMissing):
            await self._hooks.refresh_roster()
            return self._codec.open(entry, seq, link)

    async def _confirm_head(self) -> None:
        """See in the bucket that our head is still part of the history.

        Raises Unavailable if it is not, and HistoryForked once that has lasted MISSING_S.
        """
        asked_at = self._clock.boot()
        head = self._replica.pending.head()
        if head.seq > 0:
            slot = await self._journal.entry(self._project, head.seq)
            if slot is None or not follows(head.link, slot.hash):
                slot = await self._journal.proven(self._project, head.seq)
            if slot is None or not follows(head.link, slot.hash):
                self._note_missing(head, asked_at)
        self._missing = None
        self._head_seen_at = asked_at

    def _note_missing(self, head: Head, at: float) -> NoReturn:
        if self._missing is None or self._missing[0] != head.link:
            self._missing = (head.link, at)
        what = f"the bucket no longer has journal entry {head.seq} as this workstation has seen it"
        if at - self._missing[1] < MISSING_S:
            raise Unavailable(what)
        raise HistoryForked(what)

    async def _head_is_back(self) -> bool:
        await self._confirm_head()
        self._stopped = None
        self._replica.go_on()
        self._alerts.end(f"history:{self._project}")
        self._progressed()
        self._worked()
        return True

    def _is_fresh(self) -> bool:
        seen_at = self._head_seen_at
        return seen_at is not None and self._clock.boot() - seen_at < FRESH_S

    # -- faults and waiting ------------------------------------------------------------------

    async def _settling(self, work: _Work, step: Coroutine[None, None, bool]) -> bool:
        """Run one *step* of a loop. Faults that pass make it False; the others stop the mount."""
        try:
            done = await step
        except NoSpace as error:
            self._tell(_RECORD, error)
            return False
        except HistoryForked as error:
            self._stop(str(error))
            return False
        except ReplicaError as error:
            self._end(str(error))
            return False
        except (NodeError, FormatError) as error:
            self._tell(work, error)
            return False
        if done or work is _READ:
            self._alerts.end(work.topic)
            self._alerts.end(_RECORD.topic)
        return done

    def _tell(self, work: _Work, error: Exception) -> None:
        self._alerts.begin(work.topic, f"{work.cause}: {str(error).rstrip('.')}.", work.remedy)

    def _stop(self, reason: str) -> None:
        """Be read-only for as long as the bucket does not have our head."""
        self._stopped = reason
        self._replica.stop(reason)
        for work in (_READ, _SEND):
            self._alerts.end(work.topic)
        self._alerts.begin(
            f"history:{self._project}",
            f"This project is read-only here: {reason}.",
            f"Run `lucidnode repair {self._project}`.",
        )
        self._progressed()
        self._worked()
        self._changes_seen.set()

    def _end(self, reason: str) -> None:
        """Be read-only until mounted again."""
        self._ended = True
        self._stopped = reason
        self._replica.stop(reason)
        self._alerts.begin(
            "read-only",
            f"This project is read-only here until it is mounted again: {reason}.",
            "Unmount it, look at its log, and mount it again.",
        )
        self._progressed()
        self._worked()
        self._changes_seen.set()

    def _worked(self) -> None:
        self._work.set()
        self._stir.set()

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
