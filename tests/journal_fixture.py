"""A daemon's journal service over a real staging directory and a bucket in memory."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from disk_fixture import FastClock

from lucidnode.fs.format import sodium
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.bucket.bucket import Listed
from lucidnode.node.bucket.keys import kind_of
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock, SystemClock
from lucidnode.node.client.errors import Refused
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import PADDING, TAG_SIZE, EntryHeader, signed, signing_message
from lucidnode.node.journal.kept_entries import KeptEntries
from lucidnode.node.journal.service import JournalService

PROJECT = ProjectId("ab" * 16)
SEED = b"s" * 32


class NoCache:
    """Keeps nothing: released blocks are deleted."""

    async def adopt(self, block: BlockId, staged: Path, size: int) -> None:
        pass


def unsigned(seq: int, project: ProjectId = PROJECT, previous: bytes = bytes(32)) -> bytes:
    header = EntryHeader(
        format=1,
        seq=Seq(seq),
        project=project,
        attempt=secrets.token_bytes(16),
        previous=previous,
        epoch=1,
        device=DeviceId("cd" * 16),
        nonce=secrets.token_bytes(32),
    )
    return header.encode() + secrets.token_bytes(PADDING + TAG_SIZE)


def entry(seq: int, previous: bytes = bytes(32)) -> bytes:
    """Return a finished entry of the device whose entries count."""
    made = unsigned(seq, previous=previous)
    return signed(made, sodium.sign(SEED, signing_message(made)))


class BriskClock(FastClock):
    """Fast enough for proofs that take seconds, slow enough for deadlines on a busy machine."""

    SPEED = 20


class Shelf(MemoryBucket):
    """A bucket that knows which blocks it had when each entry was created, and may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks_at_create: list[set[str]] = []
        self.is_away = False
        self.on_size: Callable[[], object] = bool
        """Called before each answer to a question for a size."""
        self.on_list: Callable[[], object] = bool
        """Called after each listing, before its answer."""

    async def size(self, key: str) -> int | None:
        self.on_size()
        return await super().size(key)

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        found = await super().list(prefix, after, limit)
        self.on_list()
        return found

    async def create(self, key: str, body: bytes) -> None:
        if self.is_away:
            raise Refused("away")
        self.blocks_at_create.append({key for key in self.objects if kind_of(key) == "block"})
        await super().create(key, body)


class Node:
    """A journal service over a real staging directory and a bucket in memory."""

    def __init__(self, staging: Staging, bucket: Shelf, clock: Clock | None = None) -> None:
        self.bucket = bucket
        self.staging = staging
        self.announced: list[int] = []
        self.elsewhere: list[bool] = []
        self.forbidden = ""
        self.deleted: set[ProjectId] = set()
        self.shows_others = False
        self.clock = clock or BriskClock()
        self.alerts = Alerts(self.clock)
        self.uploads = Uploads(
            staging=staging,
            bucket=bucket,
            offer=self._offer,
            on_uploaded=lambda project, blocks: None,
            alerts=Alerts(SystemClock()),
            clock=SystemClock(),
            jitter=lambda: 0.5,
        )
        self.journal = JournalService(
            bucket=bucket,
            staging=staging,
            uploads=self.uploads,
            sign=lambda message: sodium.sign(SEED, message),
            writer_key={DeviceId("cd" * 16): sodium.signing_public(SEED)}.get,
            device_key={DeviceId("cd" * 16): sodium.signing_public(SEED)}.get,
            announce=lambda project, seq: self.announced.append(seq),
            me=DeviceId("cd" * 16),
            signed_elsewhere=lambda: self.elsewhere.append(True),
            why_forbidden=lambda: self.forbidden,
            is_deleted=self.deleted.__contains__,
            is_witnessed=self._is_witnessed,
            kept=KeptEntries(staging.directory.parent / "entries"),
            alerts=self.alerts,
            clock=self.clock,
            jitter=lambda: 0.5,
        )

    async def _is_witnessed(self) -> bool:
        return self.shows_others

    async def _offer(self, project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
        """Nobody else is in this office."""
