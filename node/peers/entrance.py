"""From a TCP connection to TLS, at either end: the preamble on the socket (node/peers/preamble.py).

Each function returns the context with which TLS is to go on. It is *context* but for one thing: the
dialler's ClientHello goes out with its MAC before it, and the listener's TLS begins with the
ClientHello whose MAC was checked, not with what comes from the socket.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from collections.abc import Callable
from typing import Any, Self

from lucidnode.node.peers import preamble
from lucidnode.node.peers.errors import PeerLost, PeerRefused


async def admit(
    connection: socket.socket, lan_key: bytes, context: ssl.SSLContext
) -> ssl.SSLContext:
    """See whoever dialled us prove to be a member; return the context for his TLS.

    Raises PeerRefused for one who is none, PeerLost or OSError when the connection ends. Has no
    deadline of its own. Until it returns, nobody has got a byte that he could learn from.
    """
    theirs = preamble.opened(lan_key, await _exactly(connection, preamble.OPENING_BYTES))
    if theirs is None:
        raise PeerRefused("is no member")
    ours = secrets.token_bytes(preamble.NONCE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, preamble.answer(lan_key, theirs, ours))
    mac = await _exactly(connection, preamble.MAC_BYTES)
    header = await _exactly(connection, preamble.RECORD_HEADER_BYTES)
    rest = preamble.hello_rest(header)
    if rest is None:
        raise PeerRefused("does not begin TLS")
    hello = header + await _exactly(connection, rest)
    if not preamble.vouches(lan_key, theirs, ours, hello, mac):
        raise PeerRefused("repeats what a member said")
    return _Spliced(context, lambda incoming, _outgoing, _tls: _fed(incoming, hello))


async def enter(
    connection: socket.socket, lan_key: bytes, context: ssl.SSLContext
) -> ssl.SSLContext:
    """Prove to be a member to whom we dialled, and see him prove it; return the context for TLS.

    Raises PeerRefused if he is none, PeerLost or OSError when the connection ends. Has no deadline
    of its own.
    """
    ours = secrets.token_bytes(preamble.NONCE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, preamble.opening(lan_key, ours))
    said = await _exactly(connection, preamble.OPENING_BYTES)
    theirs = preamble.answered(lan_key, ours, said)
    if theirs is None:
        raise PeerRefused("is no member")

    def mark_authenticated(
        _incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, tls: ssl.SSLObject
    ) -> None:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            hello = outgoing.read()
        else:
            raise AssertionError("a handshake without an answer")
        _fed(outgoing, preamble.vouched(lan_key, ours, theirs, hello) + hello)

    return _Spliced(context, mark_authenticated)


Splice = Callable[[ssl.MemoryBIO, ssl.MemoryBIO, ssl.SSLObject], None]


class _Spliced(ssl.SSLContext):
    """*real*, with *splice* done to the bytes of each connection before any are exchanged."""

    def __new__(cls, real: ssl.SSLContext, _splice: Splice) -> Self:
        # Event loops ask for an SSLContext; nothing of this one but `wrap_bio` is used.
        return super().__new__(cls, real.protocol)

    def __init__(self, real: ssl.SSLContext, splice: Splice) -> None:
        self._real = real
        self._splice = splice

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **named: Any
    ) -> ssl.SSLObject:
        """Return what *real* returns, as the event loop asks for it once a connection."""
        tls = self._real.wrap_bio(incoming, outgoing, *args, **named)
        self._splice(incoming, outgoing, tls)
        return tls


def _fed(memory: ssl.MemoryBIO, data: bytes) -> None:
    written = memory.write(data)
    assert written == len(data), "memory takes all"


async def _exactly(connection: socket.socket, size: int) -> bytes:
    """Read *size* bytes and not one more: what follows is for TLS."""
    loop = asyncio.get_running_loop()
    pieces = bytearray()
    while len(pieces) < size:
        piece = await loop.sock_recv(connection, size - len(pieces))
        if not piece:
            raise PeerLost("hung up before TLS")
        pieces += piece
    return bytes(pieces)
