"""The blocks of a project in the bucket, listed and deleted: what a collection asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from lucidnode.node.client import wire
from lucidnode.node.client.ids import BlockId, ProjectId, parse_block_id
from lucidnode.node.daemon_socket.requests import blocks_of, packed, project_of


class ServedCollection(Protocol):
    """The blocks of all projects in the bucket, listed and deleted (CollectedObjects)."""

    async def page(self, project: ProjectId, after: BlockId | None) -> wire.BlockPage: ...
    async def delete(self, project: ProjectId, blocks: Sequence[BlockId]) -> wire.BlocksDeleted: ...


class CollectionRoutes:
    """Answers collections."""

    def __init__(self, collection: ServedCollection) -> None:
        self._collection = collection

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [
            web.get("/v1/p/{project}/blocks", self._page),
            web.post("/v1/p/{project}/delete-blocks", self._delete),
        ]

    async def _page(self, request: web.Request) -> web.Response:
        after = request.query.get("after")
        start = None if after is None else parse_block_id(after)
        return packed(await self._collection.page(project_of(request), start))

    async def _delete(self, request: web.Request) -> web.Response:
        blocks = await blocks_of(request)
        return packed(await self._collection.delete(project_of(request), blocks))
