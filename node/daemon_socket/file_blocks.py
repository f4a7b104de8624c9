"""Which blocks files lie in, where those are, and their eviction: what people ask."""

from __future__ import annotations

import msgspec
from aiohttp import web

from lucidnode.node.blocks.for_people import BlocksForPeople
from lucidnode.node.client.file_blocks import BlockPlaces, BlocksOf, FilesWish
from lucidnode.node.client.ids import block_ids, parse_project_id
from lucidnode.node.daemon_socket.requests import message_of, packed

_FILES_WISH = msgspec.msgpack.Decoder(FilesWish)
_BLOCKS_OF = msgspec.msgpack.Decoder(BlocksOf)


class FileBlockRoutes:
    """Answers commands about the blocks of files (node/client/file_blocks.py)."""

    def __init__(self, blocks: BlocksForPeople) -> None:
        self._blocks = blocks

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [
            web.post("/v1/blocks/of-files", self._of_files),
            web.post("/v1/blocks/places", self._places),
            web.post("/v1/blocks/evict", self._evict),
        ]

    async def _of_files(self, request: web.Request) -> web.Response:
        wish = await message_of(request, _FILES_WISH)
        project = parse_project_id(wish.project)
        return packed(await self._blocks.of_files(project, wish.inos, wish.offset))

    async def _places(self, request: web.Request) -> web.Response:
        named = await message_of(request, _BLOCKS_OF)
        project, blocks = parse_project_id(named.project), block_ids(named.ids)
        return packed(BlockPlaces(self._blocks.places(project, blocks)))

    async def _evict(self, request: web.Request) -> web.Response:
        named = await message_of(request, _BLOCKS_OF)
        parse_project_id(named.project)
        return packed(await self._blocks.evict(block_ids(named.ids)))
