"""A studio whose bucket is collected, in one process on a clock of its own: what `scripts/bench` measures that with.

The collection, the past it reads and the entries it makes are the real ones; of blocks the bucket keeps the sizes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from sortedcontainers import SortedDict

from lab.life import Life, LifeStore, Writer
from lucidnode.fs.collection.budget import Budget
from lucidnode.fs.collection.collection import Collection, Round
from lucidnode.fs.collection.past_ledger import PastLedger
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.history.past import Past
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.roster import FIRST_EPOCH
from lucidnode.node.client.wire import BlockPage, BlocksDeleted, CommitReply, CommitRequest

DAY_NS = 86_400 * 10**9
MONDAY_NS = 1_767_571_200 * 10**9
"""2026-01-05, a Monday."""

_PAGE = 1000


class StudioClock:
    """The studio's: it moves when it is moved."""

    def __init__(self) -> None:
        self.now_ns = MONDAY_NS

    def boot(self) -> float:
        return self.now_ns / 1e9

    def wall_ns(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002
        await asyncio.sleep(0.001)


class SizedBucket(LifeStore):
    """The bucket with the sizes of files' blocks instead of their bytes, and what a collection asks."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(writer)
        self.objects: SortedDict = SortedDict()
        """Sizes by ids."""

    async def stage(self, plaintext: bytes) -> BlockName:
        name = await super().stage(plaintext)
        self.objects[name.id] = len(self.bodies[name.id])
        return name

    async def commit(self, _project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        if seq in self.entries:
            return CommitReply("lost", self.entries[seq])
        self.requests["PUT entry"] += 1
        return CommitReply("committed", self.add(seq, request.unsigned))

    async def delete(self, _project: ProjectId, seqs: Sequence[Seq]) -> list[Seq]:
        self.requests["DELETE"] += len(seqs)
        for seq in seqs:
            del self.manifests[seq]
        return list(seqs)


class _SizedBlocks:
    """What a collection sees of the blocks in *bucket*."""

    def __init__(self, bucket: SizedBucket) -> None:
        self._bucket = bucket

    async def page(self, _project: ProjectId, after: BlockId | None) -> BlockPage:
        objects = self._bucket.objects
        self._bucket.requests["LIST"] += 1
        begin = 0 if after is None else objects.bisect_right(after)
        ids = list(objects.islice(begin, begin + _PAGE))
        sizes = [objects[each] for each in ids]
        return BlockPage(ids, sizes, begin + _PAGE >= len(objects), 0.0)

    async def delete(self, _project: ProjectId, blocks: Sequence[BlockId]) -> BlocksDeleted:
        self._bucket.requests["DELETE"] += len(blocks)
        for block in blocks:
            del self._bucket.objects[block]
            self._bucket.bodies.pop(block, None)
        return BlocksDeleted([bytes(block) for block in blocks], [], "")


class _Access:
    """The collecting workstation's."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.device = writer.device
        self.workstation = "collector"

    def keys(self) -> ProjectKeys:
        return self._writer.keys

    def writer_key(self, device: DeviceId, _epoch: int) -> bytes | None:
        return self._writer.public if device == self.device else None

    def trusted_key(self, device: DeviceId) -> bytes | None:
        return self.writer_key(device, FIRST_EPOCH)

    async def refresh(self) -> None:
        """Read no roster: nobody comes or goes."""


class Collector:
    """A workstation that does the rounds, from a past of its own."""

    def __init__(self, past: Past, bucket: SizedBucket, writer: Writer, clock: StudioClock) -> None:
        self.rounds: list[tuple[Round, dict[str, int], float]] = []
        """Each with its requests and its CPU in seconds."""
        self._past = past
        self._bucket = bucket
        self._access = _Access(writer)
        self._project = writer.keys.project
        self._clock = clock
        self._after: BlockId | None = None

    async def round(self, life: Life, requests: int) -> None:
        """Do one with so many *requests*; *life* learns what it has committed."""
        self._bucket.requests.clear()
        begun = time.process_time()
        ledger = PastLedger(
            self._past,
            self._bucket,
            self._bucket,
            self._access,
            lambda _tree: [],
            self._clock,
            lambda _seq: None,
        )
        told = await Collection(
            self._project,
            ledger,
            _SizedBlocks(self._bucket),
            self._clock,
            lambda _words: None,
            dry=False,
            after=self._after,
            budget=Budget(requests),
            nobody_asked=True,
        ).run()
        self._after = told.after
        cpu_s = time.process_time() - begun
        self.rounds.append((told, dict(self._bucket.requests), cpu_s))
        while (seq := Seq(life.seq + 1)) in self._bucket.entries:
            life.take(seq)
            if life.is_due:
                await life.checkpointed()
