"""Blocks of a project: fetched, taken over from staging, looked after."""

from __future__ import annotations

from typing import Protocol

import msgspec
from aiohttp import web

from lucidnode.node.client import wire
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import BlockId, ProjectId, block_ids, parse_block_id
from lucidnode.node.daemon_socket.requests import (
    blocks_of,
    done,
    listed,
    message_of,
    number_of,
    packed,
    project_of,
)

MAX_PATIENCE_S = 45.0
"""Seconds that one question for a block waits at most."""

_RANKED_BLOCKS = msgspec.msgpack.Decoder(wire.RankedBlocks)


class ServedBlocks(Protocol):
    """Blocks of all projects: brought here, taken over from staging, looked after (BlocksForMounts)."""

    async def obtain(
        self,
        project: ProjectId,
        block: BlockId,
        *,
        patience_s: float,
        as_bytes: bool,
        reading: wire.Reading | None,
    ) -> tuple[wire.Source, bytes | None]: ...
    async def staged(self, project: ProjectId, blocks: list[BlockId], ranks: list[int]) -> None: ...
    async def uploaded(self, project: ProjectId, blocks: list[BlockId]) -> list[BlockId]: ...
    async def gone(self, project: ProjectId, blocks: list[BlockId]) -> list[BlockId]: ...
    def withdraw(self, project: ProjectId, blocks: list[BlockId]) -> None: ...
    async def given_up(self, project: ProjectId, blocks: list[BlockId]) -> None: ...
    async def put_back(
        self, project: ProjectId, blocks: list[BlockId], *, look: bool
    ) -> wire.BlocksPutBack: ...
    def bad(self, project: ProjectId) -> list[BlockId]: ...
    def touched(self, blocks: list[BlockId]) -> None: ...


class BlockRoutes:
    """Answers mounts about blocks."""

    def __init__(self, blocks: ServedBlocks) -> None:
        self._blocks = blocks

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [
            web.get("/v1/p/{project}/block/{block}", self._obtain),
            web.post("/v1/p/{project}/staged", self._staged),
            web.post("/v1/p/{project}/uploaded", self._uploaded),
            web.post("/v1/p/{project}/gone", self._gone),
            web.post("/v1/p/{project}/withdraw", self._withdraw),
            web.post("/v1/p/{project}/given-up", self._given_up),
            web.get("/v1/p/{project}/bad", self._bad),
            web.post("/v1/p/{project}/touched", self._touched),
            web.post("/v1/p/{project}/put-back", self._put_back),
        ]

    async def _obtain(self, request: web.Request) -> web.Response:
        block = parse_block_id(request.match_info["block"])
        source, body = await self._blocks.obtain(
            project_of(request),
            block,
            patience_s=_patience(request),
            as_bytes=request.headers.get(wire.BYTES_HEADER) == "1",
            reading=_reading(request),
        )
        headers = {wire.SOURCE_HEADER: source}
        if body is None:
            return web.Response(status=204, headers=headers)
        return web.Response(body=body, headers=headers)

    async def _staged(self, request: web.Request) -> web.Response:
        staged = await message_of(request, _RANKED_BLOCKS)
        blocks = block_ids(staged.ids)
        if staged.ranks and len(staged.ranks) != len(blocks):
            raise Malformed("ranks of other blocks")
        await self._blocks.staged(project_of(request), blocks, staged.ranks)
        return done()

    async def _uploaded(self, request: web.Request) -> web.Response:
        return listed(await self._blocks.uploaded(project_of(request), await blocks_of(request)))

    async def _gone(self, request: web.Request) -> web.Response:
        return listed(await self._blocks.gone(project_of(request), await blocks_of(request)))

    async def _withdraw(self, request: web.Request) -> web.Response:
        self._blocks.withdraw(project_of(request), await blocks_of(request))
        return done()

    async def _given_up(self, request: web.Request) -> web.Response:
        await self._blocks.given_up(project_of(request), await blocks_of(request))
        return done()

    async def _bad(self, request: web.Request) -> web.Response:
        return listed(self._blocks.bad(project_of(request)))

    async def _touched(self, request: web.Request) -> web.Response:
        self._blocks.touched(await blocks_of(request))
        return done()

    async def _put_back(self, request: web.Request) -> web.Response:
        look = request.query.get("look") == "1"
        blocks = await blocks_of(request)
        return packed(await self._blocks.put_back(project_of(request), blocks, look=look))


def _patience(request: web.Request) -> float:
    try:
        timeout_s = float(request.headers.get(wire.PATIENCE_HEADER, MAX_PATIENCE_S))
    except ValueError:
        raise Malformed("patience") from None
    # Written so that what is no number at all is refused as well.
    if not 0.0 <= timeout_s <= MAX_PATIENCE_S:
        raise Malformed("patience")
    return timeout_s


def _reading(request: web.Request) -> wire.Reading | None:
    """Return who reads, if it is said. Raises Malformed."""
    if "program" not in request.query:
        return None
    program, opening = request.query["program"], request.query.get("opening", "")
    size, ahead = number_of(request.query.get("size", "")), request.query.get("ahead", "0")
    if not (0 < len(program) <= wire.MAX_PROGRAM_NAME and 0 < len(opening) <= wire.MAX_OPENING):
        raise Malformed("a program or an opening")
    if size > wire.MAX_BLOCK_CIPHERTEXT_BYTES or ahead not in {"0", "1"}:
        raise Malformed("a reading")
    return wire.Reading(program, opening, size, ahead == "1")
