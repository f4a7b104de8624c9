"""Makes entries of what waits here, and has the daemon create them in the journal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from lucidnode.fs.commit.commit_ground import CommitGround
from lucidnode.fs.commit.commit_health import SEND
from lucidnode.fs.commit.commit_signals import set_within
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.errors import FormatError
from lucidnode.fs.replica.changes import Batch, InFlight
from lucidnode.fs.replica.pending.whole_contents import Shipping
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.errors import NodeError, Unavailable
from lucidnode.node.client.ids import BlockId, Seq
from lucidnode.node.client.journal import entry_hash
from lucidnode.node.client.wire import CommitReply, CommitRequest, Slot

log = logging.getLogger(__name__)

BATCH_INTERVAL_S = 0.15
"""How long changes gather before they become an entry, if nobody waits for them."""

FIRST_INTERVAL_S = 0.03
"""The same for the first entry after a rest: long enough for the steps of a save, and others see it soon."""

REST_S = 1.0
"""Seconds without anything to commit that are a rest."""

POLL_INTERVAL_S = 1.0
"""How often to look whether what waits for programs and uploads may be committed by now, if nothing
is heard of it."""

LOOK_INTERVAL_S = 60.0
"""Seconds between two looks for work that waits in blocks that will be collected, a day later at least."""

_MIN_RETRY_S = 0.5
_MAX_RETRY_S = 10.0

_UNKNOWN = CommitReply("unknown", b"")

Reseal = Callable[[Collection[BlockId]], Awaitable[None]]
"""Has what waits in these blocks, which no entry may name again, lie in others."""


async def cannot_reseal(blocks: Collection[BlockId]) -> None:
    """Refuse, for who has nothing to seal anew with."""
    raise Unavailable(
        f"{len(blocks)} of the blocks that were to be used again have been collected meanwhile"
    )


class Sender:
    """The loop that commits the work of one replica. *shipping* and *durability_wait*: see Committer."""

    def __init__(
        self,
        ground: CommitGround,
        codec: EntryCodec,
        before_batch: Callable[[], None],
        durability_wait: Callable[[], Awaitable[None]],
        shipping: Shipping | None,
        reseal: Reseal,
        *,
        begins_epochs: bool,
    ) -> None:
        self._reseal = reseal
        self._collected: list[BlockId] = []
        self._next_look = 0.0
        self._ground = ground
        self._codec = codec
        self._before_batch = before_batch
        self._durability_wait = durability_wait
        self._shipping = shipping
        self._begins_epochs = begins_epochs
        self._is_first = False
        """Whether the next entry is the first after a rest."""

    def send_everything(self) -> None:
        """Make entries of all that waits from now on, though its blocks are on their way."""
        self._shipping = None
        self._ground.signals.sendable.set()

    async def run(self) -> None:
        """Send until cancelled, or until this mount can never go on."""
        backoff = Backoff(None, _MIN_RETRY_S, _MAX_RETRY_S)
        while not self._ground.health.ended:
            if self._ground.health.stopped or self._ground.health.forbidden:
                await self._ground.signals.progress.wait()
                continue
            if self._ground.pending.in_flight() is None:
                await self._gathered()
            if await self._ground.health.attempt(SEND, self._send_once()):
                backoff.reset()
            else:
                await set_within(self._ground.signals.progress, backoff.pause(), self._ground.clock)

    async def _gathered(self) -> None:
        """Return when there is something to commit, after letting more of it gather."""
        while not (self._ground.pending.has_work() or self._is_behind()):
            self._ground.health.sent()  # others may have decided what could not be sent
            self._ground.signals.work.clear()
            begun = self._ground.clock.boot()
            await self._ground.signals.work.wait()
            self._is_first = self._ground.clock.boot() - begun >= REST_S
        self._ground.signals.hurry.clear()
        if not self._ground.signals.waiters:
            gather_s = FIRST_INTERVAL_S if self._is_first else BATCH_INTERVAL_S
            await set_within(self._ground.signals.hurry, gather_s, self._ground.clock)

    async def _send_once(self) -> bool:
        """Send one entry; tell whether its slot is decided."""
        await self._ground.head.ensure_fresh()
        self._ground.signals.sendable.clear()
        self._collected = []
        if self._ground.pending.in_flight() is None:
            await self._look_at_what_waits()
        flight = self._ground.pending.in_flight() or self._prepared()
        if self._collected:
            await self._reseal(self._collected)
            return True
        if flight is None:
            self._ground.signals.progressed()
            if self._ground.pending.has_work():
                await set_within(self._ground.signals.sendable, POLL_INTERVAL_S, self._ground.clock)
            return True
        # After a power cut we must know our own entry, or we would do its work a second time; and
        # nothing that lies below it may be taken back.
        await self._durability_wait()
        self._is_first = False
        reply = await self._reply(flight)
        if reply.outcome == "unchained":
            await self._ground.head.confirm()
        elif reply.body:
            slot = Slot(entry_hash(reply.body), reply.body, reply.signed_here)
            await self._ground.slots.decide(flight.seq, slot)
        return self._ground.pending.head().seq >= flight.seq

    def _prepared(self) -> InFlight | None:
        if self._ground.health.forbidden:  # since work was waited for: it would count for nobody
            return None
        # No await in here: what is packed, batched and sealed is one state.
        self._before_batch()
        batch = self._ground.pending.next_batch(self._shipping)
        if batch is None:
            if not self._is_behind():
                return None
            # Nothing to say but that an epoch has begun: from here on nobody who lacks its key, or may
            # not write in it, changes anything.
            head = self._ground.pending.head()
            batch = Batch(Seq(head.seq + 1), head.link, b"", (), frozenset(), 0)
        self._collected = [each for each in batch.names if self._ground.collected.is_final(each)]
        if self._collected:
            return None
        unsigned = self._codec.seal(batch, self._ground.clock.wall_ns())
        self._ground.own.made(unsigned)
        return self._ground.pending.set_in_flight(batch, unsigned)

    def _is_behind(self) -> bool:
        return self._begins_epochs and self._codec.is_behind(self._ground.pending.head().epoch)

    async def _look_at_what_waits(self) -> None:
        """Have what waits in blocks that will be gone soon sealed anew; what cannot be had now, later.

        What is held up here for long, and was sealed before they were listed, would be lost with them.
        """
        if self._ground.clock.boot() < self._next_look:
            return
        self._next_look = self._ground.clock.boot() + LOOK_INTERVAL_S
        now_ns, collected = self._ground.clock.wall_ns(), self._ground.collected
        if not collected.has_aged(now_ns):
            return
        named = self._ground.pending.blocks_named()
        if aged := [each for each in named if collected.is_aged(each, now_ns)]:
            try:
                await self._reseal(aged)
            except (NodeError, FormatError) as error:
                log.info("work waits in blocks that will be collected: %s", error)

    async def _reply(self, flight: InFlight) -> CommitReply:
        """Return the daemon's reply, or "unknown" once the follower has decided the slot.

        A reply may take as long as the uploads of a film, and others go on meanwhile.
        """
        request = CommitRequest(flight.unsigned, [bytes(block) for block in flight.needs])
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._asked(flight.seq, request))
            decided = group.create_task(self._until_decided(flight.seq))
            await asyncio.wait({asking, decided}, return_when=asyncio.FIRST_COMPLETED)
            reply = asking.result() if asking.done() else _UNKNOWN
            asking.cancel()
            decided.cancel()
        return reply

    async def _asked(self, seq: Seq, request: CommitRequest) -> CommitReply:
        self._ground.life.sending(request.unsigned)
        try:
            reply = await self._ground.journal.commit(self._ground.project, seq, request)
        except NodeError as error:
            self._ground.health.tell(SEND, error)
            return _UNKNOWN
        if reply.why:
            self._ground.health.tell(SEND, Unavailable(reply.why))
        return reply

    async def _until_decided(self, seq: Seq) -> None:
        while self._ground.pending.head().seq < seq and self._ground.health.stopped is None:
            await self._ground.signals.progress.wait()
