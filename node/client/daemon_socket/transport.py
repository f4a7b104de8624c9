"""How a request gets to the daemon and its answer back, whatever it is about: connections, waits, errors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import msgspec

from lucidnode.node.client.daemon_socket.statuses import error_of
from lucidnode.node.client.errors import (
    DaemonUnreachable,
    Malformed,
    NotThere,
    Refused,
    Unavailable,
)
from lucidnode.node.client.msgpack import T, decoded

BOUNDED = aiohttp.ClientTimeout(total=120, connect=5)
"""The daemon bounds every wait itself; this is the bound for a daemon that hangs."""

PROMPT = aiohttp.ClientTimeout(total=30, connect=5)
"""For what it has in memory: after half a minute a service takes it for hanging, and so does a person."""

PATIENT = aiohttp.ClientTimeout(total=None, connect=5)
"""For commits and drains, which take as long as the uploads they wait for, and for what has no end."""


_UNKNOWN = "no such order"
"""What a daemon of an earlier release says of what it was never taught to do."""


class DaemonTransport:
    """At most *limit* connections to the daemon listening at *socket*. Use it as an async context manager.

    Every method raises DaemonUnreachable when nobody answers, the error that the daemon's status
    stands for (statuses.py), Unavailable when its answer does not come in time, which is its *bound*,
    or breaks off, and Malformed for an answer of another shape.
    """

    def __init__(self, socket: Path, limit: int) -> None:
        self._path = socket
        self._limit = limit
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(self._path), limit=self._limit),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(
        self, path: str, *, bound: aiohttp.ClientTimeout = BOUNDED, max_bytes: int | None = None
    ) -> bytes:
        """Return what lies at *path*, as it came. Raises Malformed, having read none of it, over *max_bytes*."""
        async with self.request("GET", path, bound=bound) as answer:
            length = answer.content_length
            if max_bytes is not None and (length is None or length > max_bytes):
                raise Malformed(f"what lies at {path} is longer than {max_bytes} bytes")
            return await answer.read()

    async def get(
        self, path: str, answers: msgspec.msgpack.Decoder[T], *, max_bytes: int | None = None
    ) -> T:
        """Return what lies at *path*. Raises Malformed, having read none of it, over *max_bytes*."""
        return decoded(answers, await self.read(path, max_bytes=max_bytes))

    async def ask(
        self,
        path: str,
        wish: msgspec.Struct | bytes | None,
        answers: msgspec.msgpack.Decoder[T],
        *,
        bound: aiohttp.ClientTimeout = BOUNDED,
    ) -> T:
        """Have *wish* done; return the answer."""
        async with self.request("POST", path, data=_packed(wish), bound=bound) as answer:
            return decoded(answers, await answer.read())

    async def tell(
        self,
        path: str,
        message: msgspec.Struct | bytes | None = None,
        *,
        bound: aiohttp.ClientTimeout = BOUNDED,
    ) -> None:
        """Have *message* taken; nothing is answered but that it was."""
        async with self.request("POST", path, data=_packed(message), bound=bound):
            pass

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        bound: aiohttp.ClientTimeout = BOUNDED,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, and have the answer in this block."""
        try:
            async with self._opened.request(
                method, f"http://daemon{path}", data=data, headers=headers, timeout=bound
            ) as answer:
                if answer.status >= 300:
                    message = (await answer.content.read(1000)).decode(errors="replace")
                    if answer.status == 404 and message == _UNKNOWN:
                        raise Refused(
                            "the daemon that runs is of another release, and does not know this: "
                            "unmount, `lucidnode exit`, and mount again"
                        )
                    raise error_of(answer.status)(message)
                yield answer
        except TimeoutError as error:
            raise Unavailable("the daemon did not answer in time") from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise DaemonUnreachable(f"no daemon answers at {self._path}") from error
        except aiohttp.ClientError as error:
            raise Unavailable(f"the daemon's answer broke off: {error}") from error

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, *, max_bytes: int
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Have a WebSocket in this block whose messages are *max_bytes* long at most."""
        try:
            async with self._opened.ws_connect(
                f"http://daemon{path}", max_msg_size=max_bytes, heartbeat=20
            ) as socket:
                yield socket
        except aiohttp.WSServerHandshakeError as error:
            raise error_of(error.status)(error.message) from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise DaemonUnreachable(f"no daemon answers at {self._path}") from error

    @property
    def _opened(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use `async with`"
        return self._session


def within(patience_s: float) -> aiohttp.ClientTimeout:
    """Return the bound of a request that nobody waits for after *patience_s* seconds."""
    return aiohttp.ClientTimeout(total=max(patience_s, 0.05))


async def if_there(answer: Awaitable[T]) -> T | None:
    """Return *answer*, or None if the daemon says that there is nothing."""
    try:
        return await answer
    except NotThere:
        return None


def _packed(message: msgspec.Struct | bytes | None) -> bytes | None:
    return msgspec.msgpack.encode(message) if isinstance(message, msgspec.Struct) else message
