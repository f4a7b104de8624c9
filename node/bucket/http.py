"""The door to HTTP: one request, one answer, and a plain error for everything else.

No redirect is followed, whoever sends it: a redirect is an answer like any other, and never one
that a store of ours gives. Nothing is asked twice: a create that is repeated meets itself. Nothing
is unpacked, no cookie is kept, and the environment is not looked at.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.payload import Payload
from aiohttp.tracing import Trace
from yarl import URL

from lucidnode.node.bucket.errors import Unreachable
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.proxy import shown_proxy
from lucidnode.node.bucket.straight import Handler, Inlet, Piece
from lucidnode.node.client.errors import Unavailable

CONNECT_S = 5.0
"""Seconds for a connection, TLS included where no proxy is between."""

_IDLE_S = 15.0
"""Less than stores and what stands before them keep a connection that nobody uses."""

_UNHEARD_MS = 30_000
"""Milliseconds after which a connection is dead that acknowledges nothing of what was sent: of a large body
nobody would notice for minutes that its network has gone away."""

_PIECE_BYTES = 1024 * 1024

_SENT_AT_ONCE_BYTES = 256 * 1024
"""Of a body: a fifth of a millisecond of the event loop, and no copy of it."""

_DIRTY = 8
"""Connections that are thrown away for one request: also new ones, if a server speaks first."""

_REFUSED = {errno.ECONNREFUSED: "the connection is refused", errno.ENETUNREACH: "no network"}


class HttpAnswer:
    """Status and headers of an answer, and its body as far as somebody reads it."""

    def __init__(self, response: aiohttp.ClientResponse, where: str) -> None:
        self._response = response
        self._where = where
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def length(self) -> int | None:
        """How many bytes of body it promises, if it does."""
        return self._response.content_length

    @property
    def shows_its_end(self) -> bool:
        """Tell whether a body that was cut can be told from one that ended."""
        coding = self._response.headers.get("Transfer-Encoding", "")
        return self.length is not None or coding.strip().lower() == "chunked"

    async def body(
        self, most: int, received_so_far: Callable[[int], None] = lambda _: None
    ) -> bytes:
        """Return the body; raises Unavailable for one that is cut, altered, or over *most* bytes.

        *received_so_far* is told after every piece how many bytes have come.
        """
        self._check_bytes()
        if (self.length or 0) > most:
            raise Unavailable(f"The answer of {self._where} is too large to be one.")
        if (inlet := Inlet.of(self._response)) is not None:
            inlet.let_in()
        pieces: list[bytes] = []
        received = 0
        try:
            async for piece in self._response.content.iter_any():
                pieces.append(piece)
                received += len(piece)
                if received > most:
                    raise Unavailable(f"The answer of {self._where} does not end.")
                received_so_far(received)
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"The connection to {self._where} was cut short.") from error
        if self.length is not None and received != self.length:
            raise Unreachable(f"The connection to {self._where} was cut short.")
        return b"".join(pieces)

    async def body_straight(self, size: int, piece: Piece) -> bytes | bytearray:
        """Return the body, of the *size* bytes that it promises, copied as little as can be.

        *piece* is given each piece of it, in order, as it comes. Raises as `body`.
        """
        assert size == self.length
        self._check_bytes()
        if (inlet := Inlet.of(self._response)) is not None:
            try:
                straight = await inlet.straight(self._response.content, size, piece)
            except (aiohttp.ClientError, OSError) as error:
                raise Unreachable(f"The connection to {self._where} was cut short.") from error
            if straight is not None:
                return straight
        body = await self.body(size)
        piece(memoryview(body))
        return body

    def _check_bytes(self) -> None:
        codings = self._response.headers.getall("Content-Encoding", [])
        if any(coding.strip().lower() not in {"", "identity"} for coding in codings):
            raise Unavailable(f"Something before {self._where} alters what it sends.")


class _Body(Payload):
    """Bytes of a request, sent as they lie in memory.

    aiohttp's own, from a BytesIO, copies pieces of 64 KiB and lets the event loop go round for each:
    0.7 ms of CPU for a MiB where this takes 0.4.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._body = body
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return it as text."""
        return self._body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send all of it."""
        # By themselves: together with the first piece they would be copied.
        writer.send_headers()
        body = memoryview(self._body)
        for start in range(0, len(body), _SENT_AT_ONCE_BYTES):
            await writer.write(body[start : start + _SENT_AT_ONCE_BYTES])


