"""Puts this node's changes into the journal, and everybody's changes into the replica, in order.

Two loops share one replica. The sender (sender.py) makes an entry of what is pending and has the
daemon create it; the follower (journal_follower.py) reads what comes after our head. Whichever sees the
entry in the next slot first has it decided for both (slot_decision.py): if it is the one in flight,
it is committed; if not, ours has lost, and our work is rebased onto the winner's. "Unknown" decides
nothing: the same bytes are sent again.

Nothing is decided for good on one look, and nothing on a peer's word: a hint makes us look, an
entry that fails its check is read again until it is proven to lie there (entry_verifier.py), and
the history has forked only once our own head is proven to be gone (head_check.py). That ends when
the head is there again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator

from lucidnode.fs.commit.commit_ground import CommitGround
from lucidnode.fs.commit.commit_health import CommitHealth
from lucidnode.fs.commit.commit_signals import CommitSignals
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.entry_verifier import EntryVerifier
from lucidnode.fs.commit.head_check import HeadCheck
from lucidnode.fs.commit.hooks import CommitHooks
from lucidnode.fs.commit.journal_client import CommitJournal
from lucidnode.fs.commit.journal_follower import JournalFollower
from lucidnode.fs.commit.own_entries import OwnEntries
from lucidnode.fs.commit.sender import Reseal, Sender, cannot_reseal
from lucidnode.fs.commit.signs_of_life import SignsOfLife
from lucidnode.fs.commit.slot_decision import SlotDecision
from lucidnode.fs.errors import ReadOnly
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.pending.whole_contents import Shipping
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import BlockId, ProjectId, Seq

_VIEWER = (
    "an owner has made you a viewer of it, and what was not sent yet stays on this workstation"
)


class Committer:
    """Runs both loops in `run`. Everything else may be called any time from the same loop."""

    def __init__(
        self,
        replica: Replica,
        journal: CommitJournal,
        project: ProjectId,
        codec: EntryCodec,
        hooks: CommitHooks,
        alerts: Alerts,
        clock: Clock,
        shipping: Shipping | None = None,
        durability_wait: Callable[[], Awaitable[None]] | None = None,
        sendable: asyncio.Event | None = None,
        reseal: Reseal = cannot_reseal,
        *,
        read_only: bool = False,
    ) -> None:
        """Take the parts it works with. *reseal* has work lie in other blocks than those collected. *durability_wait* waits until all that was done survives a power cut.

        With *shipping*, entries are made of what has arrived in the bucket; what has not holds up
        only what depends on it, and is looked at again when *sendable* is set. Without, each entry
        waits in the daemon for all that it needs. With *read_only* it commits nothing of its own
        accord either: no entry that begins an epoch.
        """
        self._pending = pending = replica.pending
        self._hooks = hooks
        self._codec = codec
        self._read_only = read_only
        self._clock = clock
        self._signals = signals = CommitSignals(sendable or asyncio.Event())
        self._health = health = CommitHealth(replica, project, alerts, signals)
        head = HeadCheck(pending, journal, project, clock)
        verifier = EntryVerifier(journal, project, codec, self._roster_read, head, alerts)
        own = OwnEntries(codec.device, alerts, clock)
        if (flight := pending.in_flight()) is not None:
            own.made(flight.unsigned)
        self.life = life = SignsOfLife(clock, None if flight is None else flight.unsigned)
        self._slots = slots = SlotDecision(
            replica, verifier, own, life, head, hooks, health, signals
        )
        ground = CommitGround(
            project=project,
            pending=pending,
            collected=replica.collected,
            journal=journal,
            slots=slots,
            own=own,
            life=life,
            head=head,
            health=health,
            signals=signals,
            clock=clock,
        )
        self._follower = JournalFollower(ground)
        self._sender = Sender(
            ground,
            codec,
            hooks.before_batch,
            durability_wait or replica.barrier,
            shipping,
            reseal,
            begins_epochs=not read_only,
        )
        replica.watch(signals.worked)

    async def run(self) -> None:
        """Commit and follow until cancelled; returns early only if that can never go on here."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follower.run())
            group.create_task(self._sender.run())

    def rights_changed(self) -> None:
        """Go by the roster as it was just read: read-only for a viewer, else in the newest epoch.

        Where the project is closed it is read-only for everybody. If the journal is in an older one, an entry of ours ends that.
        """
        if (closed := self._codec.closed()) is not None:
            self._health.forbid(closed.reason, parked=closed.is_deleted)
        elif self._read_only:
            self._health.allow()
        elif self._codec.may_write_now(self._codec.device) is None:
            self._health.forbid(_VIEWER)
        else:
            self._health.allow()
            self._signals.worked()

    def end(self, reason: str) -> None:
        """Be read-only until mounted again, because of *reason*."""
        if not self._health.ended:
            self._health.end(reason)

    @property
    def stopped(self) -> str | None:
        """Why this mount is read-only, or None."""
        return self._health.stopped or self._health.forbidden

    @property
    def progress(self) -> asyncio.Event:
        """Set when the head moves next, or when this mount is read-only, or no longer."""
        return self._signals.progress

    def hinted(self, seq: Seq) -> None:
        """Look soon, since somebody says that entry *seq* exists: see `JournalFollower.hinted`."""
        self._follower.hinted(seq)

    async def catch_up(self) -> bool:
        """Apply every entry there is after our head; tell whether there was one.

        `run` does this for a mount. Raises HistoryForked, another FsError or a NodeError.
        """
        return await self._follower.catch_up()

    async def until_committed(self, ino: InodeNo | None) -> None:
        """Return once everything done before this call is committed in the bucket, or *ino*'s part if it is not None.

        That part is a content of its own then, though a program goes on writing. If another's entry
        comes first, it is the conflict copy with our version.
        Waits as long as that takes; raises ReadOnly if it never will be, or NoSpace.
        """
        self._hooks.before_batch()
        with self.hurrying(), self._signals.wanted(self._pending.newest(), ino) as wanted:
            while not self._pending.is_committed(wanted.mark, wanted.ino):
                if wanted.ino is not None:
                    self._pending.finish(wanted.ino, wanted.mark)
                if self.stopped is not None:
                    raise ReadOnly(self.stopped)
                await self._signals.progress.wait()

    def finish(self, inos: Iterable[InodeNo]) -> None:
        """Have what was done to each of *inos* be a content of its own, though a program goes on writing.

        What is done to the project in the step in which this returns is behind all of it. Raises NoSpace.
        """
        self._hooks.before_batch()
        mark = self._pending.newest()
        for ino in inos:
            self._pending.finish(ino, mark)

    @contextlib.contextmanager
    def hurrying(self) -> Iterator[None]:
        """Let no work gather meanwhile: somebody waits for what comes of it."""
        self._signals.waiters += 1
        self._signals.ask_for_commit()
        try:
            yield
        finally:
            self._signals.waiters -= 1

    async def drain(self) -> None:
        """Do as `until_committed`, at the end of a mount: entries are made though blocks are on their way.

        The daemon goes on with the last of them when the mount is gone. Raises as `until_committed`.
        """
        self._sender.send_everything()
        await self.until_committed(None)

    async def give_up(self, lost: Collection[BlockId]) -> tuple[str, ...]:
        """Go on without what needs a block that is *lost*; return the files that fell back.

        Raises NoSpace, or a ReplicaError.
        """
        return await self._slots.give_up(lost, self._clock.wall_ns())

    async def drop_deleted(self, has_arrived: Callable[[BlockId], bool]) -> None:
        """Go on without the contents of deleted files that have not arrived in the bucket.

        Raises NoSpace, or a ReplicaError.
        """
        await self._slots.drop_deleted(has_arrived)

    async def _roster_read(self) -> None:
        await self._hooks.refresh_roster()
        # At once: what is sealed next is sealed with the rights that were just read.
        self.rights_changed()
