"""A daemon's journal service over a real staging directory and a bucket in memory."""

from __future__ import annotations

import secrets
from pathlib import Path

from lucidnode.node import register
from lucidnode.node.bucket.keys import block_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import EntryHeader
from lucidnode.node.journal_service import JournalService
from lucidnode.node.uploads import Uploads

PROJECT = ProjectId("ab" * 16)
SIGNATURE = bytes(64)


class NoCache:
    """Keeps nothing: released blocks are deleted."""

    async def adopt(self, block: BlockId, staged: Path, size: int) -> None:
        pass


def unsigned(seq: int, project: ProjectId = PROJECT) -> bytes:
    header = EntryHeader(
        format=1,
        seq=Seq(seq),
        project=project,
        attempt=secrets.token_bytes(16),
        previous=bytes(32),
        epoch=1,
        device=DeviceId("cd" * 16),
        nonce=secrets.token_bytes(32),
    )
    return header.encode() + secrets.token_bytes(100)


class Node:
    """A journal service over a real staging directory and a bucket in memory."""

    def __init__(self, staging: Staging, bucket: MemoryBucket) -> None:
        self.bucket = bucket
        self.staging = staging
        self.announced: list[int] = []
        self.uploaded_at_commit: list[bool] = []
        self.needs: list[BlockId] = []
        self.answers: list[register.Unknown] = []
        self.uploads = Uploads(
            staging=staging,
            bucket=bucket,
            offer=self._offer,
            on_uploaded=lambda project, blocks: None,
            trouble=lambda message: None,
            clock=SystemClock(),
            jitter=lambda: 0.5,
        )
        self.journal = JournalService(
            bucket=bucket,
            staging=staging,
            uploads=self.uploads,
            sign=lambda message: SIGNATURE,
            announce=lambda project, seq, body: self.announced.append(seq),
            commit=self._commit,
        )

    async def _offer(self, project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
        """Nobody else is in this office."""

    async def _commit(
        self, key: str, body: bytes
    ) -> register.Committed | register.Lost | register.Unknown:
        for block in self.needs:
            self.uploaded_at_commit.append(
                await self.bucket.size(block_key(PROJECT, block)) is not None
            )
        if self.answers:
            return self.answers.pop()
        clock = SystemClock()
        return await register.commit(self.bucket, key, body, clock, clock.boot() + 5, lambda: 0.5)
