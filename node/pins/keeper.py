"""Has what is pinned here come, and stay: hears it of mounts, and fetches what is missing.

The blocks are known by their ids alone, which is enough to fetch and check them. So they are kept
while their project is not mounted, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Protocol

from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed, NodeError, NotThere
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.pins import (
    PinnedProject,
    PinnedProjects,
    PinOrder,
    PinPlace,
    PinsReply,
)
from lucidnode.node.mounts import MountTable
from lucidnode.node.pins.book import PinBook
from lucidnode.node.pins.pinned_blocks import PinnedBlocks

_LOOK_INTERVAL_S = 2.0

_LOOK_AGAIN_S = 60.0
"""Seconds after which everything is looked through once more: a disk loses blocks, and comes back."""

_PATIENCE_S = 45.0

_AT_ONCE = 2
"""Blocks that are fetched at the same time. Programs come first: they have many more."""

_LOOKED_AT = 4096
"""Blocks that are looked at in one step."""

_NO_ROOM = "the cache has no room for it now"
_TOO_MUCH = "more is pinned than pins may take"


class Obtain(Protocol):
    """Brings a block here, as a mount's question does (BlocksForMounts.obtain)."""

    async def __call__(
        self, project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool
    ) -> tuple[wire.Source, bytes | None]:
        """Return where it came from, and its bytes if the cache could not keep it."""


class PinKeeper:
    """The pins of this workstation. *pinned* is what the cache goes by, *book* is read already."""

    def __init__(
        self,
        pinned: PinnedBlocks,
        book: PinBook,
        cache: DiskCache,
        staging: Staging,
        mounts: MountTable,
        obtain: Obtain,
        alerts: Alerts,
        clock: Clock,
        quiet: Callable[[], str] = lambda: "",
    ) -> None:
        """*quiet* says why nothing should be fetched ahead now; empty if it may."""
        self._quiet = quiet
        self._was_quiet = ""
        self._pinned = pinned
        self._book = book
        self._cache = cache
        self._staging = staging
        self._mounts = mounts
        self._obtain = obtain
        self._alerts = alerts
        self._clock = clock
        self._coming: dict[ProjectId, dict[BlockId, int]] = {}
        self._why: dict[ProjectId, str] = {}
        self._under_way = 0
        """Bytes of what is being fetched."""
        self._is_stale = True
        self._turn = asyncio.Lock()

    async def order(self, project: ProjectId, order: PinOrder, places: list[PinPlace]) -> PinsReply:
        """Have the mount of *project* do it, and return what it answers. Raises NotThere, Unavailable."""
        return await self._mounts.mount(project).pins(order, places)

    async def part(
        self, project: ProjectId, sizes: Mapping[BlockId, int], *, first: bool, last: bool
    ) -> None:
        """Take in a part of what the mount of *project* says is pinned: blocks, and their *sizes* in bytes.

        The *first* begins a new list, which counts with the *last*. Raises Malformed.
        """
        if first:
            self._coming[project] = {}
        elif project not in self._coming:
            raise Malformed("the middle of a list of pins")
        self._coming[project].update(sizes)
        if last:
            await self._heard(project, self._coming.pop(project))

    def here(self) -> PinnedProjects:
        """Return how far the pins are here."""
        return PinnedProjects(
            [self._facts(project) for project in self._pinned], self._cache.pin_room
        )

    async def run(self) -> None:
        """Fetch what is missing, until cancelled."""
        looked_at = self._clock.boot()
        while True:
            await self._clock.sleep(_LOOK_INTERVAL_S)
            if (quiet := self._quiet()) != self._was_quiet:
                self._was_quiet, self._is_stale = quiet, True
            if self._is_stale or self._clock.boot() - looked_at >= _LOOK_AGAIN_S:
                self._is_stale = False
                for project in self._pinned:
                    await self._fetch(project)
                self._tell()
                looked_at = self._clock.boot()

    async def _heard(self, project: ProjectId, blocks: dict[BlockId, int]) -> None:
        """Go by *blocks* of *project* from now on, whatever the disk of the book says."""
        async with self._turn:
            added, gone = self._pinned.replace(project, blocks)
            if not added and not gone:
                return
            self._cache.repin([*gone, *added])
            self._is_stale = True
            try:
                await asyncio.to_thread(self._book.change, project, added, gone)
            except OSError as error:
                self._alerts.begin(
                    "pins-kept",
                    f"What is pinned cannot be written down: {error}.",
                    "See to the disk of the home directory: after a restart, what is pinned may be "
                    "evicted until its project is mounted.",
                )
            else:
                self._alerts.end("pins-kept")

    async def _fetch(self, project: ProjectId) -> None:
        """Have what is missing of *project* come, as far as it will; note what hinders the rest."""
        self._why.pop(project, None)
        if reason := self._quiet():
            self._why[project] = reason
            return
        missing: list[BlockId] = []
        blocks = iter(list(self._pinned.of(project)))
        while some := list(islice(blocks, _LOOKED_AT)):
            self._cache.repin(some)  # there may be room for what was too much before
            missing += [block for block in some if not self._is_here(project, block)]
            await asyncio.sleep(0)
        waiting = iter(missing)

        async def fetch() -> None:
            for block in waiting:
                if project in self._why:
                    return
                await self._fetch_one(project, block)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(fetch())

    async def _fetch_one(self, project: ProjectId, block: BlockId) -> None:
        size = self._pinned.of(project).get(block)
        if size is None or self._is_here(project, block):
            return  # unpinned, or come, meanwhile
        if not self._cache.can_pin(self._under_way + size):
            self._why[project] = _TOO_MUCH
            return
        self._under_way += size
        try:
            _, body = await self._obtain(project, block, patience_s=_PATIENCE_S, as_bytes=False)
        except NotThere:
            return  # the bucket has lost it, which others tell; the rest may well be there
        except NodeError as error:
            self._why[project] = str(error) or "it does not come"
            return
        finally:
            self._under_way -= size
        if body is not None:
            self._why[project] = _NO_ROOM

    def _is_here(self, project: ProjectId, block: BlockId) -> bool:
        return self._cache.holds(block) or block in self._staging.held(project)

    def _facts(self, project: ProjectId) -> PinnedProject:
        wanted = self._pinned.of(project)
        here = [size for block, size in wanted.items() if self._is_here(project, block)]
        why = self._why.get(project, "")
        return PinnedProject(project, sum(wanted.values()), sum(here), why)

    def _tell(self) -> None:
        if _TOO_MUCH in self._why.values():
            self._alerts.begin(
                "pins-too-large",
                "More is pinned on this workstation than pins may take of the cache, and not all of it is kept.",
                "Unpin some of it (`lucidnode pin list`, `lucidnode pin unset`), or enlarge the "
                "cache: `lucidnode config set cache.limit`.",
            )
        else:
            self._alerts.end("pins-too-large")
        if _NO_ROOM in self._why.values():
            self._alerts.begin(
                "pins-no-room",
                "What is pinned on this workstation cannot be kept: the disk of the cache is full, or fails.",
                "Make room on it; `lucidnode doctor` says which disk that is.",
            )
        else:
            self._alerts.end("pins-no-room")
