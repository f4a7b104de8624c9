"""What is pinned on this workstation."""

from __future__ import annotations

import msgspec
from aiohttp import web

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import block_ids, parse_project_id
from lucidnode.node.client.pins import PinnedPart, PinsWish
from lucidnode.node.daemon_socket.requests import message_of, nothing, packed
from lucidnode.node.pins.keeper import PinKeeper

_PINNED_PART = msgspec.msgpack.Decoder(PinnedPart)
_PINS_WISH = msgspec.msgpack.Decoder(PinsWish)


class PinRoutes:
    """Answers mounts and commands about pins."""

    def __init__(self, pins: PinKeeper) -> None:
        self._pins = pins

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [
            web.post("/v1/pins/order", self._order),
            web.post("/v1/pins/part", self._part),
            web.post("/v1/pins/here", self._here),
        ]

    async def _order(self, request: web.Request) -> web.Response:
        wish = await message_of(request, _PINS_WISH)
        project = parse_project_id(wish.project)
        return packed(await self._pins.order(project, wish.order, wish.places))

    async def _part(self, request: web.Request) -> web.Response:
        part = await message_of(request, _PINNED_PART)
        project, blocks = parse_project_id(part.project), block_ids(part.ids)
        if len(part.sizes) != len(blocks):
            raise Malformed("sizes of other blocks")
        sizes = dict(zip(blocks, part.sizes, strict=True))
        await self._pins.part(project, sizes, first=part.first, last=part.last)
        return nothing()

    async def _here(self, _: web.Request) -> web.Response:
        return packed(self._pins.here())
