"""The two ports of this node, and what answers behind them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, Self

from aiohttp import web

from lucidnode.node.blocks.traffic import Traffic
from lucidnode.node.bucket.pace import Pace
from lucidnode.node.callers import nameless_server
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.supervision import Tasks
from lucidnode.node.peers.body_server import BlockProvider, BodyServer
from lucidnode.node.peers.control_server import ControlServer, Incoming
from lucidnode.node.peers.entrance import admit
from lucidnode.node.peers.link import LINK_BYTES
from lucidnode.node.peers.listener import LimitedListener, UnauthenticatedLimit, bind
from lucidnode.node.peers.members import Members
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.peers.sessions import SessionTable
from lucidnode.node.peers.tls import Tls
from lucidnode.node.peers.tls_pipe import accepted

IDLE_TIMEOUT_S = 75.0
"""Seconds an idle connection for bodies stays open; longer than the asking end keeps it."""

SHUTDOWN_TIMEOUT_S = 0.2
"""Seconds for requests under way when the node stops."""


class PeerServer:
    """The control port and the body port, taken on creation. Raises PortTaken."""

    def __init__(
        self, host: str | None, control_port: int, body_port: int, usual: tuple[int, int] = (0, 0)
    ) -> None:
        """*usual* are the ports to try where one is 0."""
        self._control = bind(host, control_port, usual[0])
        try:
            self._body = bind(host, body_port, usual[1])
        except BaseException:
            self._control.close()
            raise
        self.control_port: int = self._control.getsockname()[1]
        self.body_port: int = self._body.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._control.close()
        self._body.close()

    async def serve(
        self,
        *,
        tls: Tls,
        lan_key: bytes,
        members: Members,
        provider: BlockProvider,
        traffic: Traffic,
        wanted: Callable[[BlockId], bool],
        incoming: Incoming,
        instance: bytes,
        weight: int,
        most: int,
        offers_bytes: int,
        encrypt: bool,
        memory: MemoryBudget,
        pace: Pace,
        is_quiet: Callable[[], bool],
        admits: Callable[[str], bool],
        tasks: Tasks,
    ) -> NoReturn:
        """Answer on both ports until cancelled, *most* connections on each.

        See the two servers for the other parameters; handshakes run in *tasks*.
        """
        sessions, of_bodies, of_control = (
            SessionTable(),
            UnauthenticatedLimit(),
            UnauthenticatedLimit(),
        )
        bodies = BodyServer(
            sessions=sessions,
            members=members,
            provider=provider,
            traffic=traffic,
            mark_authenticated=of_bodies.mark_authenticated,
            wanted=wanted,
            offers_bytes=offers_bytes,
            memory=memory,
            pace=pace,
            is_quiet=is_quiet,
        )
        control = ControlServer(
            sessions=sessions,
            members=members,
            incoming=incoming,
            instance=instance,
            weight=weight,
            body_port=self.body_port,
            encrypted=encrypt,
            mark_authenticated=of_control.mark_authenticated,
        )

        async def admitted(connection: socket.socket) -> ssl.SSLContext:
            return await admit(connection, lan_key, tls.server)

        async def inside_tls(connection: socket.socket) -> socket.socket:
            return await accepted(connection, tls.server, tasks.create_task)

        body_server, control_server = _server(bodies.handle), _server(control.handle)
        listeners = (
            LimitedListener(
                self._body,
                body_server,
                of_bodies,
                tasks,
                memory=memory,
                most=most,
                inside=inside_tls if encrypt else None,
                admits=admits,
            ),
            LimitedListener(
                self._control,
                control_server,
                of_control,
                tasks,
                memory=memory,
                each_bytes=LINK_BYTES,
                most=most,
                secured=admitted,
                admits=admits,
            ),
        )
        try:
            async with asyncio.TaskGroup() as listening:
                for listener in listeners:
                    listening.create_task(listener.run())
        finally:
            async with asyncio.TaskGroup() as closing:
                closing.create_task(control_server.shutdown(SHUTDOWN_TIMEOUT_S))
                closing.create_task(body_server.shutdown(SHUTDOWN_TIMEOUT_S))
        raise AssertionError("a listener ended by itself")


class NoServer:
    """In the place of a PeerServer where nobody is served: a port to name, which answers nobody."""

    def __init__(self) -> None:
        self._held = socket.socket()
        self._held.bind(("127.0.0.1", 0))  # and not listened on: who calls is refused at once
        self.control_port: int = self._held.getsockname()[1]
        self.body_port = self.control_port

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()

    async def serve(self, **_like_a_server: object) -> NoReturn:
        """Wait until cancelled."""
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


def _server(handle: Callable[[web.BaseRequest], object]) -> web.Server:
    # Requests are small and in one form; whatever is larger is not from one of us.
    return nameless_server(
        handle,
        auto_decompress=False,
        keepalive_timeout=IDLE_TIMEOUT_S,
        lingering_time=0.0,
        max_line_size=1024,
        max_field_size=1024,
        max_headers=32,
    )
