"""Serves the dashboard and the metrics on loopback: a page, its data, and Prometheus text.

Other users of this machine can reach loopback too, and the page names projects. So every request
shows a token that lies in this user's home: in its address, in a cookie that the first such request
gets, or as `Authorization: Bearer`. The port has the limits that a port on the LAN has.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from lucidnode.node.callers import is_secret, nameless_runner
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.supervision import Supervisor
from lucidnode.node.dashboard.pages import MAX_BODY_BYTES, Pages, Shown
from lucidnode.node.peers.errors import PortTaken
from lucidnode.node.peers.listener import LimitedListener, UnauthenticatedLimit, bind
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.status.metrics import CONTENT_TYPE

TOKEN_FILE = "dashboard.token"  # noqa: S105  # its name
"""In the home: the token. A scraper is given it as `bearer_token_file`."""

COOKIE_S = 30 * 24 * 3600
"""For so long a browser that was let in opens the page by its bare address, a bookmark."""


class DashboardServer:
    """Listens on 127.0.0.1 at *port*, or at a free one for 0.

    With None it takes *last_port*, or a free one if another program (a second daemon, of another
    home) has that. A port that somebody chose is that port or PortTaken.
    """

    def __init__(
        self,
        port: int | None,
        *,
        last_port: int,
        token: str,
        clock: Clock,
        tasks: Supervisor,
        memory: MemoryBudget,
        connections: int,
    ) -> None:
        self._wanted_port = port
        self._last_port = last_port
        self._token = token
        self._clock = clock
        self._tasks = tasks
        self._memory = memory
        self._connections = connections
        self._probation = UnauthenticatedLimit()
        self._stack = contextlib.AsyncExitStack()
        self.port = 0

    @contextlib.asynccontextmanager
    async def serving(
        self,
        shown: Shown,
        metrics_text: Callable[[], bytes],
    ) -> AsyncIterator[None]:
        """Show what these return while the context lasts. Raises PortTaken."""
        self._pages, self._metrics_text = Pages(lambda _: shown, self._clock), metrics_text
        async with self._stack:
            await self._listen()
            yield

    async def _listen(self) -> None:
        app = web.Application(middlewares=[_from_this_host, self._proven])
        app.router.add_routes(self._pages.routes())
        app.router.add_get("/metrics", self._metrics)
        bound = self._stack.enter_context(self._bound())
        self.port = bound.getsockname()[1]
        runner = await nameless_runner(app, max_body_bytes=MAX_BODY_BYTES, shutdown_timeout_s=1)
        self._stack.push_async_callback(runner.cleanup)
        assert runner.server is not None
        listener = LimitedListener(
            bound,
            runner.server,
            self._probation,
            self._tasks,
            memory=self._memory,
            most=self._connections,
        )
        listening = self._tasks.keeping("answering browsers", listener.run)
        self._stack.callback(listening.cancel)

    def _bound(self) -> socket.socket:
        if self._wanted_port is not None:
            try:
                return bind("127.0.0.1", self._wanted_port)
            except PortTaken as error:
                raise PortTaken(
                    f"port {self._wanted_port} for the dashboard is taken: stop the other program "
                    "or set another `dashboard_port` in node.json (0 chooses a free one)"
                ) from error
        try:
            return bind("127.0.0.1", self._last_port)
        except PortTaken:
            return bind("127.0.0.1", 0)

    @property
    def url(self) -> str:
        """Where the page is on this machine."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def way_in(self) -> str:
        """The page's address with the token, for this user's own browser."""
        return f"{self.url}?token={self._token}"

    @web.middleware
    async def _proven(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        cookie = f"lucidnode-{self.port}"
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        shown = (
            request.query.get("token", ""),
            request.cookies.get(cookie, ""),
            bearer if scheme == "Bearer" else "",
        )
        if not any(is_secret(each, self._token) for each in shown):
            raise web.HTTPForbidden(text="open this page with `lucidnode dashboard`")
        self._probation.mark_authenticated(request)
        if request.path == "/" and "token" in request.query:
            # The token leaves the address at once, and with it the history of the browser.
            into = web.HTTPSeeOther("/")
            into.set_cookie(
                cookie,
                self._token,
                max_age=COOKIE_S,
                httponly=True,
                samesite="Strict",
                path="/",
            )
            raise into
        return await handler(request)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics_text(), headers={"Content-Type": CONTENT_TYPE})


@web.middleware
async def _from_this_host(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    # A page elsewhere could point its own name at 127.0.0.1 and read us through a browser here;
    # such a request carries that name, and a cross-site WebSocket carries its origin.
    host = request.host.rsplit(":", 1)[0]
    origin = request.headers.get("Origin")
    if host not in {"127.0.0.1", "localhost"} or origin not in {None, f"http://{request.host}"}:
        raise web.HTTPForbidden(text="this page is for this machine only")
    return await handler(request)
