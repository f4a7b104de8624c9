"""What mounts want of blocks: have one brought here, say what they wrote, say what they used."""

from __future__ import annotations

from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.client import wire
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.fetch import BlockSource
from lucidnode.node.uploads import Uploads


class BlocksForMounts:
    """The block side of the daemon's socket."""

    def __init__(self, source: BlockSource, cache: DiskCache, uploads: Uploads) -> None:
        self._source = source
        self._cache = cache
        self._uploads = uploads

    async def obtain(self, project: ProjectId, block: BlockId) -> tuple[wire.Source, bytes | None]:
        """Bring *block* here; see DaemonClient.block for what is returned and raised."""
        fetched = await self._source.fetch(project, block)
        return fetched.source, None if fetched.kept else fetched.ciphertext

    async def staged(self, project: ProjectId, blocks: list[BlockId]) -> None:
        """Take over *blocks* that a mount wrote into staging."""
        await self._uploads.add(project, blocks)

    def touched(self, blocks: list[BlockId]) -> None:
        """Note that mounts read the files of *blocks*."""
        self._cache.touch(blocks)
