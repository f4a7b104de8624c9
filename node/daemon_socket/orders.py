"""What commands have the daemon do, beyond answering."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from lucidnode.node.daemon_socket.requests import done, nothing


class OrderRoutes:
    """Has *orders* carried out, each by its word; *hold_node_key* takes over what comes with it."""

    def __init__(
        self,
        orders: Mapping[str, Callable[[], Awaitable[None]]],
        hold_node_key: Callable[[bytes], None],
    ) -> None:
        self._orders = orders
        self._hold = hold_node_key

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [
            web.post("/v1/node-key", self._hold_node_key),
            web.post("/v1/{what:.+}", self._give),
        ]

    async def _give(self, request: web.Request) -> web.Response:
        order = self._orders.get(request.match_info["what"])
        if order is None:
            raise web.HTTPNotFound(text="no such order")
        await order()
        return done()

    async def _hold_node_key(self, request: web.Request) -> web.Response:
        self._hold(await request.read())
        return nothing()
