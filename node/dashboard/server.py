"""Serves the dashboard and the metrics on loopback: a page, its data, and Prometheus text.

Other users of this machine can reach loopback too, and the page names projects. So every request
shows a token that lies in this user's home: in its address, in a cookie that the first such request
gets, or as `Authorization: Bearer`. The port has the limits that a port on the LAN has.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from typing import Any

import msgspec
from aiohttp import web

from lucidnode.node.callers import nameless_runner
from lucidnode.node.client import mount_messages
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed, NodeError
from lucidnode.node.client.ids import ProjectId, parse_project_id
from lucidnode.node.client.supervision import Supervisor
from lucidnode.node.peers.errors import PortTaken
from lucidnode.node.peers.listener import LimitedListener, UnauthenticatedLimit, bind
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.status.history import SPANS
from lucidnode.node.status.metrics import CONTENT_TYPE

TOKEN_FILE = "dashboard.token"  # noqa: S105  # its name
"""In the home: the token. A scraper is given it as `bearer_token_file`."""

_REFRESH_S = 1.0

COOKIE_S = 30 * 24 * 3600
"""For so long a browser that was let in opens the page by its bare address, a bookmark."""

MAX_BODY_BYTES = 4096
"""Of a request: nothing that the page asks for has a body."""

_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


Changes = Callable[[ProjectId, str, int | None, int], Awaitable[mount_messages.EventsPage]]
"""Returns what comes next in a project for a reader: behind a place, lately for None."""

_READER = re.compile(r"[0-9a-f]{16}")


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
        page_facts: Callable[[], Awaitable[dict[str, Any]]],
        metrics_text: Callable[[], bytes],
        history: Callable[[str], dict[str, Any]],
        changes: Changes,
    ) -> AsyncIterator[None]:
        """Show what these return while the context lasts, *history* of a span. Raises PortTaken."""
        self._page_facts, self._metrics_text, self._shown_history, self._read_changes = (
            page_facts,
            metrics_text,
            history,
            changes,
        )
        async with self._stack:
            await self._listen()
            yield

    async def _listen(self) -> None:
        app = web.Application(middlewares=[_from_this_host, self._proven])
        for path in _FILES:
            app.router.add_get(path, self._file)
        app.router.add_get("/facts", self._facts)
        app.router.add_get("/live", self._live)
        app.router.add_get("/history", self._history)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/changes", self._changes)
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
        if not any(secrets.compare_digest(each.encode(), self._token.encode()) for each in shown):
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

    async def _file(self, request: web.Request) -> web.Response:
        name, kind = _FILES[request.path]
        text = resources.files("lucidnode.node.dashboard").joinpath(name).read_text("utf-8")
        return web.Response(text=text, content_type=kind, headers=_HEADERS)

    async def _facts(self, _request: web.Request) -> web.Response:
        body = msgspec.json.encode(await self._page_facts())
        return web.Response(body=body, content_type="application/json", headers=_HEADERS)

    async def _history(self, request: web.Request) -> web.Response:
        span = request.query.get("span", "")
        if span not in SPANS:
            raise web.HTTPBadRequest(text=f"span: one of {', '.join(SPANS)}")
        body = msgspec.json.encode(self._shown_history(span))
        return web.Response(body=body, content_type="application/json", headers=_HEADERS)

    async def _changes(self, request: web.Request) -> web.Response:
        """Answer what happened in a project behind a place: empty if that is nothing soon."""
        asked = request.query
        reader = asked.get("reader", "")
        try:
            project = parse_project_id(asked.get("project", ""))
            after = _number(asked["after"]) if "after" in asked else None
            told = _number(asked.get("told", "0"))
        except Malformed as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        if not _READER.fullmatch(reader):
            raise web.HTTPBadRequest(text="reader: 16 hex digits")
        try:
            page = await self._read_changes(project, reader, after, told)
        except NodeError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        body = msgspec.json.encode(page)
        return web.Response(body=body, content_type="application/json", headers=_HEADERS)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        """Send the facts every second over a WebSocket."""
        stream = web.WebSocketResponse(heartbeat=20, max_msg_size=4096)
        await stream.prepare(request)

        async def send() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    await stream.send_str(msgspec.json.encode(await self._page_facts()).decode())
                    await self._clock.sleep(_REFRESH_S)

        sender = asyncio.ensure_future(send())
        try:
            async for _ in stream:
                pass
        finally:
            sender.cancel()
            await asyncio.wait([sender])
        return stream

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics_text(), headers={"Content-Type": CONTENT_TYPE})


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 16):
        raise Malformed(f"{text[:20]!r} is no number")
    return int(text)


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
