"""Staged blocks on their way into the bucket: small files first, until all are there.

A film would hold up everything that is saved behind it. So most workers take the block with the
lowest rank, and one the oldest, so that the film gets on as well.

An outage never loses or skips a block; it waits in staging and is tried again, through restarts
of the daemon and of the machine. A block is uploaded, then named by a committed journal entry,
then released from staging (docs/architecture.md, "One write").
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from cachetools import LRUCache

from lucidnode.node.bucket.keys import block_key
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import (
    Corrupt,
    NodeError,
    NotThere,
    Unavailable,
)
from lucidnode.node.client.ids import BlockId, ProjectId

MAX_PARALLEL_UPLOADS = 6
"""Blocks in memory and under way at once. One of them is the oldest that waits."""

RANK_UNKNOWN = 8
"""The rank of blocks that nobody announced: as in the middle of a file of 256 MiB."""

FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0
"""Seconds before a failed upload is tried again, doubling from the first to the longest."""

SHUTDOWN_GRACE_S = 10.0
"""Seconds that an uploaded block waits for its commit before it is released all the same.

The bucket has it, so nothing depends on this; a commit may never come when a mount died before
it had one to make. It is less than the patience of a writer who finds staging full."""

SWEEP_INTERVAL_S = 60.0
"""Seconds between looks for staged blocks that nobody announced: their mount died first."""

RATE_OVER_S = 10.0
"""Seconds over which the rate of uploads is taken."""

MISSING_INTERVAL_S = 5.0
"""Seconds between looks for a staging directory that cannot be read."""

_EXPIRE_INTERVAL_S = 1.0

_UPLOADS, _STAGING = "uploads", "staging"
"""The topics of alerts about the way to the bucket, and about the disk where blocks wait."""
_REMEMBERED = 65536

_SENT = 4096
"""Uploads that the rate is taken from, at most."""

Key = tuple[ProjectId, BlockId]
Offer = Callable[[ProjectId, BlockId, bytes], Awaitable[None]]
"""Hands a copy to the block's owners in the office. Ends within its own timeouts (node/peers/body_client.py) and never raises."""


class UploadTarget(Protocol):
    """What uploads need of `node/bucket/bucket.py`."""

    async def put(self, key: str, body: bytes) -> None: ...
    async def size(self, key: str) -> int | None: ...


@dataclass(frozen=True, slots=True)
class PendingUploads:
    """What the bucket does not have yet. *failed* blocks are damaged and wait for nothing.

    *bytes_per_second* is what got there in the last RATE_OVER_S.
    """

    blocks: int
    bytes: int
    oldest_seconds: float
    failed: int
    bytes_per_second: float


@dataclass(slots=True)
class _Upload:
    size: int
    since: float
    """Boot clock, seconds; may be before the boot."""
    ended: asyncio.Future[NodeError | None]
    """None: the bucket has it. An error: it never will."""
    begun: bool = False
    offered: bool = False
    releasing: bool = False
    attempt: asyncio.Timeout | None = None
    """What ends the attempt that is under way."""

    @property
    def uploaded(self) -> bool:
        return self.ended.done() and self.ended.result() is None


