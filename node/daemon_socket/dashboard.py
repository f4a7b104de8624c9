"""The ways into dashboards."""

from __future__ import annotations

import msgspec
from aiohttp import web

from lucidnode.node.client import wire
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.daemon_socket.requests import message_of, packed
from lucidnode.node.dashboard.visits import Visits

_WISH = msgspec.msgpack.Decoder(wire.DashboardWish)


class DashboardRoutes:
    """Answers who wants to look at a colleague's dashboard."""

    def __init__(self, visits: Visits) -> None:
        self._visits = visits

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [web.post("/v1/dashboard/way-in", self._way_in)]

    async def _way_in(self, request: web.Request) -> web.Response:
        wish = await message_of(request, _WISH)
        return packed(await self._visits.way_in(DeviceId(wish.device)))
