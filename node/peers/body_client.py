"""Asking a peer for a block body, or offering it one. Every wait is bounded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

from lucidnode.node.blocks.hedge_policy import PEERS_S
from lucidnode.node.blocks.traffic import Traffic
from lucidnode.node.cache.verified import ArrivingBlock, Ciphertext
from lucidnode.node.client.errors import Corrupt, NodeError
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.supervision import outside
from lucidnode.node.client.wire import MAX_BLOCK_CIPHERTEXT_BYTES
from lucidnode.node.peers import frames
from lucidnode.node.peers.body_connection import BodyConnection, Inside
from lucidnode.node.peers.body_connections import BodyConnections
from lucidnode.node.peers.errors import (
    PeerLied,
    PeerLost,
    PeerRefused,
    PeerSilent,
    PeerSlow,
)
from lucidnode.node.peers.keep_alive import KeepAlive, watch
from lucidnode.node.peers.reachability import ReachabilityProbe
from lucidnode.node.peers.sessions import ClientSession

MAX_FRAME_GAP_S = 0.3
"""Seconds without a byte after which a peer that had begun to answer is doubted: two beats missed
and some. If its host does not answer either, the read goes on elsewhere: half a second in all."""

HUNG_TIMEOUT_S = 2.0
"""Seconds of silence after which a peer is given up though its host answers: the daemon hangs, or
is so busy that it is no help. Before that, `fetch` may ask another source, within its budget."""

MIN_BYTES_PER_S = 2 * 1024 * 1024
"""Bytes a second below which a body is not worth waiting for, after HEAD_START_S seconds."""
HEAD_START_S = 1.0

READ_THROUGH_TIMEOUT_S = PEERS_S
"""Seconds to wait for an owner that keeps saying it is fetching."""

LOOKUP_TIMEOUT_S = 2.0
"""The same for one that was asked for what it holds: a disk looks it up, and nobody fetches."""


class BodyClient:
    """Connections to the body servers of peers, kept open between requests."""

    def __init__(self, traffic: Traffic, inside: Inside | None = None) -> None:
        """*inside* is for peers who want bodies within TLS."""
        self._traffic = traffic
        self._inside = inside
        self._knocks: WeakKeyDictionary[ClientSession, ReachabilityProbe] = WeakKeyDictionary()
        self._connections = BodyConnections()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connections.close()

    async def get(
        self,
        access: ClientSession,
        project: ProjectId,
        block: BlockId,
        *,
        through: bool,
        timeout_s: float,
        answered: Callable[[], None],
        wanted: Callable[[], bool],
    ) -> Ciphertext | None:
        """Return the verified block, or None if the peer says it has none.

        *timeout_s* is for the first sign of life, at which *answered* is called; while the peer is
        still fetching, *wanted* is asked whether to go on. Raises PeerFailed, and Corrupt for
        bytes that are not the block.
        """
        path = f"/b/{access.session_pseudonym(project)}/{block.hex()}?fetch={int(through)}"
        keep_alive = KeepAlive(timeout_s)
        probe = self._knocks.setdefault(access, ReachabilityProbe(access.host, access.port))

        async def alive() -> bool:
            return wanted() and keep_alive.silence < HUNG_TIMEOUT_S and await probe.answered()

        async def answer() -> Ciphertext | None:
            async with self._asking(access, "GET", path) as (connection, status):
                if status == 404:
                    return None  # it has not heard of a new project yet
                _expect(status, 200)
                fetching = READ_THROUGH_TIMEOUT_S if through else LOOKUP_TIMEOUT_S
                size = await self._size(connection, keep_alive, fetching, answered, wanted)
                if size is None:
                    await connection.end()
                    return None
                arriving = ArrivingBlock(block)
                body = await self._body(connection, keep_alive, size, arriving)
            try:
                arriving.check()
            except Corrupt:
                self._traffic.wasted("corrupt", len(body))
                raise
            return body

        try:
            return await watch(answer(), keep_alive, timeout_s, alive)
        except TimeoutError as error:
            raise PeerSilent("no sign of life") from error

    async def put(
        self, access: ClientSession, project: ProjectId, block: BlockId, ciphertext: bytes
    ) -> bool:
        """Offer *block*. Return whether the peer keeps a copy now. Raises PeerFailed."""
        path = f"/b/{access.session_pseudonym(project)}/{block.hex()}"
        try:
            async with (
                asyncio.timeout(HEAD_START_S + len(ciphertext) / MIN_BYTES_PER_S),
                self._asking(access, "PUT", path, ciphertext) as (_, status),
            ):
                if status in {404, 507}:
                    return False
                _expect(status, 204)
                return True
        except TimeoutError as error:
            raise PeerSlow("took too long to take a block") from error

    async def alive(self, access: ClientSession) -> None:
        """Return if the peer serves bodies. Raises PeerFailed."""
        try:
            async with (
                asyncio.timeout(HUNG_TIMEOUT_S),
                self._asking(access, "GET", "/alive") as (_, status),
            ):
                _expect(status, 204)
        except TimeoutError as error:
            raise PeerSilent("does not answer a probe") from error

    # -- reading an answer -------------------------------------------------------------------

    async def _size(
        self,
        connection: BodyConnection,
        keep_alive: KeepAlive,
        fetching: float,
        answered: Callable[[], None],
        wanted: Callable[[], bool],
    ) -> int | None:
        """Read up to the block itself, for *fetching* seconds; its size, or None if not there."""
        until = asyncio.get_running_loop().time() + fetching
        for signs in range(frames.MAX_PROGRESS_FRAMES):
            frame = await connection.exactly(1)
            if not signs:
                answered()
            keep_alive.beat(MAX_FRAME_GAP_S)
            match frame:
                case frames.FOUND:
                    size = int.from_bytes(await connection.exactly(4))
                    if size > MAX_BLOCK_CIPHERTEXT_BYTES:
                        raise PeerLied(f"announced a block of {size} bytes")
                    return size
                case frames.NOT_FOUND | frames.FAILED:
                    # Its bucket's fault, not its own: what it holds, it still serves.
                    return None
                case frames.PROGRESS if asyncio.get_running_loop().time() > until or not wanted():
                    raise PeerSlow("still fetching")
                case frames.PROGRESS:
                    continue
                case _:
                    raise PeerLied(f"sent frame {frame.hex()}")
        raise PeerLied("sent signs of life without end")

    async def _body(
        self,
        connection: BodyConnection,
        keep_alive: KeepAlive,
        size: int,
        arriving: ArrivingBlock,
    ) -> bytearray:
        """Return the block itself, exactly *size* bytes, after which nothing follows."""
        loop = asyncio.get_running_loop()
        until = loop.time() + HEAD_START_S + size / MIN_BYTES_PER_S
        have = 0

        def received(piece: memoryview) -> None:
            nonlocal have
            self._traffic.received(len(piece))
            have += len(piece)
            arriving.add(piece)
            if have < size and loop.time() > until:
                raise PeerSlow(f"{size - have} of {size} bytes missing")
            keep_alive.beat(MAX_FRAME_GAP_S)

        try:
            return await connection.rest(size, received)
        except BaseException:
            # Whatever ends it, a cancellation by a quicker source included: these are lost.
            self._traffic.wasted("unfinished", have)
            raise

    # -- transport ---------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _asking(
        self, access: ClientSession, method: str, path: str, body: bytes = b""
    ) -> AsyncIterator[tuple[BodyConnection, int]]:
        """Send a request; give the status, and where the answer goes on. Raises PeerFailed."""
        try:
            with outside(PeerLied, NodeError, OSError):
                inside = self._inside if access.encrypted else None
                async with self._connections.use(access.host, access.port, inside) as connection:
                    authorisation = access.authorisation(method, path)
                    yield connection, await connection.ask(method, path, authorisation, body)
        except OSError as error:
            raise PeerLost(f"{type(error).__name__}: {error}") from error


def _expect(status: int, wanted: int) -> None:
    if status != wanted:
        raise PeerRefused(f"status {status}")
