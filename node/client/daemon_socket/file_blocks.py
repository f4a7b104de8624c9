"""Which blocks files lie in, where those are, and their eviction: what people ask."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lucidnode.node.client import file_blocks
from lucidnode.node.client.daemon_socket.transport import DaemonTransport
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import BlockId, ProjectId

_BLOCKS_PAGE = msgspec.msgpack.Decoder(file_blocks.BlocksPage)
_BLOCK_PLACES = msgspec.msgpack.Decoder(file_blocks.BlockPlaces)
_EVICTED = msgspec.msgpack.Decoder(file_blocks.Evicted)


class DaemonFileBlocks:
    """The blocks of the files of all projects, as this workstation has them."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    async def of_files(
        self, project: ProjectId, inos: list[int], offset: int
    ) -> file_blocks.BlocksPage:
        """Return what the first of *inos* lie in. Raises NotThere if *project* is not mounted here."""
        wish = file_blocks.FilesWish(project, inos, offset)
        return await self._transport.ask("/v1/blocks/of-files", wish, _BLOCKS_PAGE)

    async def places(
        self, project: ProjectId, blocks: Sequence[BlockId]
    ) -> list[file_blocks.BlockPlace]:
        """Return where each of *blocks* is."""
        wish = file_blocks.BlocksOf(project, [bytes(block) for block in blocks])
        places = (await self._transport.ask("/v1/blocks/places", wish, _BLOCK_PLACES)).places
        if len(places) != len(blocks):
            raise Malformed("places of other blocks")
        return places

    async def evict(self, project: ProjectId, blocks: Sequence[BlockId]) -> file_blocks.Evicted:
        """Have *blocks* leave the cache here."""
        wish = file_blocks.BlocksOf(project, [bytes(block) for block in blocks])
        return await self._transport.ask("/v1/blocks/evict", wish, _EVICTED)