class Http:
    """Asks one place. Bound to no event loop: connections belong to the loop that made them."""

    def __init__(self, network: Network, base: str) -> None:
        """Take scheme, host and port of everything that is asked here as *base*."""
        self._network = network
        self._where = base
        self._proxy = network.proxies.for_url(base)
        self._wants_tls = any(url.startswith("https:") for url in (base, self._proxy or ""))
        self._tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AsyncIterator[HttpAnswer]:
        """Send one request for *target*, a path with its query as they are encoded already.

        Raises Unreachable if nothing was answered; then the request may have been heard or not.
        Bounded by nothing but the connecting: the caller has a deadline.
        """
        if self._tls is None and self._wants_tls:
            try:
                self._tls = await asyncio.to_thread(self._network.tls)
            except (OSError, ValueError) as error:  # ssl.SSLError among them
                raise Unreachable(
                    "The certificates that TLS is to trust cannot be read",
                    "give them again with --ca-file, and check SSL_CERT_FILE",
                    lasting=True,
                ) from error
        session = await _session()
        response = await session.request(
            method,
            URL(self._where + target, encoded=True),
            headers=headers,
            data=_Body(body) if body else None,
            allow_redirects=False,
            proxy=self._proxy,
            ssl=self._tls or True,
        )
        try:
            yield HttpAnswer(response, self._where)
        finally:
            if not response.content.at_eof():
                response.close()  # what was not read to its end is no use to the next request
            response.release()


_Pool = tuple[aiohttp.ClientSession, AsyncIterator[aiohttp.ClientSession]]

_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = weakref.WeakKeyDictionary()
"""The connections of each loop. They end with it (`loop.shutdown_asyncgens`, which `asyncio.run`
calls), so nobody has to close a bucket."""


async def _session() -> aiohttp.ClientSession:
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        keeper = _kept_open()
        _pools[loop] = (await anext(keeper), keeper)
    return _pools[loop][0]


async def _kept_open() -> AsyncIterator[aiohttp.ClientSession]:
    session = aiohttp.ClientSession(
        connector=_Connections(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=["Accept", "Accept-Encoding", "Content-Type", "User-Agent"],
        auto_decompress=False,
        trust_env=False,
        read_bufsize=_PIECE_BYTES,
        middlewares=(_in_plain_words,),
    )
    try:
        yield session
    finally:
        _pools.pop(asyncio.get_running_loop(), None)
        await session.close()


def _handler(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return Handler(loop)


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNHEARD_MS)
    return made


class _Connections(aiohttp.TCPConnector):
    """Gives out the connection that was used last, and none on which something came unasked.

    aiohttp would take the one that has rested longest: over a long line every request would begin
    with the smallest window, where the last one's has grown already. And it would take what came
    unasked for the answer to whatever is asked next.
    """

    def __init__(self) -> None:
        super().__init__(limit=0, keepalive_timeout=_IDLE_S, socket_factory=_socket)
        self._factory = partial(_handler, self._loop)

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # its signature
    ) -> Connection:
        for _ in range(_DIRTY):
            if idle := self._conns.get(req.connection_key):
                idle.rotate(1)  # the last to the front, which is where it takes from
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                if connection.transport is not None:
                    Inlet.before(connection.transport)
                return connection
            connection.close()
        raise aiohttp.ServerDisconnectedError


async def _in_plain_words(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # Here and not around the request: aiohttp would repeat what it sees failing by itself.
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        proxy = shown_proxy(str(request.proxy)) if request.proxy else ""
        raise _meaning(error, str(request.url.origin()), proxy) from error


def _meaning(error: Exception, where: str, proxy: str) -> Unreachable:
    match error:
        case aiohttp.ClientHttpProxyError(status=407):
            return Unreachable(
                f"The proxy {proxy} wants a name and a password before it leads to {where}",
                "put them into HTTPS_PROXY",
                lasting=True,
            )
        case aiohttp.ClientHttpProxyError(status=status):
            return Unreachable(
                f"The proxy {proxy} does not lead to {where} (status {status})",
                "check HTTPS_PROXY and NO_PROXY",
            )
        case aiohttp.ClientProxyConnectionError():
            return Unreachable(
                f"The proxy {proxy} cannot be reached", "check HTTPS_PROXY and NO_PROXY"
            )
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(error.certificate_error, "verify_message", "") or "not trusted"
            return Unreachable(
                f"The certificate of {where} is not trusted ({why})",
                "give the certificate of its authority with --ca-file",
                lasting=True,
            )
        case aiohttp.ClientConnectorSSLError():
            return Unreachable(
                f"No TLS connection to {where} comes about", "check http or https", lasting=True
            )
        case aiohttp.ClientConnectorDNSError():
            return _nobody(where, "its name is not known")
        case aiohttp.ConnectionTimeoutError():
            return _nobody(where, f"not within {CONNECT_S:.0f} s")
        case aiohttp.ClientConnectorError(os_error=OSError(errno=number)) if number in _REFUSED:
            return _nobody(where, _REFUSED[number])
        case aiohttp.ClientConnectorError():
            return _nobody(where, "")
        case aiohttp.ClientResponseError() | ValueError():
            return Unreachable(f"What answers at {where} does not speak HTTP", "check the endpoint")
        case _:
            return Unreachable(f"The connection to {where} was cut before an answer.")


def _nobody(where: str, why: str) -> Unreachable:
    cause = f"Nobody answers at {where}" + (f" ({why})" if why else "")
    return Unreachable(cause, "check the endpoint and network")
