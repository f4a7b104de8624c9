"""What people want to know of the blocks of their files, and have done with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from lucidnode.node.blocks.arrivals import Arrivals
from lucidnode.node.blocks.fetch import PeerBlockSource
from lucidnode.node.blocks.indexers import Indexers, WithheldBlock
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client.file_blocks import (
    BlockPlace,
    BlockPlaces,
    BlocksOf,
    Evicted,
    FilesWish,
    Place,
)
from lucidnode.node.client.ids import BlockId, ProjectId, block_ids, parse_project_id
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.mounts import MountTable

_FILES_WISH = msgspec.msgpack.Decoder(FilesWish)
_BLOCKS_OF = msgspec.msgpack.Decoder(BlocksOf)


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

    def questions(self) -> dict[str, Callable[[bytes], Awaitable[bytes]]]:
        """Return what answers each question, by the word that is sent for it."""
        return {
            "blocks/of-files": self.of_files,
            "blocks/places": self.places,
            "blocks/evict": self.evict,
        }

    async def of_files(self, wish: bytes) -> bytes:
        """Answer a FilesWish by the BlocksPage of the mount. Raises NotThere, Unavailable, Malformed."""
        wanted = decoded(_FILES_WISH, wish)
        mount = self._mounts.mount(parse_project_id(wanted.project))
        return msgspec.msgpack.encode(await mount.blocks(wanted.inos, wanted.offset))

    async def places(self, wish: bytes) -> bytes:
        """Answer a BlocksOf by the BlockPlaces. Raises Malformed."""
        project, blocks = _read(wish)
        return msgspec.msgpack.encode(
            BlockPlaces([self._place(project, block) for block in blocks])
        )

    async def evict(self, wish: bytes) -> bytes:
        """Have the blocks of a BlocksOf leave the cache, and say what went.

        What waits for its upload is not in the cache, and stays; what was saved a moment ago may be
        on its way there. Raises Malformed, and Unavailable when the disk of the cache fails or hangs.
        """
        _, blocks = _read(wish)
        await self._uploads.settle()
        return msgspec.msgpack.encode(Evicted(*await self._cache.evict(blocks)))

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


def _read(wish: bytes) -> tuple[ProjectId, list[BlockId]]:
    named = decoded(_BLOCKS_OF, wish)
    return parse_project_id(named.project), block_ids(named.ids)
