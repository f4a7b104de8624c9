"""Serving block bodies to peers: plain HTTP, since they are ciphertext and verify themselves.

    GET  /b/<project's alias>/<block id>?fetch=0|1     200, frames (node/peers/frames.py)
    PUT  /b/<project's alias>/<block id>               204 kept | 507 not kept
    GET  /alive                                        204

`fetch=1` lets this node read through from the bucket; `fetch=0` asks only for what it holds and
causes no request to anyone. Without an authorisation (node/peers/sessions.py) every request whatever
gets 401 and the connection is closed: not even whether a block exists is told.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

from aiohttp import web

from lucidnode.node.blocks.fetch import Fetched
from lucidnode.node.blocks.traffic import Traffic
from lucidnode.node.bucket.pace import Pace
from lucidnode.node.cache.held_file import HeldFile
from lucidnode.node.cache.verified import Ciphertext
from lucidnode.node.client.errors import Corrupt, NodeError, NotThere
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, parse_block_id
from lucidnode.node.client.wire import MAX_BLOCK_CIPHERTEXT_BYTES
from lucidnode.node.peers import frames
from lucidnode.node.peers.members import Members
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.peers.raw_answer import RawAnswer, Sent, from_memory
from lucidnode.node.peers.sessions import SessionTable
from lucidnode.node.token_bucket import TokenBucket

MAX_CONCURRENT_OFFERS = 48
"""Blocks looked for or on their way at any time; others wait, with signs of life."""

USUAL_BYTES = 4 * 1024 * 1024
"""What a block counts with while it is looked for, unless a larger one has been seen."""

SOON_S = 0.02
"""Seconds within which a block that is held usually goes out; only then comes a sign of life."""

TAKE_TIMEOUT_S = 15.0
"""Seconds in which a block that is offered must be here."""

MISSES_PER_S = 1.0
MISS_BURST = 64
"""Requests to the bucket that one device may cause for blocks which turn out not to be there; more
than it has under way at once. After that it gets only what is held here."""

_BLOCK = re.compile(r"/b/([0-9a-f]{32})/([0-9a-f]{64})(?:\?fetch=([01]))?")


class BlockProvider(Protocol):
    """What this node can give: implemented by `node.fetch.BlockSource`."""

    async def open_held(self, block: BlockId) -> HeldFile | None:
        """Return the file of *block* if it is in the cache, verified, for the caller to close."""

    async def held(self, project: ProjectId, block: BlockId) -> Fetched | None:
        """Return *block* if this node has it, asking nobody."""

    async def fetch(self, project: ProjectId, block: BlockId, *, for_peer: bool = False) -> Fetched:
        """Return *block* from wherever it is, or raise NodeError."""

    async def keep(self, block: BlockId, ciphertext: bytes) -> bool:
        """Take a copy of *block*; raises Corrupt if it is not that block."""


class BodyServer:
    """Answers authorised requests for blocks. `mark_authenticated` is told of each connection that proved itself.

    *wanted* says whether a block offered to this node is one it should keep, *offers_bytes* how much
    of that one device may bring in an hour: a block that is declined is read through when somebody
    wants it. What goes out is held to *pace*; while this node *is_quiet* it has nothing for anybody.
    """

    def __init__(
        self,
        *,
        sessions: SessionTable,
        members: Members,
        provider: BlockProvider,
        traffic: Traffic,
        mark_authenticated: Callable[[web.BaseRequest], None],
        wanted: Callable[[BlockId], bool],
        offers_bytes: int,
        memory: MemoryBudget,
        pace: Pace,
        is_quiet: Callable[[], bool],
    ) -> None:
        self._sessions = sessions
        self._members = members
        self._provider = provider
        self._traffic = traffic
        self._mark_authenticated = mark_authenticated
        self._wanted = wanted
        self._offers_bytes = offers_bytes
        self._memory = memory
        self._pace = pace
        self._is_quiet = is_quiet
        self._usual = USUAL_BYTES
        self._room = asyncio.Semaphore(MAX_CONCURRENT_OFFERS)
        # Bounded as the studio is: by its devices.
        self._offers: dict[DeviceId, TokenBucket] = {}
        self._vain: dict[DeviceId, TokenBucket] = {}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        session = self._sessions.admit(
            request.method, request.raw_path, request.headers.get("Authorization", "")
        )
        if session is None:
            return _final(401)
        self._mark_authenticated(request)
        if request.raw_path == "/alive":
            return web.Response(status=204)
        match = _BLOCK.fullmatch(request.raw_path)
        if match is None:
            return _final(404)
        project = session.project(match[1], self._members.projects())
        if project is None:
            return _final(404)
        block = parse_block_id(match[2])
        if request.method == "GET" and match[3] is not None:
            find = self._find_for(session.device, project, block, through=match[3] == "1")
            return await self._give(request, session.device, block, find)
        if request.method == "PUT" and match[3] is None:
            return await self._take(request, session.device, block)
        return _final(405)

    # -- giving ------------------------------------------------------------------------------

    async def _give(
        self,
        request: web.BaseRequest,
        device: DeviceId,
        block: BlockId,
        find: Callable[[], Awaitable[Ciphertext | NodeError | None]],
    ) -> web.StreamResponse:
        """Answer with what the cache holds of *block*, else with what *find* finds."""
        whole = False
        try:
            with RawAnswer(request) as answer:
                await self._answer(answer, device, block, find)
            whole = True
        except* (OSError, TimeoutError):
            # The reader has gone, or takes nothing: so does the connection.
            if request.transport is not None:
                request.transport.abort()
        return Sent(whole=whole)

    async def _answer(
        self,
        answer: RawAnswer,
        device: DeviceId,
        block: BlockId,
        find: Callable[[], Awaitable[Ciphertext | NodeError | None]],
    ) -> None:
        async with _beating(answer) as beats:
            if self._is_quiet():
                await _ended(beats)
                await answer.finish(frames.NOT_FOUND)
                return
            expected, size = self._usual, 0
            await self._pace.wait(expected)
            try:
                async with self._room, self._memory.hold(device, self._usual) as hold:
                    file = await self._provider.open_held(block)
                    if file is not None:
                        with file:
                            size = file.size
                            hold.change(0)  # its bytes do not come into memory
                            await _ended(beats)
                            await answer.block(file.size, file.send, self._traffic.served)
                        return
                    found = await find()
                    size = len(found) if isinstance(found, bytes | bytearray) else 0
                    hold.change(size)
                    self._usual = max(self._usual, size)
                    await _ended(beats)
                    await self._send(answer, found)
            finally:
                self._pace.count(size - expected)

    def _find_for(
        self, device: DeviceId, project: ProjectId, block: BlockId, *, through: bool
    ) -> Callable[[], Awaitable[Ciphertext | NodeError | None]]:
        return partial(self._fetch if through else self._held, device, project, block)

    async def _held(
        self, _device: DeviceId, project: ProjectId, block: BlockId
    ) -> Ciphertext | NodeError | None:
        try:
            held = await self._provider.held(project, block)
        except NodeError as error:
            return error
        return None if held is None else held.ciphertext

    async def _fetch(
        self, device: DeviceId, project: ProjectId, block: BlockId
    ) -> Ciphertext | NodeError | None:
        now = asyncio.get_running_loop().time()
        vain = self._vain.setdefault(device, TokenBucket(MISSES_PER_S, MISS_BURST, now))
        if not vain.take(1, now):
            return await self._held(device, project, block)
        try:
            found = await self._provider.fetch(project, block, for_peer=True)
        except (NotThere, Corrupt) as error:
            return error
        except NodeError as error:
            vain.give_back(1)  # the bucket's fault
            return error
        vain.give_back(1)
        return found.ciphertext

    async def _send(self, answer: RawAnswer, found: Ciphertext | NodeError | None) -> None:
        if found is None:
            await answer.finish(frames.NOT_FOUND)
        elif isinstance(found, NodeError):
            # Even NotThere is told as "not known": absence is for the bucket to say, not for us.
            await answer.finish(frames.FAILED)
        else:
            await answer.block(len(found), from_memory(found), self._traffic.served)

    # -- taking ------------------------------------------------------------------------------

    async def _take(
        self, request: web.BaseRequest, device: DeviceId, block: BlockId
    ) -> web.StreamResponse:
        """Keep a block this node owns. Others are declined: they would only push out better ones."""
        size = request.content_length
        if size is None or size > MAX_BLOCK_CIPHERTEXT_BYTES or not self._wanted(block):
            return _final(507)
        now = asyncio.get_running_loop().time()
        offers = self._offers.setdefault(
            device, TokenBucket(self._offers_bytes / 3600, self._offers_bytes, now)
        )
        if not offers.take(size, now):
            return _final(507)
        async with self._room, self._memory.hold(device, size):
            try:
                async with asyncio.timeout(TAKE_TIMEOUT_S):
                    ciphertext = await request.content.readexactly(size)
                self._traffic.received(size)
                kept = await self._provider.keep(block, ciphertext)
            except (asyncio.IncompleteReadError, TimeoutError, Corrupt):
                return _final(400)
        return web.Response(status=204 if kept else 507)


@asynccontextmanager
async def _beating(answer: RawAnswer) -> AsyncIterator[asyncio.Task[None]]:
    """Send signs of life until the task yielded is cancelled."""

    async def beat() -> None:
        await asyncio.sleep(SOON_S)
        while True:
            await answer.beat()
            await asyncio.sleep(frames.KEEP_ALIVE_INTERVAL_S)

    async with asyncio.TaskGroup() as tasks:
        beats = tasks.create_task(beat())
        try:
            yield beats
        finally:
            beats.cancel()


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel *task*, and return when it is over."""
    task.cancel()
    await asyncio.wait({task})


def _final(status: int) -> web.Response:
    """Return an empty answer after which the connection closes, unread rest of the request or not."""
    response = web.Response(status=status)
    response.force_close()
    return response
