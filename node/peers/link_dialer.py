"""The control channel's dialling end: one attempt at a candidate, as long as it lasts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

import aiohttp

from lucidnode.discovery.candidate import Candidate
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.supervision import outside
from lucidnode.node.peers.errors import PeerLied, PeerLost
from lucidnode.node.peers.hosts import peer_host, refusing_redirects, url_host
from lucidnode.node.peers.link import (
    HANDSHAKE_TIMEOUT_S,
    HEARTBEAT_INTERVAL_S,
    PeerLink,
    proven_device,
    receive,
)
from lucidnode.node.peers.member_connector import MemberConnector
from lucidnode.node.peers.members import Members
from lucidnode.node.peers.messages import (
    MAX_MESSAGE_BYTES,
    PROTOCOL,
    HandshakeRequest,
    HandshakeResponse,
    Message,
    encode,
)
from lucidnode.node.peers.tls import Tls

CONNECT_TIMEOUT_S = 3.0
"""Seconds for one address to answer, TLS included. No reader waits for this."""


class Outgoing(Protocol):
    """Told of links this node dialled."""

    def reached(self, link: PeerLink, welcome: HandshakeResponse) -> bool:
        """Hear of a link to a peer. False drops it: there is one already, or it is ourselves."""

    def heard(self, link: PeerLink, message: Message) -> None:
        """Hear what the peer says."""

    def lost(self, link: PeerLink) -> None:
        """Hear that a link has ended that had been reached."""


class LinkDialer:
    """Makes links. *hello* gives what this node says of itself."""

    def __init__(
        self,
        *,
        lan_key: bytes,
        tls: Tls,
        members: Members,
        outgoing: Outgoing,
        hello: Callable[[], HandshakeRequest],
    ) -> None:
        self._lan_key = lan_key
        self._tls = tls
        self._members = members
        self._outgoing = outgoing
        self._hello = hello
        self._opened: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._opened = aiohttp.ClientSession(
            connector=MemberConnector(self._lan_key),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers={"User-Agent"},
            trace_configs=[refusing_redirects()],
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def dial(self, candidate: Candidate) -> DeviceId | None:
        """Try each address until one answers, and stay for as long as that link lives.

        Returns which device answered, if it is the one expected. Never raises: on a LAN anything
        may happen. A host that leads elsewhere is passed over: two machines may both have an
        address on a bridge of their own.
        """
        for host in candidate.hosts:
            try:
                with outside(PeerLost):
                    async with asyncio.timeout(CONNECT_TIMEOUT_S):
                        socket = await self._connect(host, candidate.port)
            except PeerLost:
                continue
            try:
                device = await self._introduce(socket)
            finally:
                await _closed(socket)
            if device is not None and candidate.device in {None, device}:
                return device
        return None

    async def _connect(self, host: str, port: int) -> aiohttp.ClientWebSocketResponse:
        assert self._opened is not None, "use `async with Dialler(...)`"
        return await self._opened.ws_connect(
            f"https://{url_host(host)}:{port}/control",
            ssl=self._tls.client,
            heartbeat=HEARTBEAT_INTERVAL_S,
            max_msg_size=MAX_MESSAGE_BYTES,
            timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
        )

    async def _introduce(self, socket: aiohttp.ClientWebSocketResponse) -> DeviceId | None:
        device = proven_device(socket.get_extra_info("ssl_object"), self._members)
        peername = socket.get_extra_info("peername")
        if device is None or peername is None:
            return None
        try:
            with outside(PeerLied, Malformed):
                async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                    await socket.send_bytes(encode(self._hello()))
                    welcome = await receive(socket)
        except (PeerLied, Malformed):
            return None
        if not isinstance(welcome, HandshakeResponse) or welcome.protocol != PROTOCOL:
            return None
        link = PeerLink(socket, device, welcome.instance, peer_host(peername))
        if not self._outgoing.reached(link, welcome):
            return device
        try:
            await link.run(lambda message: self._outgoing.heard(link, message))
        finally:
            self._outgoing.lost(link)
        return device


async def _closed(socket: aiohttp.ClientWebSocketResponse) -> None:
    with contextlib.suppress(PeerLost), outside(PeerLost):
        await socket.close()
