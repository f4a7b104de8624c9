"""aiohttp's connections to members: TCP, the preamble, and only then TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

from lucidnode.node.peers.entrance import enter
from lucidnode.node.peers.hosts import Hosts


class MemberConnector(aiohttp.BaseConnector):
    """Makes a connection for each request, whose `ssl` is the context to use.

    Hosts in addresses are as `url_host` writes them. What goes wrong is an OSError or a PeerFailed.
    """

    allowed_protocol_schema_set = frozenset({"https", "wss"})

    def __init__(self, lan_key: bytes) -> None:
        super().__init__(limit=0, force_close=True)
        self._lan_key = lan_key
        self._hosts = Hosts()

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],  # noqa: ARG002 - as aiohttp passes it
        timeout: aiohttp.ClientTimeout,  # noqa: ARG002, ASYNC109 - who dials has one of his own
    ) -> ResponseHandler:
        assert isinstance(req.ssl, ssl.SSLContext), "a connection to a member names its context"
        assert req.url.raw_host is not None
        assert req.url.port is not None
        loop = asyncio.get_running_loop()
        async with _connected(self._hosts, req.url.raw_host, req.url.port) as connection:
            context = await enter(connection, self._lan_key, req.ssl)
            # No name: it is not checked, and would tell who listens what is spoken here.
            _, protocol = await loop.create_connection(
                self._factory, sock=connection, ssl=context, server_hostname=""
            )
        return protocol


@contextlib.asynccontextmanager
async def _connected(hosts: Hosts, host: str, port: int) -> AsyncIterator[socket.socket]:
    """Connect to the first address of *host* that answers; closed again if the body raises."""
    loop = asyncio.get_running_loop()
    failure = OSError(f"{host} has no address")
    for place in await hosts.resolve(host, port):
        connection = socket.socket(place["family"], socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            try:
                await loop.sock_connect(connection, (place["host"], place["port"]))
            except OSError as error:
                failure = error
                connection.close()
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield connection
        except BaseException:
            connection.close()
            raise
        return
    raise failure
