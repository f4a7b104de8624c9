"""What stands between a connection and aiohttp: heads go to aiohttp, a long body into the one buffer it stays in.

aiohttp copies each piece of a body twice, and whoever wants it in one piece copies it once more. So once
aiohttp has the head of an answer, the connection rests until somebody says how he wants the body:
straight, exactly the bytes that the head has announced, each looked at as it comes; or as ever. What
comes behind a body meets aiohttp's parser in either case. Within TLS it is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage

MIN_BYTES = 64 * 1024
"""A shorter body is read as ever."""

_HEAD_BYTES = 4096
"""Read at once where a head may come: what follows it in them is copied as ever."""

_PIECE_BYTES = 256 * 1024
"""Read at once of a body that aiohttp takes."""

Piece = Callable[[memoryview], object]
"""Is given each piece of a body as it comes, in order. It must not raise."""


class Handler(ResponseHandler):
    """aiohttp's protocol."""

    is_answered = False
    """Whether the head of an answer has come to what was asked last."""

    def feed_data(
        self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0
    ) -> None:
        """Take note of a head."""
        self.is_answered = True
        super().feed_data(data, size)

    @property
    def tells_of_bodies(self) -> bool:
        """Whether it has what `awaits_body` looks at: no part of what aiohttp promises to keep."""
        return hasattr(self, "_payload")

    @property
    def awaits_body(self) -> bool:
        """Whether it has a head whose body has not all come."""
        return self._payload is not None and not self._payload.is_eof()


class Inlet(asyncio.BufferedProtocol):
    """The protocol of a connection, in front of *handler*."""

    def __init__(self, transport: asyncio.Transport, handler: Handler) -> None:
        self._transport = transport
        self._handler = handler
        self._room = memoryview(bytearray(_HEAD_BYTES))
        self._is_in_body = False
        self._arriving: _Arriving | None = None

    @classmethod
    def before(cls, transport: asyncio.Transport) -> None:
        """Put one before the Handler of *transport*, if there is none yet; without one all goes through aiohttp.

        What comes from now on is an answer to what is asked next.
        """
        protocol = transport.get_protocol()
        if isinstance(protocol, Handler) and protocol.tells_of_bodies:
            transport.set_protocol(protocol := cls(transport, protocol))
        if isinstance(protocol, cls):
            protocol._handler.is_answered = False

    @classmethod
    def of(cls, response: aiohttp.ClientResponse) -> Self | None:
        """Return that of the connection of *response*, None once its body has come."""
        connection = response.connection
        transport = None if connection is None else connection.transport
        inlet = None if transport is None else transport.get_protocol()
        return inlet if isinstance(inlet, cls) else None

    def let_in(self) -> None:
        """Let aiohttp have the rest of the body."""
        self._is_in_body = True
        if len(self._room) < _PIECE_BYTES:
            self._room = memoryview(bytearray(_PIECE_BYTES))
        self._transport.resume_reading()

    async def straight(
        self, content: aiohttp.StreamReader, size: int, piece: Piece
    ) -> bytearray | None:
        """Return the body of *size* bytes whose beginning is in *content*; None if aiohttp has to read it.

        Raises OSError for one that is cut.
        """
        if size < MIN_BYTES or self._is_in_body or content.exception() is not None:
            return None
        arriving = self._arriving = _Arriving(size, piece)
        try:
            if first := content.read_nowait():
                arriving.rest[: len(first)] = first
                self._came(arriving, len(first))
            self._transport.resume_reading()
            await arriving.ended
        finally:
            self._arriving = None
        content.feed_eof()
        return arriving.body

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # its signature
        """Return where the next bytes go: those of a body that is awaited, and nothing behind it."""
        if self._arriving is not None and self._arriving.rest:
            return self._arriving.rest
        if self._is_in_body and not self._handler.awaits_body:
            self._is_in_body = False  # what comes now is another head
        return self._room if self._is_in_body else self._room[:_HEAD_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Take *nbytes* from there."""
        arriving = self._arriving
        if arriving is not None and arriving.rest:
            self._came(arriving, nbytes)
            return
        if arriving is not None or (self._handler.is_answered and not self._handler.awaits_body):
            # Part of a head, say: aiohttp forgets it with the next question, and takes the rest for the answer.
            self._handler.force_close()
        self._handler.data_received(bytes(self._room[:nbytes]))
        if not self._is_in_body and self._handler.awaits_body:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Tell aiohttp; the connection closes."""
        self._handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell aiohttp, and whoever waits for a body."""
        self._handler.connection_lost(exc)
        if self._arriving is not None:
            self._arriving.lost()

    def pause_writing(self) -> None:
        """Tell aiohttp."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Tell aiohttp."""
        self._handler.resume_writing()

    def _came(self, arriving: _Arriving, count: int) -> None:
        arriving.came(count)
        if not arriving.rest:
            # Its parser waits for this body: a new one takes what comes next, at once perhaps, for what it is.
            self._handler.set_response_params()


class _Arriving:
    """A body on its way into its buffer."""

    def __init__(self, size: int, piece: Piece) -> None:
        self.body = bytearray(size)
        self.rest = memoryview(self.body)
        """Where the bytes go that have not come yet."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._piece = piece

    def came(self, count: int) -> None:
        """Take note of *count* bytes more."""
        self._piece(self.rest[:count])
        self.rest = self.rest[count:]
        if not self.rest and not self.ended.done():
            self.ended.set_result(None)

    def lost(self) -> None:
        """Take note that no more will come."""
        if not self.ended.done():
            self.ended.set_exception(ConnectionResetError("the body was cut"))
