"""Where a block comes from: own cache, own staging, the office, the bucket, in this order.

The office is asked in the order its ring gives: the owner of a block reads it through from the
bucket once, while all who want it wait for that. Peers only ever make this faster: each wait for
one is bounded, what it sends was verified against the block's name, and after it the next source
is asked within the same call.

Two kinds of flight keep two rings that disagree from waiting for each other in a circle. An
*asking* flight may have other nodes read through; only local readers join it. A *through* flight
asks peers at most for what they hold already; it is the only kind that a peer's request joins.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from lucidnode.node.blocks.hedge_policy import (
    COPIES_AFTER_S,
    COPIES_S,
    NEXT_COPY_S,
    PEERS_S,
    HedgePolicy,
)
from lucidnode.node.blocks.traffic import Traffic
from lucidnode.node.bucket.pace import Pace, RateLimit
from lucidnode.node.cache.change import Whose
from lucidnode.node.cache.held_file import HeldFile
from lucidnode.node.cache.verified import Ciphertext, verified_aside
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.file_blocks import WhyPassedOver
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId
from lucidnode.node.client.single_flight import SingleFlight
from lucidnode.node.client.supervision import Tasks
from lucidnode.node.client.wire import Source

log = logging.getLogger(__name__)

_USUAL_BYTES = 1024 * 1024
"""What a block from a peer is taken for until one has come."""


ReadVerified = Callable[[ProjectId, BlockId], Awaitable[Ciphertext]]
"""Returns the verified block from the bucket; raises NodeError within its deadline."""


class BlockCache(Protocol):
    """The evictable cache on this node's disk. It has misses, not errors."""

    async def get(self, block: BlockId) -> Ciphertext | None:
        """Return the verified block, or None if it is not held."""

    async def open_held(self, block: BlockId) -> HeldFile | None:
        """Return the verified file of the block, for the caller to close, or None."""

    async def put(self, block: BlockId, ciphertext: Ciphertext, whose: Whose = "ours") -> bool:
        """Keep a verified block. False when it cannot be kept now."""


class StagedBlockSource(Protocol):
    """Blocks written on this node and not uploaded yet."""

    async def read(self, project: ProjectId, block: BlockId) -> Ciphertext | None:
        """Return the verified block, or None if it is not staged."""


class FetchAttempt(NamedTuple):
    """One question to one peer. With *through* it may fetch from the bucket to answer."""

    device: DeviceId
    through: bool


class PassedOver(NamedTuple):
    """A peer that is not asked for a block of its own."""

    device: DeviceId
    why: WhyPassedOver


class PeerBlockSource(Protocol):
    """The other nodes on the LAN."""

    def owns(self, block: BlockId) -> bool:
        """Return whether this node is the one that reads *block* through for the office."""

    def route(self, block: BlockId) -> Sequence[FetchAttempt]:
        """Return whom to ask for *block* before the bucket, best first; peers known down left out.

        For the owner itself, no question has *through* set.
        """

    def holders(self) -> Sequence[DeviceId]:
        """Return every peer that can be asked now: any of them may hold a copy."""

    def passed_over(self, block: BlockId) -> Sequence[PassedOver]:
        """Return the owners of *block* that are not asked for it now, and why."""

    async def ask(
        self, device: DeviceId, project: ProjectId, block: BlockId, *, through: bool
    ) -> Ciphertext | None:
        """Return the verified block from *device*, or None: not there, or not known in time.

        Never raises a NodeError.
        """

    def lost_hedge(self, device: DeviceId) -> None:
        """Hear that *device* kept a read waiting while another source had the block at once."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A verified block: where it came from, and whether it is a file in the cache now."""

    source: Source
    ciphertext: Ciphertext
    kept: bool


