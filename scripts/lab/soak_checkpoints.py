"""Checkpoints in a soak: what a mount asks its daemon for, and who joins by one when all is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from replica_fixture import KEY, rows_of

from lucidnode.fs.checkpoints.newcomer import Newcomer
from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.hooks import CommitHooks
from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.format.block import BlockName, seal
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import block_key
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NotThere
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.staging import staged_path
from lucidnode.node.journal.checkpoint_objects import CheckpointObjects
from lucidnode.node.journal.service import JournalService

T = TypeVar("T")

EVERY = 4
"""Entries from one checkpoint to the next: a run has a dozen or two."""


class CheckpointDesk(Protocol):
    """The parts of a daemon that checkpoints need."""

    journal: JournalService
    checkpoints: CheckpointObjects
    bucket: Bucket

    async def announce_staged(self, project: ProjectId, blocks: list[BlockId]) -> None:
        """Queue *blocks*, which lie in staging."""


Ask = Callable[[Callable[[Any], Awaitable[T]]], Awaitable[T]]
"""Has a daemon do something, if there is one."""


class SoakCheckpoints:
    """The CheckpointClient and the staging of one mount."""

    def __init__(self, ask: Ask[Any], codec: EntryCodec, staging: Path) -> None:
        self._ask = ask
        self._codec = codec
        self._staging = staging

    async def stage(self, plaintext: bytes) -> BlockName:
        keys = self._codec.keys()
        name, ciphertext = seal(keys, plaintext)
        path = staged_path(self._staging, keys.project, name.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ciphertext)
        return name

    async def checkpoints(self, project: ProjectId) -> list[Seq]:
        found: list[Seq] = await self._ask(lambda daemon: daemon.checkpoints.seqs(project))
        return found

    async def checkpoint(self, project: ProjectId, seq: Seq) -> bytes | None:
        return await self._found(lambda daemon: daemon.checkpoints.manifest(project, seq))

    async def make_checkpoint(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        async def announced(daemon: CheckpointDesk) -> wire.CommitReply:
            await daemon.announce_staged(project, [BlockId(each) for each in request.needs])
            return await daemon.checkpoints.make(project, seq, request)

        reply: wire.CommitReply = await self._ask(announced)
        return reply

    async def attestations(self, project: ProjectId) -> list[tuple[Seq, DeviceId]]:
        found: list[tuple[Seq, DeviceId]] = await self._ask(
            lambda daemon: daemon.checkpoints.attestations(project)
        )
        return found

    async def attestation(self, project: ProjectId, seq: Seq, device: DeviceId) -> bytes | None:
        return await self._found(
            lambda daemon: daemon.checkpoints.attestation(project, seq, device)
        )

    async def attest(self, project: ProjectId, seq: Seq, manifest: bytes) -> None:
        await self._ask(lambda daemon: daemon.checkpoints.attest(project, seq, manifest))

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        return await self._found(lambda daemon: daemon.journal.kept(project, seq))

    async def entry(self, project: ProjectId, seq: Seq) -> wire.Slot | None:
        held = await self._found(lambda daemon: daemon.journal.entry(project, seq))
        return None if held is None else wire.Slot(held.hash, held.body)

    async def proven(self, project: ProjectId, seq: Seq) -> wire.Slot | None:
        held = await self._found(lambda daemon: daemon.journal.proven(project, seq))
        return None if held is None else wire.Slot(held.hash, held.body)

    async def block(
        self, project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool = False
    ) -> tuple[wire.Source, bytes | None]:
        _ = as_bytes
        async with asyncio.timeout(patience_s):
            body: bytes = await self._ask(
                lambda daemon: daemon.bucket.get(block_key(project, block))
            )
        return "bucket", body

    async def _found(self, ask: Callable[[CheckpointDesk], Awaitable[T]]) -> T | None:
        try:
            found: T = await self._ask(ask)
        except NotThere:
            return None
        return found


async def joined_late(
    path: Path,
    checkpoints: SoakCheckpoints,
    journal: JournalClient,
    codec: EntryCodec,
    hooks: CommitHooks,
    clock: Clock,
) -> tuple[Seq | None, Any]:
    """Return the checkpoint that a newcomer begins with, and its tables at the end of the journal."""
    replica = Replica.open(path, KEY, "late")
    try:
        begun = await Newcomer(replica, checkpoints, codec, Alerts(clock), clock).load()
    finally:
        replica.close()
    replica = Replica.open(path, KEY, "late")
    try:
        project = codec.keys().project
        committer = Committer(replica, journal, project, codec, hooks, Alerts(clock), clock)
        await committer.catch_up()
        return begun, rows_of(replica)
    finally:
        replica.close()
