"""A connection to a peer's body server, as bare as it can be: one request, one answer, then the next.

HTTP/1.1 as `body_server` speaks it and nothing more: whatever else is said is a lie. It is read here
rather than by a library because a body then goes from the socket into its one buffer, and nowhere
else: with aiohttp it was copied three times, on the event loop (docs/benchmarks/profiles.md).
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable

from lucidnode.node.peers.errors import PeerLied, PeerLost

MAX_HEAD_BYTES = 4096
"""Of an answer; ours has some 150."""

_LINE_BYTES = 10
"""What a chunk's length may take: eight digits and the end of the line."""

_READ_BYTES = 4096
"""Read at once where a head or a frame may come."""

_CHUNK_END = b"\r\n"
_LAST_CHUNK = b"0\r\n\r\n"

_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [ -~]{0,100}")
_FIELD = re.compile(rb"([A-Za-z-]{1,64}): ?([ -~]{0,512})")
_CHUNK = re.compile(rb"[0-9a-fA-F]{1,8}")


Inside = Callable[[socket.socket], Awaitable[socket.socket]]
"""Turns a connection into one that says the same within something else. Raises OSError."""


class BodyConnection:
    """One connection, opened with `open`. Every method that waits raises PeerLost or OSError."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._ahead = bytearray()
        """What has come and was not taken yet."""
        self._chunk = 0
        """Bytes of this chunk that were not taken yet."""
        self._in_chunk = False
        self._closes = False
        self.reusable = False
        """Whether the answer has been read to its end and another request may follow."""

    @classmethod
    async def open(cls, host: str, port: int, inside: Inside | None = None) -> BodyConnection:
        """Connect, and speak within what *inside* makes of the connection. Raises OSError."""
        loop = asyncio.get_running_loop()
        error: OSError | None = None
        for family, kind, protocol, _, address in await loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            connected = socket.socket(family, kind, protocol)
            try:
                connected.setblocking(False)
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await loop.sock_connect(connected, address)
            except OSError as failure:
                connected.close()
                error = failure
            except BaseException:
                connected.close()
                raise
            else:
                return cls(connected if inside is None else await inside(connected))
        raise error or OSError(f"{host} has no address")

    def close(self) -> None:
        """Close it, whatever is under way."""
        self._socket.close()

    @property
    def silent(self) -> bool:
        """Whether nothing came since the last answer, not even its end."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return not self._ahead
        except OSError:
            return False
        return False

    async def ask(self, method: str, path: str, authorisation: str, body: bytes = b"") -> int:
        """Send a request; return the status of its answer.

        Of one with status 200 the body follows, in chunks; others have none.
        """
        self.reusable = False
        length = f"Content-Length: {len(body)}\r\n" if method == "PUT" else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: peer\r\nAuthorization: {authorisation}\r\n{length}\r\n"
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._socket, head.encode())
        if body:
            await loop.sock_sendall(self._socket, body)
        status, fields = _parsed(await self._until(b"\r\n\r\n", MAX_HEAD_BYTES))
        self._closes = fields.get(b"connection", b"keep-alive").lower() != b"keep-alive"
        if status == 200:
            if fields.get(b"transfer-encoding") != b"chunked" or b"content-length" in fields:
                raise PeerLied("does not say where its answer ends")
            return status
        if b"transfer-encoding" in fields or fields.get(b"content-length", b"0") != b"0":
            raise PeerLied(f"says more than status {status}")
        self.reusable = not self._closes and not self._ahead
        return status

    async def exactly(self, count: int) -> bytes:
        """Return the next *count* bytes of the body, which are few."""
        taken = bytearray()
        while len(taken) < count:
            await self._into_chunk()
            if not self._ahead:
                await self._more()
            part = self._ahead[: min(self._chunk, count - len(taken))]
            del self._ahead[: len(part)]
            self._chunk -= len(part)
            taken += part
        return bytes(taken)

    async def rest(self, size: int, received: Callable[[memoryview], None]) -> bytearray:
        """Return the rest of the body, which must have *size* bytes, received into one buffer.

        *received* is given each piece as it comes, in order; what it raises ends this. Raises
        PeerLied if there is more.
        """
        loop = asyncio.get_running_loop()
        # With the end of the last chunk, so that it does not take a call of its own.
        end = len(_CHUNK_END) + len(_LAST_CHUNK)
        buffer = bytearray(size + end)
        view = memoryview(buffer)
        have = 0
        try:
            while have < size:
                await self._into_chunk()
                if self._chunk > size - have:
                    raise PeerLied("sent more than it announced")
                if self._ahead:
                    part = self._ahead[: self._chunk]
                    view[have : have + len(part)] = part
                    del self._ahead[: len(part)]
                    came = len(part)
                else:
                    is_last = self._chunk == size - have
                    most = self._chunk + (end if is_last else 0)
                    came = await loop.sock_recv_into(self._socket, view[have : have + most])
                    if not came:
                        raise PeerLost("the body broke off")
                    if came > self._chunk:
                        self._ahead += view[size : have + came]
                        came = self._chunk
                self._chunk -= came
                have += came
                received(view[have - came : have])
            await self._end()
        finally:
            view.release()
        del buffer[size:]
        return buffer

    async def end(self) -> None:
        """Take the end of the body. Raises PeerLied if it goes on."""
        if self._chunk:
            raise PeerLied("sent more than it announced")
        await self._end()

    async def _end(self) -> None:
        wanted = _CHUNK_END + _LAST_CHUNK if self._in_chunk else _LAST_CHUNK
        while len(self._ahead) < len(wanted):
            if not wanted.startswith(self._ahead):
                break
            await self._more()
        if self._ahead != wanted:
            raise PeerLied("sent more than it announced")
        self._ahead.clear()
        self._in_chunk = False
        self.reusable = not self._closes

    async def _into_chunk(self) -> None:
        """Take what stands between two chunks, if the one before has ended."""
        if self._chunk:
            return
        if self._in_chunk:
            while len(self._ahead) < len(_CHUNK_END):
                await self._more()
            if self._ahead[:2] != _CHUNK_END:
                raise PeerLied("sent a chunk that is longer than it says")
            del self._ahead[:2]
        line = await self._until(_CHUNK_END, _LINE_BYTES)
        if not _CHUNK.fullmatch(line):
            raise PeerLied("sent a chunk without its length")
        self._chunk = int(line, 16)
        self._in_chunk = True
        if not self._chunk:
            raise PeerLost("the body broke off")

    async def _until(self, mark: bytes, most: int) -> bytes:
        """Return what comes before *mark*, and take both. PeerLied if it is not in *most* bytes."""
        while (found := self._ahead.find(mark, 0, most)) < 0:
            if len(self._ahead) >= most:
                raise PeerLied("does not come to an end")
            await self._more()
        taken = bytes(self._ahead[:found])
        del self._ahead[: found + len(mark)]
        return taken

    async def _more(self) -> None:
        came = await asyncio.get_running_loop().sock_recv(self._socket, _READ_BYTES)
        if not came:
            raise PeerLost("the answer broke off")
        self._ahead += came


def _parsed(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Return status and fields of the head of an answer. Raises PeerLied for any but a plain one."""
    first, *lines = head.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise PeerLied("does not speak HTTP")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise PeerLied("does not speak HTTP")
        name = field[1].lower()
        if name in fields:
            raise PeerLied(f"sent the header {name.decode()} twice")
        fields[name] = field[2]
    return int(status[1]), fields
