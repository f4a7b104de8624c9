"""What people want to know of the blocks of their files, and have done with them."""

from __future__ import annotations

from collections.abc import Sequence

from lucidnode.node.blocks.arrivals import Arrivals
from lucidnode.node.blocks.fetch import PeerBlockSource
from lucidnode.node.blocks.indexers import Indexers, WithheldBlock
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client.file_blocks import (
    BlockPlace,
    BlocksPage,
    Evicted,
    Place,
)
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.mounts import MountTable


class BlocksForPeople:
    """Answers commands (node/client/file_blocks.py). Names of files never come here."""

    def __init__(
        self,
        mounts: MountTable,
        cache: DiskCache,
        staging: Staging,
        uploads: Uploads,
        office: PeerBlockSource,
        arrivals: Arrivals,
        indexers: Indexers,
    ) -> None:
        self._mounts = mounts
        self._cache = cache
        self._staging = staging
        self._uploads = uploads
        self._office = office
        self._arrivals = arrivals
        self._indexers = indexers

    async def of_files(self, project: ProjectId, inos: list[int], offset: int) -> BlocksPage:
        """Return what the mount of *project* says that *inos* lie in. Raises NotThere, Unavailable."""
        return await self._mounts.mount(project).blocks(inos, offset)

    def places(self, project: ProjectId, blocks: Sequence[BlockId]) -> list[BlockPlace]:
        """Return where each of *blocks* is."""
        return [self._place(project, block) for block in blocks]

    async def evict(self, blocks: Sequence[BlockId]) -> Evicted:
        """Have *blocks* leave the cache, and say what went.

        What waits for its upload is not in the cache, and stays; what was saved a moment ago may be
        on its way there. Raises Unavailable when the disk of the cache fails or hangs.
        """
        await self._uploads.settle()
        return Evicted(*await self._cache.evict(blocks))

    def _place(self, project: ProjectId, block: BlockId) -> BlockPlace:
        place: Place = "away"
        if self._cache.holds(block):
            place = "cache"
        elif block in self._staging.held(project) and not self._staging.missing:
            place = "waiting"
        came = self._arrivals.of(block)
        asked: list[str] = [attempt.device for attempt in self._office.route(block)]
        held = self._indexers.withheld(block) or WithheldBlock("", 0)
        return BlockPlace(
            place,
            "" if came is None else came.came_from,
            0.0 if came is None else came.took_s,
            0 if came is None else came.came_ns,
            asked,
            held.program,
            held.wall_ns,
            [(device, why) for device, why in self._office.passed_over(block)],
            [] if came is None else [(device, why) for device, why in came.past],
        )
