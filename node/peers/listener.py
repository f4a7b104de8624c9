"""Accepting connections from a LAN that may be hostile: how many, and for how long unproven.

Whoever can reach the port can open connections. So handshakes under way, connections in all and
connections from one address are limited, and a connection on which nobody has proven a right to be
there is dropped after a few seconds. At a limit the caller is turned away at once: the kernel's own
queue would only hide it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import NoReturn

from aiohttp import web

from lucidnode.node.peers.errors import PortTaken
from lucidnode.node.peers.hosts import fact

MOST = 512
"""Connections in all, idle ones included: half of the file descriptors a process usually has."""

MOST_FROM_ONE = 256
"""Connections from one address, so that one caller cannot take them all. One peer uses AT_ONCE and
a link (node/peers/neighbours.py); several may share an address."""

MOST_UNPROVEN = 256
"""Connections that have not shown who they are: handshakes, half-written requests. Peers that all
begin to read at once open as many in a moment."""

PROVE = 3.0
"""Seconds to show it."""


def bind(host: str | None, port: int) -> socket.socket:
    """Return a listening socket; *port* 0 lets the system choose, *host* None means everywhere.

    Raises PortTaken.
    """
    try:
        if host is None and socket.has_dualstack_ipv6():
            bound = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        else:
            family = socket.AF_INET6 if host is not None and ":" in host else socket.AF_INET
            bound = socket.create_server((host or "", port), family=family)
    except OSError as error:
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            raise PortTaken(f"cannot listen on port {port}: {error.strerror}") from error
        raise
    bound.setblocking(False)
    return bound


class Probation:
    """Connections that have not shown yet who they are, and how long they may go on so."""

    def __init__(self) -> None:
        self._unproven: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._unproven)

    def begin(self, protocol: web.RequestHandler) -> None:
        """Give the connection of *protocol* PROVE seconds from now."""
        loop = asyncio.get_running_loop()
        self._unproven[protocol] = loop.call_later(PROVE, self._drop, protocol)

    def end(self, protocol: web.RequestHandler) -> None:
        """Leave the connection of *protocol* alone from now on."""
        timer = self._unproven.pop(protocol, None)
        if timer is not None:
            timer.cancel()

    def vouch(self, request: web.BaseRequest) -> None:
        """Say that whoever sent *request* has proven a right to be here."""
        self.end(request.protocol)

    def _drop(self, protocol: web.RequestHandler) -> None:
        self._unproven.pop(protocol, None)
        if protocol.transport is not None:
            protocol.transport.abort()


class Listener:
    """Feeds the connections of one listening socket to *server*, within the limits above.

    With *context* it speaks TLS; the context is asked for anew with each connection.
    """

    def __init__(
        self,
        bound: socket.socket,
        server: web.Server,
        probation: Probation,
        context: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._bound = bound
        self._server = server
        self._probation = probation
        self._context = context

    async def run(self) -> NoReturn:
        """Accept until cancelled; then the socket is closed."""
        loop = asyncio.get_running_loop()
        with self._bound:
            async with asyncio.TaskGroup() as handshakes:
                while True:
                    try:
                        connection, address = await loop.sock_accept(self._bound)
                    except OSError:
                        # Out of descriptors, or a caller that has gone already.
                        await asyncio.sleep(0.1)
                        continue
                    if self._has_room_for(address[0]):
                        handshakes.create_task(self._take(connection))
                    else:
                        connection.close()

    def _has_room_for(self, host: str) -> bool:
        if len(self._probation) >= MOST_UNPROVEN or len(self._server.connections) >= MOST:
            return False
        callers = (fact(c.transport, "peername") for c in self._server.connections)
        theirs = sum(1 for caller in callers if caller is not None and caller[0] == host)
        return theirs < MOST_FROM_ONE

    async def _take(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        protocol = self._server()
        self._probation.begin(protocol)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is None:
                await loop.connect_accepted_socket(lambda: protocol, connection)
            else:
                await loop.connect_accepted_socket(
                    lambda: protocol,
                    connection,
                    ssl=self._context(),
                    ssl_handshake_timeout=PROVE,
                )
        except (TimeoutError, OSError, ssl.SSLError):
            # Not one of us, or gone. The loop has closed the connection.
            self._probation.end(protocol)
