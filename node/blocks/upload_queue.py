"""What waits here to be uploaded, and in which order it goes: small files first, until all are there.

A film would hold up everything that is saved behind it. So most workers take the block with the
lowest rank, and one the oldest, so that the film gets on as well.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lucidnode.node.cache.staging import Staged
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import BlockId, ProjectId

UploadKey = tuple[ProjectId, BlockId]


@dataclass(slots=True)
class QueuedUpload:
    """One staged block, from when it is queued until it has left staging."""

    size: int
    since: float
    """Boot clock, seconds; may be before the boot."""
    ended: asyncio.Future[NodeError | None]
    """None: the bucket has it. An error: it never will."""
    turn: tuple[int, int]
    """Its rank, and its place among those of that rank."""
    begun: bool = False
    offered: bool = False
    releasing: bool = False
    attempt: asyncio.Timeout | None = None
    """What ends the attempt that is under way."""

    @property
    def is_uploaded(self) -> bool:
        return self.ended.done() and self.ended.result() is None


class QueuedUploads:
    """One entry for each staged block that is known: those that wait, and those that have ended.

    So a block is uploaded once and released once, however often it is announced.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[UploadKey, QueuedUpload] = {}
        self._waiting: dict[UploadKey, QueuedUpload] = {}  # those that have not ended, in order
        self._lost: set[UploadKey] = set()  # those that will never be uploaded
        self._bytes = 0
        # Each that waits is in both; who takes it second finds it begun.
        self._by_rank: asyncio.PriorityQueue[tuple[int, int, UploadKey]] = asyncio.PriorityQueue()
        self._by_age: asyncio.Queue[UploadKey] = asyncio.Queue()
        self._queued = 0

    def __contains__(self, key: object) -> bool:
        """Return whether *key* has an entry, ended or not."""
        return key in self._known

    @property
    def blocks(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def bytes(self) -> int:
        """How much waits."""
        return self._bytes

    @property
    def lost(self) -> int:
        """How many have no copy left that could be uploaded."""
        return len(self._lost)

    @property
    def oldest_s(self) -> float:
        """For how long the oldest has waited, in seconds; 0 if none waits."""
        oldest = next(iter(self._waiting.values()), None)
        return self._clock.boot() - oldest.since if oldest else 0.0

    def get(self, key: UploadKey) -> QueuedUpload | None:
        """Return the entry of *key*, ended or not."""
        return self._known.get(key)

    def waiting(self, key: UploadKey) -> QueuedUpload | None:
        """Return the entry of *key* if its upload has not ended."""
        return self._waiting.get(key)

    def add(self, key: UploadKey, staged: Staged, rank: int) -> None:
        """Queue *key*, if it has no entry yet. The lower *rank*, the sooner it goes."""
        if key in self._known:
            return
        age = max(0, self._clock.wall_ns() - staged.written_ns) / 1e9
        ended = asyncio.get_running_loop().create_future()
        self._queued += 1
        turn = rank, self._queued
        upload = QueuedUpload(staged.size, self._clock.boot() - age, ended, turn)
        self._known[key] = self._waiting[key] = upload
        self._bytes += upload.size
        self._line_up(key, upload)

    def put_back(self, key: UploadKey) -> None:
        """Have *key*, which was begun, wait for its turn again, if it waits at all."""
        if (upload := self._waiting.get(key)) is not None:
            upload.begun = False
            self._line_up(key, upload)

    def _line_up(self, key: UploadKey, upload: QueuedUpload) -> None:
        self._by_rank.put_nowait((*upload.turn, key))
        self._by_age.put_nowait(key)

    def end(self, key: UploadKey, failure: NodeError | None) -> None:
        """End the wait for *key*: it is uploaded, or never will be. Its entry stays."""
        upload = self._waiting.pop(key)
        self._bytes -= upload.size
        upload.ended.set_result(failure)

    def lose(self, key: UploadKey, loss: NodeError) -> None:
        """End the wait for *key*, whose only copy is damaged or gone."""
        self.end(key, loss)
        self._lost.add(key)

    def is_lost(self, key: UploadKey) -> bool:
        """Return whether *key* has no copy left, as far as anybody has said."""
        return key in self._lost

    def drop(self, key: UploadKey) -> None:
        """Remove the entry of *key*, which does not wait."""
        self._lost.discard(key)
        del self._known[key]

    async def next_by_age(self) -> UploadKey:
        """Return the one that was queued first, once there is one; it may have begun or ended."""
        return await self._by_age.get()

    async def next_by_rank(self) -> UploadKey:
        """Return the one with the lowest rank, once there is one; it may have begun or ended."""
        return (await self._by_rank.get())[2]