class BlockSource:
    """Finds blocks for this node's mounts and for its peers.

    *tasks* owns the flights and must be entered for as long as this is used.
    """

    def __init__(
        self,
        *,
        cache: BlockCache,
        staging: StagedBlockSource,
        office: PeerBlockSource,
        bucket: ReadVerified,
        traffic: Traffic,
        clock: Clock,
        tasks: Tasks,
        office_limit: Callable[[], RateLimit | None] = lambda: None,
    ) -> None:
        """*office_limit* is what blocks from peers are held to."""
        self._pace = Pace(office_limit, clock)
        self._usual = _USUAL_BYTES
        self._cache = cache
        self._staging = staging
        self._office = office
        self._bucket = bucket
        self._traffic = traffic
        self._clock = clock
        self._tasks = tasks
        self._hedging = HedgePolicy()
        self._asking: SingleFlight[tuple[ProjectId, BlockId], Fetched] = SingleFlight(tasks)
        self._through: SingleFlight[tuple[ProjectId, BlockId], Fetched] = SingleFlight(tasks)

    async def fetch(self, project: ProjectId, block: BlockId, *, for_peer: bool = False) -> Fetched:
        """Return *block* from the nearest source that has it, keeping it in the cache.

        With *for_peer* no other node is made to read through. Raises NotThere, Unavailable,
        Corrupt, as the bucket answered, when nobody in the office holds the block either.
        """
        if for_peer or self._office.owns(block):
            whose: Whose = "read for a peer" if for_peer else "ours"
            return await self._read_through(project, block, whose)
        return await self._asking.join((project, block), lambda: self._ask_around(project, block))

    async def open_held(self, block: BlockId) -> HeldFile | None:
        """Return the file of *block* if it is in the cache, verified, for the caller to close."""
        return await self._cache.open_held(block)

    async def held(self, project: ProjectId, block: BlockId) -> Fetched | None:
        """Return *block* if this node has it, asking nobody."""
        ciphertext = await self._cache.get(block)
        if ciphertext is not None:
            return Fetched("cache", ciphertext, kept=True)
        ciphertext = await self._staging.read(project, block)
        return None if ciphertext is None else Fetched("cache", ciphertext, kept=False)

    async def copy(self, project: ProjectId, block: BlockId) -> Ciphertext | None:
        """Return the verified *block* from this node or a peer; None if none that answers has it.

        The bucket is not asked.
        """
        found = await self.near(project, block)
        return None if found is None else found.ciphertext

    async def near(self, project: ProjectId, block: BlockId) -> Fetched | None:
        """As `copy`: the block, and where it was."""
        held = await self.held(project, block)
        if held is not None:
            return held
        ciphertext = await self._copy(project, block, self._office.holders())
        if ciphertext is None:
            return None
        return Fetched("peer", ciphertext, await self._cache.put(block, ciphertext))

    def passed_over(self, block: BlockId) -> Sequence[PassedOver]:
        """Return the owners of *block* in the office that are not asked for it now, and why."""
        return self._office.passed_over(block)

    async def keep(self, block: BlockId, ciphertext: bytes) -> bool:
        """Take a copy of *block* that somebody offers. Raises Corrupt if it is not that block."""
        return await self._cache.put(
            block, await verified_aside(block, ciphertext), "offered by a peer"
        )

    # -- an asking flight --------------------------------------------------------------------

    async def _ask_around(self, project: ProjectId, block: BlockId) -> Fetched:
        # Inside the flight, so that no one who looked a moment too early starts another.
        held = await self.held(project, block)
        if held is not None:
            return held
        route = self._office.route(block)
        answer = None
        if route:
            answer = await self._paced(lambda: self._hedged(project, block, route))
        return answer or await self._read_through(project, block)

    async def _paced(self, ask: Callable[[], Awaitable[Fetched | None]]) -> Fetched | None:
        """Return what *ask* does, once the link to the office has room for a block."""
        # Outside of every deadline: a peer is not slow because its blocks have to wait here.
        expected, came = self._usual, 0
        await self._pace.wait(expected)
        try:
            answer = await ask()
            if answer is not None and answer.source == "peer":
                came = self._usual = len(answer.ciphertext)
        finally:
            self._pace.count(came - expected)
        return answer

    async def _hedged(
        self, project: ProjectId, block: BlockId, route: Sequence[FetchAttempt]
    ) -> Fetched | None:
        asked: list[DeviceId] = []
        began = self._clock.boot()
        believed = self._hedging.believed()
        # The usual time of peers is theirs to stretch, so it never counts beyond the bucket's.
        timeout_s = min(self._hedging.timeout_s(), believed)
        async with asyncio.TaskGroup() as race:
            asking = race.create_task(self._from_office(project, block, route, asked))
            await asyncio.wait({asking}, timeout=timeout_s)
            in_budget = not asking.done() and self._hedging.spend()
            if not asking.done() and not in_budget:
                # A peer may say for ever that it is still fetching: no budget lets it hold a read.
                await asyncio.wait({asking}, timeout=believed - timeout_s)
            if not asking.done():
                hedged_at = self._clock.boot()
                # Not in the race's own group: a hedge that lost is not waited for.
                hedge = self._tasks.create_task(self._hedge(project, block))
                log.debug(
                    "hedge: block %s from the bucket as well, %s has not given it in %.2f s",
                    block.hex()[:8],
                    asked[-1][:8] if asked else "the office",
                    hedged_at - began,
                )
                await asyncio.wait({asking, hedge}, return_when=asyncio.FIRST_COMPLETED)
                if hedge.done() and (quicker := hedge.result()) is not None:
                    asking.cancel()
                    log.debug("hedge: block %s, %s was first", block.hex()[:8], quicker.source)
                    quick = self._clock.boot() - hedged_at < self._hedging.much_quicker()
                    # A copy that lay here says nothing about the peer, and one that has given the
                    # block is not at fault for the time that our own disk takes to keep it.
                    if quick and quicker.source != "cache" and asked:
                        self._office.lost_hedge(asked[-1])
                    return quicker
                hedge.add_done_callback(self._lost)
                await asyncio.wait({asking}, timeout=began + PEERS_S - self._clock.boot())
            if asking.done():
                return asking.result()
            asking.cancel()
        return None

    async def _hedge(self, project: ProjectId, block: BlockId) -> Fetched | None:
        try:
            return await self._read_through(project, block)
        except NodeError:
            return None  # the first source is still at work and may do better

    def _lost(self, hedge: asyncio.Task[Fetched | None]) -> None:
        if not hedge.cancelled() and (late := hedge.result()) and late.source == "bucket":
            self._traffic.wasted("hedged", len(late.ciphertext))

    async def _from_office(
        self,
        project: ProjectId,
        block: BlockId,
        route: Sequence[FetchAttempt],
        asked: list[DeviceId],
    ) -> Fetched | None:
        began = self._clock.boot()
        ciphertext = await self._first_answer(project, block, route, asked)
        if ciphertext is None:
            return None
        seconds = self._clock.boot() - began
        self._hedging.finished(seconds)
        self._traffic.fetched("peer", seconds)
        return Fetched("peer", ciphertext, await self._cache.put(block, ciphertext))

    async def _first_answer(
        self,
        project: ProjectId,
        block: BlockId,
        route: Sequence[FetchAttempt],
        asked: list[DeviceId],
    ) -> Ciphertext | None:
        """Ask along *route* until one has it; *asked* ends with whom it waits for, if anybody."""
        for device, through in route:
            asked.append(device)
            ciphertext = await self._office.ask(device, project, block, through=through)
            if ciphertext is not None:
                asked.clear()
                return ciphertext
        asked.clear()
        return None

    # -- a through flight --------------------------------------------------------------------

    async def _read_through(
        self, project: ProjectId, block: BlockId, whose: Whose = "ours"
    ) -> Fetched:
        return await self._through.join(
            (project, block), lambda: self._obtain(project, block, whose)
        )

    async def _obtain(self, project: ProjectId, block: BlockId, whose: Whose) -> Fetched:
        began = self._clock.boot()
        held = await self.held(project, block)
        if held is not None:
            return held
        source: Source = "peer"
        ciphertext: Ciphertext | None = None
        if self._office.owns(block):
            ciphertext = await self._copy(project, block, [d for d, _ in self._office.route(block)])
        if ciphertext is not None:
            self._pace.count(len(ciphertext))
        else:
            source, ciphertext = await self._from_bucket_or_copies(project, block)
        self._traffic.fetched(source, self._clock.boot() - began)
        return Fetched(source, ciphertext, await self._cache.put(block, ciphertext, whose))

    async def _from_bucket_or_copies(
        self, project: ProjectId, block: BlockId
    ) -> tuple[Source, Ciphertext]:
        """Ask the bucket, and soon the whole office for a copy. Raises as the bucket answered."""
        async with asyncio.TaskGroup() as race:
            asking = race.create_task(self._from_bucket(project, block))
            await asyncio.wait({asking}, timeout=COPIES_AFTER_S)
            if not asking.done() or isinstance(asking.result(), NodeError):
                # The bucket is away, or has lost or spoilt the block: any copy in the office will do.
                copying = race.create_task(self._copy(project, block, self._office.holders()))
                await asyncio.wait({asking, copying}, return_when=asyncio.FIRST_COMPLETED)
                if asking.done() and not isinstance(asking.result(), NodeError):
                    copying.cancel()
                elif (copy := await copying) is not None:
                    asking.cancel()
                    return "peer", copy
            answer = await asking
        if isinstance(answer, NodeError):
            raise answer
        return "bucket", answer

    async def _from_bucket(self, project: ProjectId, block: BlockId) -> Ciphertext | NodeError:
        asked_at = self._clock.boot()
        try:
            ciphertext = await self._bucket(project, block)
        except NodeError as error:
            return error
        self._hedging.bucket_took(self._clock.boot() - asked_at)
        return ciphertext

    async def _copy(
        self, project: ProjectId, block: BlockId, devices: Sequence[DeviceId]
    ) -> Ciphertext | None:
        """Ask each of *devices* for what it holds, the next when one has none or lets us wait."""
        waiting = list(devices)
        # However many there are, each has half of the search left when it is asked.
        pause = min(NEXT_COPY_S, COPIES_S / 2 / max(1, len(waiting)))
        asking: set[asyncio.Task[Ciphertext | None]] = set()
        try:
            async with asyncio.timeout(COPIES_S), asyncio.TaskGroup() as search:
                while waiting or asking:
                    if waiting:
                        ask = self._office.ask(waiting.pop(0), project, block, through=False)
                        asking.add(search.create_task(ask))
                    done, asking = await asyncio.wait(
                        asking,
                        timeout=pause if waiting else None,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    for task in done:
                        if (copy := task.result()) is not None:
                            for other in asking:
                                other.cancel()
                            return copy
        except TimeoutError:
            return None
        return None
