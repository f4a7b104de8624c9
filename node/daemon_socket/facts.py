"""What the daemon tells people of itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web


class FactRoutes:
    """Answers with the facts of *topics*, as JSON."""

    def __init__(self, topics: Mapping[str, Callable[[], Awaitable[Any]]]) -> None:
        self._topics = topics

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [web.get("/v1/{topic}", self._on)]

    async def _on(self, request: web.Request) -> web.Response:
        topic = self._topics.get(request.match_info["topic"])
        if topic is None:
            raise web.HTTPNotFound(text="no such topic")
        return web.Response(
            body=msgspec.json.encode(await topic()), content_type="application/json"
        )
