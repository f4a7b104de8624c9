"""The daemon of a soak: the real parts, put together as `node/serving.py` does it.

What is missing is the socket to its mounts, and the network between daemons.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab.soak_process import Process
from lab.soak_workstation import Workstation
from lucidnode.fs.format import sodium
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.counted import CountedBucket, Request, Verb
from lucidnode.node.bucket.health import BucketHealth
from lucidnode.node.bucket.keys import STUDIO
from lucidnode.node.bucket.open_bucket import patient
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.supervision import supervised
from lucidnode.node.journal.checkpoint_objects import CheckpointObjects
from lucidnode.node.journal.kept_entries import KeptEntries
from lucidnode.node.journal.service import JournalService
from lucidnode.node.mounts import MountTable
from lucidnode.node.peer_events import PeerEventHandlers
from lucidnode.node.roster.service import RosterService


class NoCache:
    """Keeps nothing: released blocks are deleted."""

    async def adopt(self, block: BlockId, staged: Path, size: int) -> None:
        pass


class Daemon(Process):
    """The ciphertext side of a node."""

    journal: JournalService
    roster: RosterService
    uploads: Uploads
    events: PeerEventHandlers
    checkpoints: CheckpointObjects
    bucket: Bucket
    alerts: Alerts

    def __init__(self, workstation: Workstation) -> None:
        super().__init__(f"{workstation.name}.daemon")
        self._workstation = workstation
        self.mounts = MountTable()
        self.up = asyncio.Event()
        self.mended = 0
        """How often the bucket granted what it had failed to grant before: a read, a listing, a write."""

    async def run(self) -> None:
        """Serve until killed."""
        own = self._workstation
        clock, jitter = own.clock, own.random.random
        self.alerts = Alerts(clock)
        health = BucketHealth(
            is_wanted=lambda: any(True for _ in self.mounts),
            skew=lambda: None,
            alerts=self.alerts,
            clock=clock,
        )
        counted = CountedBucket(own.bucket, clock, self._noting(health))
        self.bucket = bucket = patient(counted, clock, jitter)
        async with contextlib.AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(supervised(self.alerts, clock))
            staging = await stack.enter_async_context(
                Staging.open(CacheMark(own.directory, None), NoCache(), clock)
            )
            self.roster = RosterService(
                bucket=bucket,
                genesis=own.membership.genesis,
                saved=own.directory / "roster.bin",
                clock=clock,
                jitter=jitter,
                alerts=self.alerts,
            )
            await self.roster.know()
            self.uploads = Uploads(
                staging=staging,
                bucket=bucket,
                offer=_offer_nobody,
                on_uploaded=lambda project, blocks: None,
                alerts=self.alerts,
                clock=clock,
                jitter=jitter,
            )
            self.journal = JournalService(
                bucket=bucket,
                staging=staging,
                uploads=self.uploads,
                sign=partial(sodium.sign, own.device_seed),
                writer_key=self.roster.writer_key,
                device_key=self.roster.device_key,
                announce=own.announce,
                me=own.device,
                signed_elsewhere=_nobody_looks,
                why_forbidden=str,
                is_deleted=self.roster.is_deleted,
                is_witnessed=self.roster.is_shown,
                kept=KeptEntries(own.directory / "entries"),
                alerts=self.alerts,
                clock=clock,
                jitter=jitter,
            )
            self.checkpoints = CheckpointObjects(
                bucket,
                self.uploads,
                own.device,
                partial(sodium.sign, own.device_seed),
                clock,
                jitter,
            )
            self.events = PeerEventHandlers(
                self.mounts,
                self.journal,
                tasks,
                self.roster.projects,
                self.roster.heard,
                lambda *_: None,
                self.alerts,
                clock,
            )
            tasks.keep("uploads", self.uploads.run)
            tasks.keep("what was being committed", self.journal.resume)
            tasks.keep("looking for lost entries", self.journal.look_for_lost)
            tasks.keep("membership", self.roster.run)
            tasks.keep("comparing with peers", self.events.run)
            tasks.keep("looking at the bucket", partial(health.run, partial(counted.get, STUDIO)))
            self.up.set()
            await asyncio.Event().wait()

    def _noting(self, health: BucketHealth) -> Callable[[Request], None]:
        """Return what takes note of requests as *health* does, and counts what is mended."""
        failed: set[Verb] = set()

        def note(request: Request) -> None:
            verb: Verb = "put" if request.verb in {"create", "delete"} else request.verb
            if request.error is not None:
                failed.add(verb)
            elif request.outcome != "failed" and verb in failed:
                failed.discard(verb)
                self.mended += 1
            health.note(request)

        return note


def _nobody_looks() -> None:
    """No other daemon has the keys of one of these nodes."""


async def _offer_nobody(project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
    """Nobody else is asked to keep a copy here."""
