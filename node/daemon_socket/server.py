"""Serves the daemon's Unix socket, whatever is asked there; the rooms beside this know what.

Only processes of the daemon's own user are served: the socket is 0600 and every connection's
credentials are checked as well.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from aiohttp import web

from lucidnode.node.callers import nameless_runner
from lucidnode.node.client import wire
from lucidnode.node.client.daemon_socket.statuses import status_of
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.supervision import Tasks
from lucidnode.node.daemon_socket.listener import DaemonSocket

_MAX_BODY_BYTES = wire.MAX_JOURNAL_ENTRY_BYTES + 1024 * 1024


class Room(Protocol):
    """Answers what is asked about one topic. Its handlers may raise a NodeError."""

    def routes(self) -> list[web.RouteDef]:
        """Return what it answers."""


class SocketServer:
    """Serves *rooms* on *listener*. Use `async with`."""

    def __init__(self, listener: DaemonSocket, rooms: Sequence[Room], tasks: Tasks) -> None:
        self._listener = listener
        self._rooms = rooms
        self._tasks = tasks
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> None:
        app = web.Application(middlewares=[self._as_errand, _same_user_only])
        for room in self._rooms:
            app.add_routes(room.routes())
        self._runner = await nameless_runner(
            app, max_body_bytes=_MAX_BODY_BYTES, shutdown_timeout_s=2
        )
        await web.SockSite(self._runner, self._listener.listening()).start()

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _as_errand(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer *request* as an errand of its own: whatever goes wrong ends it, and no more."""
        errand = self._tasks.create_task(
            _with_errors_as_statuses(request, handler), name=f"answering {request.method} requests"
        )
        try:
            await asyncio.wait({errand})
        finally:
            errand.cancel()
        if errand.cancelled() or errand.exception() is not None:
            return web.Response(status=500, text="the daemon failed at this: its log says at what")
        return errand.result()


async def _with_errors_as_statuses(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except NodeError as error:
        return web.Response(status=status_of(error), text=str(error) or type(error).__name__)
    except web.HTTPException as refusal:
        return web.Response(status=refusal.status, text=refusal.text)


@web.middleware
async def _same_user_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    transport = request.transport
    if transport is None:
        raise web.HTTPForbidden(text="the caller has gone")
    connection: socket.socket = transport.get_extra_info("socket")
    # struct ucred, unix(7): pid, uid, gid as three ints.
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", raw)
    if uid not in {os.getuid(), 0}:
        raise web.HTTPForbidden(text="this daemon belongs to another user")
    return await handler(request)
