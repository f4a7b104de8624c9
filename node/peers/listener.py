"""Accepting connections from a network that may be hostile: how many, and how long unproven.

Whoever can reach the port can open connections. So connections in all, from one address and
unproven are limited, and one on which nobody has proven a right to be there is dropped after a few
seconds. Where too many are unproven, the oldest of the address with most of them makes room: an
honest caller proves himself in milliseconds, so it is not his. At another limit the caller is
turned away at once: the kernel's own queue would only hide it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NoReturn

from aiohttp import web

from lucidnode.node.client.callers import closed_if_cancelled, next_caller
from lucidnode.node.client.supervision import Tasks, outside
from lucidnode.node.peers.errors import PeerLost, PortTaken
from lucidnode.node.peers.memory_budget import STREAM_BYTES, MemoryBudget

MAX_UNAUTHENTICATED = 128
"""Connections that have not shown who they are: handshakes, half-written requests."""

MAX_UNAUTHENTICATED_FROM_ONE = 48
"""Those of one address. A peer that begins to read opens AT_ONCE of them (node/peers/peer_table.py)
in a moment, and a link."""

ENTERING_BYTES = 64 * 1024
"""What a connection is counted with that has not come as far as HTTP."""

AUTHENTICATE_TIMEOUT_S = 3.0
"""Seconds to show it."""


def bind(host: str | None, port: int, usual: int = 0) -> socket.socket:
    """Return a listening socket; *host* None means everywhere.

    *port* 0 takes the *usual* one, and lets the system choose if there is none or somebody has it.

    Raises PortTaken.
    """
    if usual and not port:
        with contextlib.suppress(PortTaken):
            return bind(host, usual)
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


class UnauthenticatedLimit:
    """Connections that have not shown yet who they are, by address, and how long they may go on so."""

    def __init__(self) -> None:
        self._timers: dict[web.RequestHandler, tuple[str, asyncio.TimerHandle]] = {}
        self._by_host: dict[str, dict[web.RequestHandler, socket.socket]] = {}

    def __len__(self) -> int:
        return len(self._timers)

    def __contains__(self, protocol: web.RequestHandler) -> bool:
        return protocol in self._timers

    def begin(self, protocol: web.RequestHandler, host: str, connection: socket.socket) -> None:
        """Give the connection of *protocol* AUTHENTICATE_TIMEOUT_S seconds from now, and make room for it."""
        theirs = self._by_host.setdefault(host, {})
        if len(theirs) >= MAX_UNAUTHENTICATED_FROM_ONE:
            self._drop(next(iter(theirs)))
        elif len(self._timers) >= MAX_UNAUTHENTICATED:
            greediest = max(self._by_host, key=lambda each: len(self._by_host[each]))
            self._drop(next(iter(self._by_host[greediest])))
        loop = asyncio.get_running_loop()
        self._by_host.setdefault(host, {})[protocol] = connection
        self._timers[protocol] = host, loop.call_later(AUTHENTICATE_TIMEOUT_S, self._drop, protocol)

    def end(self, protocol: web.RequestHandler) -> None:
        """Leave the connection of *protocol* alone from now on."""
        host, timer = self._timers.pop(protocol, ("", None))
        if timer is not None:
            timer.cancel()
            theirs = self._by_host[host]
            del theirs[protocol]
            if not theirs:
                del self._by_host[host]

    def mark_authenticated(self, request: web.BaseRequest) -> None:
        """Say that whoever sent *request* has proven a right to be here."""
        self.end(request.protocol)

    def _drop(self, protocol: web.RequestHandler) -> None:
        connection = self._by_host[self._timers[protocol][0]][protocol]
        self.end(protocol)
        if protocol.transport is not None:
            protocol.transport.abort()
        else:
            # In its handshake: the loop has the socket, and ends it when it reads the end.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class LimitedListener:
    """Feeds the connections of one listening socket to *server*, *most* proven ones at a time.

    Each takes *each_bytes* of *memory*; one that does not fit is turned away. With *secured*
    it speaks TLS, under the context that *secured* returns for each connection once its caller has
    said what is to be said before; it may raise. The socket is the caller's to close.
    """

    def __init__(
        self,
        bound: socket.socket,
        server: web.Server,
        limit: UnauthenticatedLimit,
        tasks: Tasks,
        *,
        memory: MemoryBudget,
        each_bytes: int = STREAM_BYTES,
        most: int,
        secured: Callable[[socket.socket], Awaitable[ssl.SSLContext]] | None = None,
        inside: Callable[[socket.socket], Awaitable[socket.socket]] | None = None,
        admits: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """*admits* tells of an address of ours whether connections to it are taken.

        With *inside* the server has what that makes of each connection instead.
        """
        self._inside = inside
        self._hosts: dict[web.RequestHandler, str] = {}
        self._admits = admits
        self._bound = bound
        self._server = server
        self._limit = limit
        self._tasks = tasks
        self._memory = memory
        self._each_bytes = each_bytes
        self._entering = 0
        self._arriving: set[asyncio.Task[None]] = set()
        """Let in, and not among the server's connections yet: of many that call at once each is counted."""
        self._most = most
        memory.watch(
            lambda: (
                (len(server.connections) + len(self._arriving)) * each_bytes
                + self._entering * ENTERING_BYTES
            )
        )
        self._secured = secured

    async def run(self) -> NoReturn:
        """Accept until cancelled."""
        while True:
            try:
                connection, address = await next_caller(self._bound)
            except OSError:
                # Out of descriptors, or a caller that has gone already.
                await asyncio.sleep(0.1)
                continue
            host = network_of(str(address[0]))
            if self._admits(_own_address(connection)) and self._has_room_for(host):
                taking = self._tasks.create_task(self._take(connection, host), name="a caller")
                self._arriving.add(taking)
                taking.add_done_callback(self._arriving.discard)
                taking.add_done_callback(partial(closed_if_cancelled, connection))
            else:
                connection.close()
            # Who calls again and again shall not keep out what else is to be done.
            await asyncio.sleep(0)

    def _has_room_for(self, host: str) -> bool:
        proven = [each for each in self._server.connections if each not in self._limit]
        if len(proven) >= self._most or not self._memory.has_room(self._each_bytes):
            return False
        theirs = sum(self._hosts.get(each) == host for each in proven)
        return theirs < self._most // 2

    async def _take(self, connection: socket.socket, host: str) -> None:
        loop = asyncio.get_running_loop()
        protocol = self._server()
        self._limit.begin(protocol, host, connection)
        open_ = set(self._server.connections)
        self._hosts = {each: at for each, at in self._hosts.items() if each in open_}
        self._hosts[protocol] = host
        self._entering += 1
        if self._inside is not None or self._secured is not None:
            # It may take its time to prove itself, and is a connection of the server only then.
            self._arriving.discard(asyncio.current_task())
        try:
            with outside(PeerLost):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._inside is not None:
                    plain = await self._inside(connection)
                    await loop.connect_accepted_socket(lambda: protocol, plain)
                elif self._secured is None:
                    await loop.connect_accepted_socket(lambda: protocol, connection)
                else:
                    await loop.connect_accepted_socket(
                        lambda: protocol,
                        connection,
                        ssl=await self._secured(connection),
                        ssl_handshake_timeout=AUTHENTICATE_TIMEOUT_S,
                    )
        except PeerLost:
            # Not one of us, or gone.
            self._limit.end(protocol)
            connection.close()
        finally:
            self._entering -= 1


def _own_address(connection: socket.socket) -> str:
    """Return the address of ours that was called, as the interfaces have it; empty if it has gone."""
    try:
        address = ipaddress.ip_address(connection.getsockname()[0].partition("%")[0])
    except (OSError, ValueError):
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


def network_of(host: str) -> str:
    """Return what one caller can easily have many addresses in: an IPv6 /64, else the address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