class Uploads:
    """The queue of this node. `run` does the work; everything else may be called around it.

    A staged block that is known here has one entry from when it is queued until it is released,
    so it is uploaded once and released once, however often it is announced.
    """

    def __init__(
        self,
        *,
        staging: Staging,
        bucket: UploadTarget,
        offer: Offer,
        on_uploaded: Callable[[ProjectId, Sequence[BlockId]], None],
        alerts: Alerts,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        """Take the parts it works with; *jitter* returns a random number from 0 up to 1."""
        self._staging = staging
        self._bucket = bucket
        self._offer = offer
        self._on_uploaded = on_uploaded
        self._alerts = alerts
        self._clock = clock
        self._jitter = jitter
        self._known: dict[Key, _Upload] = {}
        self._pending: dict[Key, _Upload] = {}  # those of the known that have not ended, in order
        self._pending_bytes = 0
        self._lost: set[Key] = set()  # those of the known that will never be uploaded
        self._unneeded: set[Key] = set()  # staged, not known: their files are about to be deleted
        # Each that waits is in both; who takes it second finds it begun.
        self._by_rank: asyncio.PriorityQueue[tuple[int, int, Key]] = asyncio.PriorityQueue()
        self._by_age: asyncio.Queue[Key] = asyncio.Queue()
        self._queued = 0
        self._uncommitted: deque[tuple[float, Key]] = deque()  # by the boot time of their upload
        self._released: LRUCache[Key, None] = LRUCache(_REMEMBERED)
        self._releases: asyncio.Queue[Key] = asyncio.Queue()
        self._pauses: set[asyncio.Timeout] = set()
        self._sent: deque[tuple[float, int]] = deque(
            maxlen=_SENT
        )  # boot time and bytes of the last uploads

    def pending(self) -> PendingUploads:
        """Return how much is still on its way."""
        oldest = next(iter(self._pending.values()), None)
        return PendingUploads(
            blocks=len(self._pending),
            bytes=self._pending_bytes,
            oldest_seconds=self._clock.boot() - oldest.since if oldest else 0.0,
            failed=len(self._lost),
            bytes_per_second=self._rate(),
        )

    async def add(
        self, project: ProjectId, blocks: Sequence[BlockId], ranks: Sequence[int] = ()
    ) -> None:
        """Queue *blocks* that a mount staged; those not there pass, those known stay as they are.

        Of those with *ranks*, the lower go first.
        A block that failed before is taken to be staged anew. Raises Unavailable if staging
        cannot be read now; a later sweep finds them then.
        """
        rank_of = dict(zip(blocks, ranks, strict=False))
        for block in await self._staging.note(project, blocks):
            self._forget_loss((project, block))
            self._enqueue_needed(project, block, rank_of.get(block, RANK_UNKNOWN))

    async def arrived(self, project: ProjectId, blocks: Sequence[BlockId]) -> list[BlockId]:
        """Return those of *blocks* that are in the bucket. Raises Unavailable if that can't be seen."""
        unknown = [block for block in blocks if not self._remembers((project, block))]
        for block in await self._staging.note(project, unknown) if unknown else []:
            self._enqueue_needed(project, block)
        for block in unknown:
            key = (project, block)
            if not self._remembers(key) and await self._bucket.size(block_key(*key)) is not None:
                self._remember(key)
        return [block for block in blocks if self._is_uploaded((project, block))]

    async def gone(self, project: ProjectId, blocks: Sequence[BlockId]) -> list[BlockId]:
        """Return those of *blocks* that lie neither in staging nor in the bucket.

        Raises Unavailable, or another NodeError, if that can't be seen now.
        """
        missing = [block for block in blocks if not self._is_uploaded((project, block))]
        staged = set(await self._staging.note(project, missing)) if missing else set()
        gone = []
        for block in missing:
            if block in staged:
                self._enqueue_needed(project, block)
            elif await self._bucket.size(block_key(project, block)) is None:
                gone.append(block)
        return gone

    def withdraw(self, project: ProjectId, blocks: Iterable[BlockId]) -> None:
        """Upload none of *blocks*: nothing needs them, and a mount is about to delete their files.

        An attempt that is under way ends. So it stays until somebody wants one of them again, or
        this daemon ends.
        """
        for block in blocks:
            key = (project, block)
            if key in self._pending:
                self._give_up(key)
            if key not in self._known:
                self._unneeded.add(key)

    async def given_up(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        """Note that nothing needs *blocks* any more, whose staged files are lost or deleted.

        One that is staged goes its way. Raises Unavailable if staging cannot be read now.
        """
        for block in blocks:
            self._forget_loss((project, block))
        for block in await self._staging.forget_deleted(project, blocks):
            key = (project, block)
            self._unneeded.discard(key)
            if key in self._pending:
                self._give_up(key)

    async def wait_for(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        """Return once all *blocks* are in the bucket, however long that takes.

        A block that is neither staged nor remembered as uploaded is looked for in the bucket.
        Raises Corrupt or NotThere if one will never get there: its only copy is damaged or gone.
        """
        unknown = [block for block in blocks if not self._remembers((project, block))]
        if unknown:
            await self._until(partial(self._try_to_look_for, project, unknown))
        for block in unknown:
            if not self._remembers((project, block)):
                await self._until(partial(self._find_in_bucket, (project, block)))
        uploads = [known for block in blocks if (known := self._known.get((project, block)))]
        if uploads:
            await asyncio.wait([upload.ended for upload in uploads])
        for upload in uploads:
            failure = upload.ended.result()
            if failure is not None:
                raise failure

    def committed(self, project: ProjectId, blocks: Iterable[BlockId]) -> None:
        """Note that a committed journal entry names *blocks*: staging need not keep them."""
        for block in blocks:
            self._let_go((project, block))

    def flush_requested(self) -> None:
        """Try again now what waits for another try: something was done about what kept it."""
        now = asyncio.get_running_loop().time()
        for pause in list(self._pauses):
            pause.reschedule(now)

    async def run(self) -> None:
        """Upload until cancelled, beginning with what earlier daemons left in staging."""
        self._enqueue_found()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._upload(self._oldest))
            for _ in range(MAX_PARALLEL_UPLOADS - 1):
                tasks.create_task(self._upload(self._lowest))
            tasks.create_task(self._release_let_go())
            tasks.create_task(self._expire())
            tasks.create_task(self._sweep())

    # -- the queue ---------------------------------------------------------------------------------

    def _enqueue_found(self) -> None:
        held = {
            (project, block)
            for project in self._staging.projects()
            for block in self._staging.held(project)
        }
        self._unneeded &= held
        for project in self._staging.projects():
            for block in self._staging.held(project):
                if (project, block) not in self._unneeded:
                    self._enqueue(project, block)

    def _enqueue_needed(self, project: ProjectId, block: BlockId, rank: int = RANK_UNKNOWN) -> None:
        """Queue *block*, which a mount asks for: so something needs it, whatever was said before."""
        self._unneeded.discard((project, block))
        self._enqueue(project, block, rank)

    def _enqueue(self, project: ProjectId, block: BlockId, rank: int = RANK_UNKNOWN) -> None:
        """Queue *block* if it is staged and not known yet."""
        key = (project, block)
        staged = self._staging.held(project).get(block)
        if staged is None or key in self._known:
            return
        age = max(0, self._clock.wall_ns() - staged.written_ns) / 1e9
        ended = asyncio.get_running_loop().create_future()
        upload = _Upload(staged.size, self._clock.boot() - age, ended)
        self._known[key] = self._pending[key] = upload
        self._pending_bytes += upload.size
        self._queued += 1
        self._by_rank.put_nowait((rank, self._queued, key))
        self._by_age.put_nowait(key)

    def _end(self, key: Key, failure: NodeError | None) -> None:
        upload = self._pending.pop(key)
        self._pending_bytes -= upload.size
        upload.ended.set_result(failure)
        if not self._pending:
            self._alerts.end(_UPLOADS)

    def _give_up(self, key: Key) -> None:
        """Upload what waits, or is under way, no more."""
        upload = self._pending[key]
        self._end(key, NotThere(f"nothing needs block {key[1].hex()} any more"))
        del self._known[key]
        if upload.attempt is not None:
            upload.attempt.reschedule(asyncio.get_running_loop().time())

    def _forget_loss(self, key: Key) -> None:
        if key in self._lost:
            self._lost.remove(key)
            del self._known[key]
            self._alerts.end(_lost_topic(key[1]))

    def _rate(self) -> float:
        """Return the bytes that were uploaded in a second, of late."""
        now = self._clock.boot()
        while self._sent and now - self._sent[0][0] > RATE_OVER_S:
            self._sent.popleft()
        if not self._sent:
            return 0.0
        return sum(size for _, size in self._sent) / max(now - self._sent[0][0], 1.0)

    def _remembers(self, key: Key) -> bool:
        return key in self._known or key in self._released

    def _is_uploaded(self, key: Key) -> bool:
        known = self._known.get(key)
        return key in self._released if known is None else known.uploaded

    async def _until(self, attempt: Callable[[], Awaitable[bool]]) -> None:
        """Repeat *attempt*, with pauses, until it returns True."""
        backoff = Backoff(self._jitter, FIRST_PAUSE_S, MAX_PAUSE_S)
        while not await attempt():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as hurried:
                    self._pauses.add(hurried)
                    try:
                        await self._clock.sleep(backoff.pause())
                    finally:
                        self._pauses.discard(hurried)

    async def _try_to_look_for(self, project: ProjectId, blocks: Sequence[BlockId]) -> bool:
        """Queue those of *blocks* that are staged, and return whether staging could be read."""
        try:
            for block in await self._staging.note(project, blocks):
                self._enqueue_needed(project, block)
        except Unavailable as error:
            self._note_staging(error)
            return False
        self._alerts.end(_STAGING)
        return True

    async def _find_in_bucket(self, key: Key) -> bool:
        project, block = key
        try:
            size = await self._bucket.size(block_key(project, block))
        except NodeError as error:
            self._note_failure(error)
            return False
        self._alerts.end(_UPLOADS)
        if size is None:
            raise NotThere(f"block {block.hex()} is neither staged here nor in the bucket")
        self._remember(key)
        return True

    # -- uploading ---------------------------------------------------------------------------------

    async def _upload(self, take: Callable[[], Awaitable[Key]]) -> None:
        while True:
            key = await take()
            upload = self._pending.get(key)
            if upload is not None and not upload.begun:
                upload.begun = True
                try:
                    async with asyncio.timeout(None) as upload.attempt:
                        await self._until(partial(self._try_to_upload, key, upload))
                except TimeoutError:
                    if self._pending.get(key) is upload:
                        raise  # not given up: a fault

    async def _oldest(self) -> Key:
        return await self._by_age.get()

    async def _lowest(self) -> Key:
        return (await self._by_rank.get())[2]

    async def _try_to_upload(self, key: Key, upload: _Upload) -> bool:
        """Make one attempt, and return whether it ended the upload, well or badly."""
        project, block = key
        try:
            ciphertext = await self._staging.load(project, block)
        except Unavailable as error:
            self._note_staging(error)
            return False
        except (Corrupt, NotThere) as loss:
            return await self._try_to_salvage(key, upload, loss)
        if not upload.offered:
            upload.offered = True
            await self._offer(project, block, ciphertext)
        try:
            await self._bucket.put(block_key(project, block), ciphertext)
        except NodeError as error:
            self._note_failure(error)
            return False
        if self._pending.get(key) is not upload:
            return True  # it was given up just now
        self._uncommitted.append((self._clock.boot(), key))
        self._sent.append((self._clock.boot(), len(ciphertext)))
        self._succeeded(key)
        return True

    async def _try_to_salvage(self, key: Key, upload: _Upload, loss: NodeError) -> bool:
        """End the upload of a block whose staged file is bad or gone: the bucket may have it."""
        project, block = key
        try:
            size = await self._bucket.size(block_key(project, block))
        except NodeError as error:
            self._note_failure(error)
            return False
        # A crash tore it before anything was acknowledged: no file names it.
        torn = (
            size is None and isinstance(loss, Corrupt) and not await self._staging.is_promised(*key)
        )
        if torn or size is not None:
            await self._staging.discard(project, block)
        if self._pending.get(key) is not upload:
            return True  # it was given up meanwhile
        if torn:
            self._end(key, loss)
            del self._known[key]
        elif size is None:
            self._end(key, loss)
            self._lost.add(key)
            self._alerts.begin(
                _lost_topic(block),
                f"A block written here was lost before its upload: {loss}.",
                "Copy the file it belongs to here again; the disk of the cache may be failing.",
            )
        else:
            self._succeeded(key)
            self._forget(key)
        return True

    def _succeeded(self, key: Key) -> None:
        self._alerts.end(_UPLOADS)
        self._alerts.end(_STAGING)
        self._end(key, None)
        self._on_uploaded(key[0], [key[1]])

    def _note_failure(self, error: NodeError) -> None:
        """Note that the bucket took nothing, though it was asked for as long as that makes sense."""
        self._alerts.begin(
            _UPLOADS,
            f"What was written here cannot be uploaded now: {error}",
            "It waits on this disk, and goes on by itself.",
        )

    def _note_staging(self, error: NodeError) -> None:
        if self._staging.missing:
            return  # the cache says so, and what helps
        self._alerts.begin(
            _STAGING,
            f"What waits here to be uploaded cannot be read: {error}.",
            "Look at the disk of the cache.",
        )

    # -- releasing ---------------------------------------------------------------------------------

    def _let_go(self, key: Key) -> None:
        upload = self._known.get(key)
        if upload is not None and upload.uploaded and not upload.releasing:
            upload.releasing = True
            self._releases.put_nowait(key)

    async def _release_let_go(self) -> None:
        while True:
            key = await self._releases.get()
            await self._staging.release(*key)
            self._forget(key)

    def _forget(self, key: Key) -> None:
        """Drop the entry of a block that left staging, but remember that the bucket has it."""
        del self._known[key]
        self._remember(key)

    def _remember(self, key: Key) -> None:
        self._released[key] = None

    async def _expire(self) -> None:
        while True:
            await self._clock.sleep(_EXPIRE_INTERVAL_S)
            while (
                self._uncommitted
                and self._clock.boot() - self._uncommitted[0][0] >= SHUTDOWN_GRACE_S
            ):
                self._let_go(self._uncommitted.popleft()[1])

    async def _sweep(self) -> None:
        while True:
            if self._staging.scanned:
                await self._clock.sleep(SWEEP_INTERVAL_S)
            try:
                await self._staging.scan()
            except Unavailable as error:
                self._note_staging(error)
                await self._clock.sleep(MISSING_INTERVAL_S)
            else:
                self._alerts.end(_STAGING)
                self._enqueue_found()
                self.flush_requested()


def _lost_topic(block: BlockId) -> str:
    return f"lost-block:{block.hex()}"
