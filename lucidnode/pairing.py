"""From a short code to a ticket, between two machines that hear each other. The door to SPAKE2.

    newcomer   spake (33)                      inviter  spake (33)
    newcomer   MAC over "newcomer" (32)        inviter  sealed ticket and code, or nothing

Each message has its length before it, 2 bytes. Both make one key of the code, or two that tell nothing
about it: whoever stands between them, or poses as one, can try one code each time, and the inviter
counts. He speaks under the key only after the newcomer has proven it. The rest is as with any
ticket that asks (docs/design/0019-joining.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
from collections.abc import AsyncIterator, Callable

import msgspec
from blake3 import blake3
from spake2 import SPAKE2_A, SPAKE2_B

from lucidnode.fs.errors import FormatError, TicketSpent, WrongPassphrase
from lucidnode.fs.format.sodium import aegis256_open, aegis256_seal, random_bytes
from lucidnode.fs.membership.ticket import plain_code
from lucidnode.node.client.errors import Malformed, NodeError, Unavailable
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.supervision import outside

TRIES = 3
"""Wrong codes after which a code is good for nothing."""

LASTS_S = 300.0
"""Seconds for which a code is good."""

_PATIENCE_S = 10.0
"""Seconds that one exchange may take. They come one after the other: so nobody tries two at once."""

_CONNECT_S = 3.0
_MAX_MESSAGE_BYTES = 16 * 1024
_NONCE_BYTES = 32
_MAC_BYTES = 32
_IDS = {"idA": b"lucidnode 2026 newcomer", "idB": b"lucidnode 2026 inviter"}


class HandedOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the newcomer gets: a ticket that asks, and the code that opens it."""

    ticket: str
    code: str


_HANDED_OUT = msgspec.msgpack.Decoder(HandedOut)


class Inviter:
    """Hands out one ticket to who knows *code*, once. *failed* hears how many tries are left."""

    def __init__(self, code: str, handed_out: HandedOut, failed: Callable[[int], None]) -> None:
        self._code = plain_code(code).encode()
        self._handed_out = handed_out
        self._failed = failed
        self._turn = asyncio.Lock()
        self._tries = TRIES
        self._callers: set[asyncio.Task[None]] = set()
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def listen(self, bound: socket.socket) -> str:
        """Answer on *bound* until somebody had the code; return his address.

        Raises TicketSpent once it was wrong three times, or five minutes are over.
        """
        server = await asyncio.start_server(self._called, sock=bound, limit=_MAX_MESSAGE_BYTES)
        try:
            async with server, asyncio.timeout(LASTS_S):
                return await asyncio.shield(self._over)
        except TimeoutError:
            raise TicketSpent("nobody has used the code in time: make another one") from None
        finally:
            # Who waits for his turn once it is over is told so at once; else nobody is waited for.
            if not self._over.done():
                for caller in self._callers:
                    caller.cancel()
            if self._callers:
                await asyncio.wait(self._callers)

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = str(writer.get_extra_info("peername")[0])
        caller = asyncio.current_task()
        assert caller is not None
        self._callers.add(caller)
        try:
            async with self._turn:
                with contextlib.suppress(TimeoutError, Unavailable, Malformed):
                    async with asyncio.timeout(_PATIENCE_S):
                        await self._answer(reader, writer, host)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._callers.discard(caller)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
    ) -> None:
        if self._over.done():
            return
        side = SPAKE2_B(self._code, **_IDS)
        theirs = await _heard(reader)
        ours = await asyncio.to_thread(side.start)
        with outside(Malformed):
            key = await asyncio.to_thread(side.finish, theirs)
        await _say(writer, ours)
        proof = await _heard(reader)
        if self._over.done():
            return
        if not hmac.compare_digest(proof, _mac(key)):
            self._tries -= 1
            self._failed(self._tries)
            if not self._tries:
                self._over.set_exception(
                    TicketSpent("the code was wrong three times, and is good for nothing now")
                )
            return
        nonce = random_bytes(_NONCE_BYTES)
        plain = msgspec.msgpack.encode(self._handed_out)
        await _say(writer, nonce + aegis256_seal(_seal_key(key), nonce, plain, b""))
        self._over.set_result(host)


async def fetch(host: str, port: int, code: str) -> HandedOut:
    """Return what the inviter at *host* hands out to who knows *code*.

    Raises WrongPassphrase if it is another, TicketSpent if he has ended, Unavailable.
    """
    try:
        async with asyncio.timeout(_PATIENCE_S), _connected(host, port) as (reader, writer):
            side = SPAKE2_A(plain_code(code).encode(), **_IDS)
            await _say(writer, await asyncio.to_thread(side.start))
            theirs = await _heard(reader)
            with outside(Malformed):
                key = await asyncio.to_thread(side.finish, theirs)
            await _say(writer, _mac(key))
            try:
                sealed = await _heard(reader)
            except Unavailable:
                raise WrongPassphrase(
                    "that is not the code that the inviter's screen shows"
                ) from None
    except TimeoutError:
        raise Unavailable(f"{host} does not answer") from None
    try:
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        return decoded(_HANDED_OUT, aegis256_open(_seal_key(key), nonce, body, b""))
    except (FormatError, NodeError, ValueError) as error:
        raise Unavailable(f"{host} says what nobody understands") from error


@contextlib.asynccontextmanager
async def _connected(
    host: str, port: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    try:
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_connection(host, port, limit=_MAX_MESSAGE_BYTES)
    except (OSError, TimeoutError):
        raise TicketSpent(
            f"nobody hands out a ticket at {host} any more: ask for another code"
        ) from None
    try:
        yield reader, writer
    finally:
        writer.close()


async def _say(writer: asyncio.StreamWriter, message: bytes) -> None:
    with outside(Unavailable):
        writer.write(len(message).to_bytes(2, "big") + message)
        await writer.drain()


async def _heard(reader: asyncio.StreamReader) -> bytes:
    """Return the next message. Raises Unavailable if there is none, or one that is too long."""
    with outside(Unavailable, TimeoutError):
        size = int.from_bytes(await reader.readexactly(2), "big")
        if not 0 < size <= _MAX_MESSAGE_BYTES:
            raise ValueError("no message")
        return await reader.readexactly(size)


def _mac(key: bytes) -> bytes:
    return blake3(b"newcomer", key=key).digest(_MAC_BYTES)


def _seal_key(key: bytes) -> bytes:
    return blake3(b"ticket", key=key).digest()
