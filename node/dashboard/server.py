"""Serves the dashboard and the metrics on loopback: a page, its data, and Prometheus text.

Whoever can open a loopback socket can read the metrics, which are numbers only. The page names
projects, so it is shown to this daemon's own user alone: the kernel's socket table says who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any, Self

import msgspec
from aiohttp import web

from lucidnode.node.client.clock import Clock
from lucidnode.node.metrics import CONTENT_TYPE
from lucidnode.node.peers.errors import PortTaken

USUAL_PORT = 8440

_REFRESH_SECONDS = 1.0

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


class DashboardServer:
    """Listens on 127.0.0.1 at *port*, or at a free one for 0. Use `async with`.

    With None it takes USUAL_PORT, or a free one if another program (a second daemon, of another
    home) has that. A port that somebody chose is that port or PortTaken.
    """

    def __init__(
        self,
        port: int | None,
        *,
        page_facts: Callable[[], Awaitable[dict[str, Any]]],
        metrics_text: Callable[[], bytes],
        clock: Clock,
    ) -> None:
        self._wanted_port = port
        self._page_facts = page_facts
        self._metrics_text = metrics_text
        self._clock = clock
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[_from_this_host])
        for path in _FILES:
            app.router.add_get(path, self._file)
        app.router.add_get("/facts", self._facts)
        app.router.add_get("/live", self._live)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        ports = [USUAL_PORT, 0] if self._wanted_port is None else [self._wanted_port]
        for port in ports:
            try:
                await web.TCPSite(self._runner, "127.0.0.1", port).start()
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        else:
            await self._runner.cleanup()
            raise PortTaken(
                f"port {self._wanted_port} for the dashboard is taken: stop the other program "
                "or set another `dashboard_port` in node.json (0 chooses a free one)"
            )
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        return f"http://127.0.0.1:{self.port}/"

    async def _file(self, request: web.Request) -> web.Response:
        name, kind = _FILES[request.path]
        text = resources.files("lucidnode.node.dashboard").joinpath(name).read_text("utf-8")
        return web.Response(text=text, content_type=kind, headers=_HEADERS)

    async def _facts(self, request: web.Request) -> web.Response:
        _refuse_other_users(request)
        body = msgspec.json.encode(await self._page_facts())
        return web.Response(body=body, content_type="application/json", headers=_HEADERS)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        """Send the facts every second over a WebSocket."""
        _refuse_other_users(request)
        stream = web.WebSocketResponse(heartbeat=20)
        await stream.prepare(request)

        async def send() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    await stream.send_str(msgspec.json.encode(await self._page_facts()).decode())
                    await self._clock.sleep(_REFRESH_SECONDS)

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


def _refuse_other_users(request: web.Request) -> None:
    peer = request.transport and request.transport.get_extra_info("peername")
    if not peer or socket_owner(*peer[:2]) not in {os.getuid(), 0}:
        raise web.HTTPForbidden(text="this page belongs to another user of this machine")


def socket_owner(address: str, port: int) -> int | None:
    """Return the uid that owns the IPv4 TCP socket bound to *address*:*port* here, or None.

    Read from /proc/net/tcp (proc(5)): local address as little-endian hex, uid in column 8.
    """
    octets = bytes(int(part) for part in address.split("."))
    wanted = f"{octets[::-1].hex().upper()}:{port:04X}"
    with contextlib.suppress(OSError), Path("/proc/net/tcp").open(encoding="ascii") as table:
        for row in table:
            fields = row.split()
            if len(fields) > 7 and fields[1] == wanted:
                return int(fields[7])
    return None
