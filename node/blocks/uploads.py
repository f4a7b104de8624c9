"""Staged blocks on their way into the bucket, until all are there.

An outage never loses or skips a block; it waits in staging and is tried again, through restarts
of the daemon and of the machine. A block is uploaded, then named by a committed journal entry,
then released from staging (docs/architecture.md, "One write").
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from lucidnode.node.blocks.retries import Retries
from lucidnode.node.blocks.staging_releases import StagingReleases
from lucidnode.node.blocks.upload_queue import QueuedUpload, QueuedUploads, UploadKey
from lucidnode.node.blocks.upload_rate import UploadRate
from lucidnode.node.bucket.keys import block_key
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Jitter
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

SWEEP_INTERVAL_S = 60.0
"""Seconds between looks for staged blocks that nobody announced: their mount died first."""

MISSING_INTERVAL_S = 5.0
"""Seconds between looks for a staging directory that cannot be read."""

_UPLOADS, _STAGING = "uploads", "staging"
"""The topics of alerts about the way to the bucket, and about the disk where blocks wait."""

Offer = Callable[[ProjectId, BlockId, bytes], Awaitable[None]]
"""Hands a copy to the block's owners in the office. Ends within its own timeouts (node/peers/body_client.py) and never raises."""


class UploadTarget(Protocol):
    """What uploads need of `node/bucket/bucket.py`."""

    async def put(self, key: str, body: bytes) -> None: ...
    async def size(self, key: str) -> int | None: ...


@dataclass(frozen=True, slots=True)
class PendingUploads:
    """What the bucket does not have yet. *failed* blocks are damaged and wait for nothing.

    *bytes_per_second* is what got there of late (node/blocks/upload_rate.py).
    """

    blocks: int
    bytes: int
    oldest_seconds: float
    failed: int
    bytes_per_second: float


