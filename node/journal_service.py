"""Journal entries between this node's mounts, the bucket and the office.

A mount hands over a sealed entry; from then on it is the daemon's to finish: the blocks the entry
needs are uploaded first, then the entry is signed and created if absent. The request lies in
staging until that is settled, so it survives the mount, the daemon and the machine's reboot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from lucidnode.node import register
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import journal_key
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import wire
from lucidnode.node.client.errors import NodeError, NotThere, Refused
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.journal import EntryHeader, entry_hash, signed, signing_message
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.uploads import Uploads

log = logging.getLogger(__name__)

_FOLLOWING = 16
"""Entries read ahead of a mount that is behind; it follows a longer way by itself."""

_REQUEST = msgspec.msgpack.Decoder(wire.CommitRequest)


class Announce(Protocol):
    """Told of every entry this node committed."""

    def __call__(self, project: ProjectId, seq: Seq, body: bytes) -> None: ...


Commit = Callable[[str, bytes], Awaitable[register.Committed | register.Lost | register.Unknown]]
"""Creates a key if it is absent; see node/register.py, with bucket, clock and deadline bound."""


class JournalService:
    """Commits and reads journal entries.

    Invariant: for one project at most one request is under way, and it is the one in staging. A
    mount makes another entry for a position only once the earlier one is settled, so bodies for
    one position never differ here, except after a mount was thrown away; the newer one counts.
    """

    def __init__(
        self,
        *,
        bucket: Bucket,
        staging: Staging,
        uploads: Uploads,
        sign: Callable[[bytes], bytes],
        announce: Announce,
        commit: Commit,
    ) -> None:
        self._bucket = bucket
        self._staging = staging
        self._uploads = uploads
        self._sign = sign
        self._announce = announce
        self._commit = commit
        self._locks: dict[ProjectId, asyncio.Lock] = {}
        self._heads: dict[ProjectId, tuple[Seq, bytes]] = {}

    async def commit(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        """Upload what *request* needs, then create its entry as *seq*. Waits as long as it takes.

        Raises Refused for an entry that does not say it is *seq*.
        """
        header = EntryHeader.parse(request.unsigned)
        if header.seq != seq or header.project != project:
            raise Refused(f"the entry is not number {seq} of this project")
        async with self._locks.setdefault(project, asyncio.Lock()):
            await self._staging.prepare(project, msgspec.msgpack.encode(request))
            return await self._finish(project, seq, request)

    async def entry(self, project: ProjectId, seq: Seq) -> bytes:
        """Return entry *seq* as the bucket has it. Raises NotThere, Unavailable."""
        body = await self._bucket.get(journal_key(project, seq))
        self._note_head(project, seq, body)
        return body

    async def resume(self) -> None:
        """Finish what an earlier daemon was asked to commit. Outcomes are found by the mounts."""
        for project, raw in (await self._staging.prepared()).items():
            try:
                request = decoded(_REQUEST, raw)
                seq = EntryHeader.parse(request.unsigned).seq
            except NodeError:
                log.warning(
                    "a prepared commit of project %s is damaged; its mount redoes it", project
                )
                await self._staging.discard_prepared(project)
                continue
            async with self._locks.setdefault(project, asyncio.Lock()):
                try:
                    await self._finish(project, seq, request)
                except NodeError as error:
                    # It stays prepared: the mount of this project finds out, and says what is lost.
                    log.warning("a commit of project %s cannot be finished: %s", project, error)

    def heads(self) -> dict[ProjectId, tuple[Seq, bytes]]:
        """Return the highest entry (number, hash) this node has seen of each project."""
        return dict(self._heads)

    async def following(self, project: ProjectId, seq: Seq) -> list[wire.Entry]:
        """Return the next few entries after *seq* that the bucket has. Raises Unavailable."""
        found: list[wire.Entry] = []
        with contextlib.suppress(NotThere):
            for number in range(seq + 1, seq + 1 + _FOLLOWING):
                body = await self.entry(project, Seq(number))
                found.append(wire.Entry(number, body))
        return found

    async def _finish(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        # The order is the promise of DESIGN §6: no entry names a block that is not in the bucket.
        await self._uploads.wait_for(project, [BlockId(b) for b in request.needs])
        body = signed(request.unsigned, self._sign(signing_message(request.unsigned)))
        match await self._commit(journal_key(project, seq), body):
            case register.Committed():
                await self._staging.discard_prepared(project)
                self._uploads.committed(project, [BlockId(b) for b in request.needs])
                self._note_head(project, seq, body)
                self._announce(project, seq, body)
                return wire.CommitReply("committed", body)
            case register.Lost(held=held):
                winner = held.body or b""
                await self._staging.discard_prepared(project)
                self._note_head(project, seq, winner)
                return wire.CommitReply("lost", winner)
            case register.Unknown():
                return wire.CommitReply("unknown", b"")

    def _note_head(self, project: ProjectId, seq: Seq, body: bytes) -> None:
        if seq > self._heads.get(project, (0, b""))[0]:
            self._heads[project] = (seq, entry_hash(body))
