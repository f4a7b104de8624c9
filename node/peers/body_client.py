"""Asking a peer for a block body, or offering it one. Every wait is bounded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

import aiohttp

from lucidnode.node.block import verified
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.wire import MAX_BLOCK_CIPHERTEXT
from lucidnode.node.peers import frames
from lucidnode.node.peers.errors import (
    PeerLied,
    PeerLost,
    PeerRefused,
    PeerSilent,
    PeerSlow,
)
from lucidnode.node.peers.grants import Access
from lucidnode.node.peers.hosts import Hosts, url_host
from lucidnode.node.peers.patience import Patience
from lucidnode.node.traffic import Traffic

GAP = 0.4
"""Seconds without a byte after which a peer that had begun to answer is given up: three beats
missed. A link cut without a word costs a read no more than this and the way to the next source,
half a second in all."""

SLOWEST = 2 * 1024 * 1024
"""Bytes a second below which a body is not worth waiting for, after HEAD_START seconds."""
HEAD_START = 0.5

READ_THROUGH = 60.0
"""Seconds to wait for an owner that keeps saying it is fetching: the bucket's own deadline."""


class BodyClient:
    """Connections to the body servers of peers, kept open between requests."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._opened: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._opened = aiohttp.ClientSession(
            # No limit here: a request that queued for a connection would use up its patience.
            connector=aiohttp.TCPConnector(resolver=Hosts(), use_dns_cache=False, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
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

    async def get(
        self,
        access: Access,
        project: ProjectId,
        block: BlockId,
        *,
        through: bool,
        patience: float,
        answered: Callable[[], None],
        wanted: Callable[[], bool],
    ) -> bytes | None:
        """Return the verified block, or None if the peer says it has none.

        *patience* is for the first sign of life, at which *answered* is called; while the peer is
        still fetching, *wanted* is asked whether to go on. Raises PeerFailed, and Corrupt for
        bytes that are not the block.
        """
        path = f"/b/{access.alias(project)}/{block.hex()}?fetch={int(through)}"
        async with (
            self._bounded(patience) as waiting,
            self._request(access, "GET", path) as answer,
        ):
            if answer.status == 404:
                return None  # it has not heard of a new project yet
            _expect(answer, 200)
            size = await self._size(answer.content, waiting, answered, wanted)
            if size is None:
                return None
            return verified(block, await self._body(answer.content, waiting, size))

    async def put(
        self, access: Access, project: ProjectId, block: BlockId, ciphertext: bytes
    ) -> bool:
        """Offer *block*. Return whether the peer keeps a copy now. Raises PeerFailed."""
        path = f"/b/{access.alias(project)}/{block.hex()}"
        async with (
            self._bounded(2 * HEAD_START + len(ciphertext) / SLOWEST),
            self._request(access, "PUT", path, ciphertext) as answer,
        ):
            if answer.status in {404, 507}:
                return False
            _expect(answer, 204)
            return True

    async def alive(self, access: Access, patience: float) -> None:
        """Return if the peer serves bodies. Raises PeerFailed."""
        async with self._bounded(patience), self._request(access, "GET", "/alive") as answer:
            _expect(answer, 204)

    # -- reading an answer -------------------------------------------------------------------

    async def _size(
        self,
        content: aiohttp.StreamReader,
        waiting: Patience,
        answered: Callable[[], None],
        wanted: Callable[[], bool],
    ) -> int | None:
        """Read up to the block itself; return its size, or None if it is not there."""
        until = asyncio.get_running_loop().time() + READ_THROUGH
        for signs in range(frames.MAX_STILL):
            frame = await content.readexactly(1)
            if not signs:
                answered()
            waiting.renew(GAP)
            match frame:
                case frames.HELD:
                    size = int.from_bytes(await content.readexactly(4))
                    if size > MAX_BLOCK_CIPHERTEXT:
                        raise PeerLied(f"announced a block of {size} bytes")
                    return size
                case frames.ABSENT | frames.FAILED:
                    # Its bucket's fault, not its own: what it holds, it still serves.
                    return None
                case frames.STILL if asyncio.get_running_loop().time() > until or not wanted():
                    raise PeerSlow("still fetching")
                case frames.STILL:
                    continue
                case _:
                    raise PeerLied(f"sent frame {frame.hex()}")
        raise PeerLied("sent signs of life without end")

    async def _body(self, content: aiohttp.StreamReader, waiting: Patience, size: int) -> bytes:
        pieces: list[bytes] = []
        try:
            await self._read(content, waiting, size, pieces)
        except BaseException:
            # Whatever ends it, a cancellation by a quicker source included: these are lost.
            self._traffic.wasted("unfinished", sum(map(len, pieces)))
            raise
        return b"".join(pieces)

    async def _read(
        self, content: aiohttp.StreamReader, waiting: Patience, size: int, pieces: list[bytes]
    ) -> None:
        """Read exactly *size* bytes into *pieces*, and that nothing follows."""
        loop = asyncio.get_running_loop()
        until = loop.time() + HEAD_START + size / SLOWEST
        missing = size
        while piece := await content.readany():
            self._traffic.received(len(piece))
            pieces.append(piece)
            missing -= len(piece)
            if missing < 0:
                raise PeerLied("sent more than it announced")
            if missing and loop.time() > until:
                raise PeerSlow(f"{missing} of {size} bytes missing")
            waiting.renew(GAP)
        if missing:
            raise PeerLost("the body broke off")

    # -- transport ---------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _bounded(self, seconds: float) -> AsyncIterator[Patience]:
        """Bound a request, and give each way in which it can fail its name."""
        try:
            async with Patience(seconds) as waiting:
                yield waiting
        except TimeoutError as error:
            raise PeerSilent("no sign of life in time") from error
        except asyncio.IncompleteReadError as error:
            raise PeerLost("the answer broke off") from error
        except (aiohttp.ClientError, OSError) as error:
            raise PeerLost(f"{type(error).__name__}: {error}") from error
        except ValueError as error:  # aiohttp, for header lines and chunks beyond its limits
            raise PeerLied(f"broke HTTP: {error}") from error

    @contextlib.asynccontextmanager
    async def _request(
        self, access: Access, method: str, path: str, body: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._opened is not None, "use `async with BodyClient(...)`"
        async with self._opened.request(
            method,
            f"http://{url_host(access.host)}:{access.port}{path}",
            data=body,
            headers={"Authorization": access.authorisation(method, path)},
            allow_redirects=False,
        ) as answer:
            yield answer


def _expect(answer: aiohttp.ClientResponse, status: int) -> None:
    if answer.status != status:
        raise PeerRefused(f"status {answer.status}")