class Uploads:
    """Uploads what is queued. `run` does the work; everything else may be called around it."""

    def __init__(
        self,
        *,
        staging: Staging,
        bucket: UploadTarget,
        offer: Offer,
        on_uploaded: Callable[[ProjectId, Sequence[BlockId]], None],
        alerts: Alerts,
        clock: Clock,
        jitter: Jitter,
    ) -> None:
        """Take the parts it works with; *jitter* returns a random number from 0 up to 1."""
        self._staging = staging
        self._bucket = bucket
        self._offer = offer
        self._on_uploaded = on_uploaded
        self._alerts = alerts
        self._clock = clock
        self._queue = QueuedUploads(clock)
        self._releases = StagingReleases(self._queue, staging, clock)
        self._rate = UploadRate(clock)
        self._unneeded: set[UploadKey] = set()  # staged, not queued: about to be deleted
        self._retries = Retries(clock, jitter)

    def pending(self) -> PendingUploads:
        """Return how much is still on its way."""
        return PendingUploads(
            blocks=self._queue.blocks,
            bytes=self._queue.bytes,
            oldest_seconds=self._queue.oldest_s,
            failed=self._queue.lost,
            bytes_per_second=self._rate.bytes_per_second(),
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

    async def uploaded(self, project: ProjectId, blocks: Sequence[BlockId]) -> list[BlockId]:
        """Return those of *blocks* that are in the bucket. Raises Unavailable if that can't be seen."""
        unknown = [block for block in blocks if not self._remembers((project, block))]
        for block in await self._staging.note(project, unknown) if unknown else []:
            self._enqueue_needed(project, block)
        for block in unknown:
            key = (project, block)
            if not self._remembers(key) and await self._bucket.size(block_key(*key)) is not None:
                self._releases.remember(key)
        return [block for block in blocks if self._is_uploaded((project, block))]

    async def settle(self) -> None:
        """Return once what is in the bucket by now, and committed, has gone from staging into the cache.

        Raises Unavailable when the disk lets nothing get there.
        """
        await self._releases.settle()

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
            if (upload := self._queue.waiting(key)) is not None:
                self._give_up(key, upload)
            if key not in self._queue:
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
            if (upload := self._queue.waiting(key)) is not None:
                self._give_up(key, upload)

    async def wait_for(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        """Return once all *blocks* are in the bucket, however long that takes.

        A block that is neither staged nor remembered as uploaded is looked for in the bucket.
        Raises Corrupt or NotThere if one will never get there: its only copy is damaged or gone.
        """
        unknown = [block for block in blocks if not self._remembers((project, block))]
        if unknown:
            await self._retries.until(partial(self._try_to_look_for, project, unknown))
        for block in unknown:
            if not self._remembers((project, block)):
                await self._retries.until(partial(self._find_in_bucket, (project, block)))
        uploads = [known for block in blocks if (known := self._queue.get((project, block)))]
        if uploads:
            await asyncio.wait([upload.ended for upload in uploads])
        for upload in uploads:
            failure = upload.ended.result()
            if failure is not None:
                raise failure

    def committed(self, project: ProjectId, blocks: Iterable[BlockId]) -> None:
        """Note that a committed journal entry names *blocks*: staging need not keep them."""
        for block in blocks:
            self._releases.release_soon((project, block))

    def hurry(self) -> None:
        """Try again now what waits for another try: something was done about what kept it."""
        self._retries.hurry()

    async def run(self) -> None:
        """Upload until cancelled, beginning with what earlier daemons left in staging."""
        self._enqueue_found()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._upload(self._queue.next_by_age))
            for _ in range(MAX_PARALLEL_UPLOADS - 1):
                tasks.create_task(self._upload(self._queue.next_by_rank))
            tasks.create_task(self._releases.run())
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
        """Queue *block* if it is staged."""
        staged = self._staging.held(project).get(block)
        if staged is not None:
            self._queue.add((project, block), staged, rank)

    def _end(self, key: UploadKey, failure: NodeError | None) -> None:
        self._queue.end(key, failure)
        self._end_alert_if_empty()

    def _end_alert_if_empty(self) -> None:
        if not self._queue.blocks:
            self._alerts.end(_UPLOADS)

    def _give_up(self, key: UploadKey, upload: QueuedUpload) -> None:
        """Upload what waits, or is under way, no more."""
        self._end(key, NotThere(f"nothing needs block {key[1].hex()} any more"))
        self._queue.drop(key)
        if upload.attempt is not None:
            upload.attempt.reschedule(asyncio.get_running_loop().time())

    def _forget_loss(self, key: UploadKey) -> None:
        if self._queue.is_lost(key):
            self._queue.drop(key)
            self._alerts.end(_lost_topic(key[1]))

    def _remembers(self, key: UploadKey) -> bool:
        return key in self._queue or self._releases.remembers(key)

    def _is_uploaded(self, key: UploadKey) -> bool:
        upload = self._queue.get(key)
        return self._releases.remembers(key) if upload is None else upload.is_uploaded

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

    async def _find_in_bucket(self, key: UploadKey) -> bool:
        project, block = key
        try:
            size = await self._bucket.size(block_key(project, block))
        except NodeError as error:
            self._note_failure(error)
            return False
        self._alerts.end(_UPLOADS)
        if size is None:
            raise NotThere(f"block {block.hex()} is neither staged here nor in the bucket")
        self._releases.remember(key)
        return True

    # -- uploading ---------------------------------------------------------------------------------

    async def _upload(self, take: Callable[[], Awaitable[UploadKey]]) -> None:
        while True:
            key = await take()
            upload = self._queue.waiting(key)
            if upload is not None and not upload.begun:
                upload.begun = True
                try:
                    async with asyncio.timeout(None) as upload.attempt:
                        await self._retries.until(partial(self._try_to_upload, key, upload))
                except TimeoutError:
                    if self._queue.waiting(key) is upload:
                        self._queue.put_back(key)
                        raise  # not given up: a fault
                except BaseException:
                    # Whatever ended it, all of us begin again, and nobody else would take it up.
                    self._queue.put_back(key)
                    raise

    async def _try_to_upload(self, key: UploadKey, upload: QueuedUpload) -> bool:
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
        if self._queue.waiting(key) is not upload:
            return True  # it was given up just now
        self._releases.expect_commit(key)
        self._rate.count(len(ciphertext))
        self._succeeded(key)
        return True

    async def _try_to_salvage(self, key: UploadKey, upload: QueuedUpload, loss: NodeError) -> bool:
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
        if self._queue.waiting(key) is not upload:
            return True  # it was given up meanwhile
        if torn:
            self._end(key, loss)
            self._queue.drop(key)
        elif size is None:
            self._queue.lose(key, loss)
            self._end_alert_if_empty()
            self._alerts.begin(
                _lost_topic(block),
                f"A block written here was lost before its upload: {loss}.",
                "Copy the file it belongs to here again; the disk of the cache may be failing.",
            )
        else:
            self._succeeded(key)
            self._releases.released(key)
        return True

    def _succeeded(self, key: UploadKey) -> None:
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
                self.hurry()


def _lost_topic(block: BlockId) -> str:
    return f"lost-block:{block.hex()}"
