"""Receivers that are told what happens in projects."""

from __future__ import annotations

import msgspec
from aiohttp import web

from lucidnode.node.client import wire
from lucidnode.node.daemon_socket.requests import message_of, nothing, packed
from lucidnode.node.webhooks.service import Webhooks

_WISH = msgspec.msgpack.Decoder(wire.WebhookWish)
_NAMED = msgspec.msgpack.Decoder(wire.WebhookNamed)


class WebhookRoutes:
    """Answers commands about webhooks."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [
            web.post("/v1/webhooks/add", self._add),
            web.post("/v1/webhooks/remove", self._remove),
            web.post("/v1/webhooks/test", self._test),
        ]

    async def _add(self, request: web.Request) -> web.Response:
        wish = await message_of(request, _WISH)
        return packed(await self._webhooks.add(wish))

    async def _remove(self, request: web.Request) -> web.Response:
        await self._webhooks.remove((await message_of(request, _NAMED)).id)
        return nothing()

    async def _test(self, request: web.Request) -> web.Response:
        await self._webhooks.test((await message_of(request, _NAMED)).id)
        return nothing()
