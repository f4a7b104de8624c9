"""The control channel's listening end: who may connect, and what it is given.

TLS has admitted a certificate of the roster before anything here is parsed; which device it is, is
looked up once more in the roster of this moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.supervision import outside
from lucidnode.node.peers.errors import PeerFailed, PeerLied, PeerLost
from lucidnode.node.peers.hosts import fact, peer_host
from lucidnode.node.peers.link import (
    HANDSHAKE_TIMEOUT_S,
    HEARTBEAT_INTERVAL_S,
    PeerLink,
    proven_device,
    receive,
)
from lucidnode.node.peers.members import Members
from lucidnode.node.peers.messages import (
    MAX_MESSAGE_BYTES,
    PROTOCOL,
    HandshakeRequest,
    HandshakeResponse,
    Message,
    encode,
)
from lucidnode.node.peers.sessions import SessionTable


class Incoming(Protocol):
    """Told of links that others dialled."""

    def arrived(self, link: PeerLink, hello: HandshakeRequest) -> bool:
        """Hear of a peer's link. False turns it away."""

    def heard(self, link: PeerLink, message: Message) -> None:
        """Hear what the peer says. Malformed, raised here, ends the link."""

    def left(self, link: PeerLink) -> None:
        """Hear that a link has ended that had arrived."""


class ControlServer:
    """Answers on the control port. *body_port*, *weight* and *encrypted* are what a peer is told of this node."""

    def __init__(
        self,
        *,
        sessions: SessionTable,
        members: Members,
        incoming: Incoming,
        instance: bytes,
        weight: int,
        body_port: int,
        encrypted: bool,
        mark_authenticated: Callable[[web.BaseRequest], None],
    ) -> None:
        self._sessions = sessions
        self._members = members
        self._incoming = incoming
        self._instance = instance
        self._weight = weight
        self._body_port = body_port
        self._encrypted = encrypted
        self._mark_authenticated = mark_authenticated

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: `GET /control` becomes a link, all else gets 401."""
        device = proven_device(fact(request.transport, "ssl_object"), self._members)
        peername = fact(request.transport, "peername")
        if device is None or peername is None or request.raw_path != "/control":
            refusal = web.Response(status=401)
            refusal.force_close()
            return refusal
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_INTERVAL_S,
            max_msg_size=MAX_MESSAGE_BYTES,
            compress=False,
            timeout=1.0,
        )
        try:
            with outside(PeerLied, TimeoutError, Malformed, ConnectionError, PeerFailed):
                await socket.prepare(request)
                async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                    hello = await receive(socket)
        except (TimeoutError, Malformed, ConnectionError, PeerFailed):
            hello = None
        if isinstance(hello, HandshakeRequest) and hello.protocol == PROTOCOL:
            self._mark_authenticated(request)
            await self._run(socket, device, hello, peer_host(peername))
        await socket.close()
        return socket

    async def _run(
        self, socket: web.WebSocketResponse, device: DeviceId, hello: HandshakeRequest, host: str
    ) -> None:
        link = PeerLink(socket, device, hello.instance, host)
        session = self._sessions.give(device)
        welcome = HandshakeResponse(
            protocol=PROTOCOL,
            instance=self._instance,
            weight=self._weight,
            body_port=self._body_port,
            session=session.id,
            secret=session.secret,
            encrypted=self._encrypted,
        )
        try:
            with outside(PeerLost):
                await socket.send_bytes(encode(welcome))
            if self._incoming.arrived(link, hello):
                try:
                    await link.run(lambda message: self._incoming.heard(link, message))
                finally:
                    self._incoming.left(link)
        except PeerLost:
            pass  # it left during the introduction
        finally:
            # What was granted to a link ends with it: a device that is revoked, or gone, asks in vain.
            self._sessions.revoke(session)
