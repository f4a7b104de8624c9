"""A mount's way to its daemon in a soak, as `DaemonClient` is one over the socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lab.soak_daemon import Daemon
from lucidnode.node.bucket.keys import block_key
from lucidnode.node.client import wire
from lucidnode.node.client.errors import DaemonUnreachable, NotThere
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.journal.register import SlotContent

T = TypeVar("T")


class Door:
    """What is asked of the daemon goes on when who asked dies; it ends when the daemon does."""

    def __init__(
        self, daemon: Callable[[], Daemon | None], acknowledged: Callable[[Seq, bytes], None]
    ) -> None:
        """*daemon* returns the one that serves now. *acknowledged* hears of entries of our own."""
        self.daemon = daemon
        self._acknowledged = acknowledged
        self.journal = self.checkpoints = self.blocks = self

    async def asked(self, ask: Callable[[Daemon], Awaitable[T]]) -> T:
        """Return what the daemon answers. Raises DaemonUnreachable, and what *ask* raises."""
        daemon = self.daemon()
        if daemon is None:
            raise DaemonUnreachable("no daemon answers")
        task = daemon.start(lambda: ask(daemon))
        await asyncio.wait({task})
        if task.cancelled():
            raise DaemonUnreachable("the daemon closed the connection")
        return task.result()

    async def _found(self, ask: Callable[[Daemon], Awaitable[T]]) -> T | None:
        try:
            return await self.asked(ask)
        except NotThere:
            return None

    # -- journal and roster ------------------------------------------------------------------

    async def commit(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        async def announced(daemon: Daemon) -> wire.CommitReply:
            await daemon.uploads.add(project, [BlockId(block) for block in request.needs])
            return await daemon.journal.commit(project, seq, request)

        reply = await self.asked(announced)
        if reply.outcome == "committed":
            self._acknowledged(seq, reply.body)
        return reply

    async def entry(
        self, project: ProjectId, seq: Seq, max_bytes: int | None = None
    ) -> wire.Slot | None:
        return _slot(await self._found(lambda daemon: daemon.journal.entry(project, seq)))

    async def proven(self, project: ProjectId, seq: Seq) -> wire.Slot | None:
        return _slot(await self._found(lambda daemon: daemon.journal.proven(project, seq)))

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        return await self._found(lambda daemon: daemon.journal.kept(project, seq))

    async def entries(self, look: wire.RosterLook = "try") -> list[bytes]:
        return await self.asked(lambda daemon: daemon.roster.entries(look))

    # -- checkpoints -------------------------------------------------------------------------

    async def seqs(self, project: ProjectId) -> list[Seq]:
        return await self.asked(lambda daemon: daemon.checkpoints.seqs(project))

    async def manifest(self, project: ProjectId, seq: Seq) -> bytes | None:
        return await self._found(lambda daemon: daemon.checkpoints.manifest(project, seq))

    async def make(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        async def announced(daemon: Daemon) -> wire.CommitReply:
            await daemon.uploads.add(project, [BlockId(block) for block in request.needs])
            return await daemon.checkpoints.make(project, seq, request)

        return await self.asked(announced)

    async def attestations(self, project: ProjectId) -> list[tuple[Seq, DeviceId]]:
        return await self.asked(lambda daemon: daemon.checkpoints.attestations(project))

    async def attestation(self, project: ProjectId, seq: Seq, device: DeviceId) -> bytes | None:
        return await self._found(
            lambda daemon: daemon.checkpoints.attestation(project, seq, device)
        )

    async def attest(self, project: ProjectId, seq: Seq, manifest: bytes) -> None:
        await self.asked(lambda daemon: daemon.checkpoints.attest(project, seq, manifest))

    async def obtain(
        self, project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool = False
    ) -> tuple[wire.Source, bytes | None]:
        async with asyncio.timeout(patience_s):
            return "bucket", await self.asked(
                lambda daemon: daemon.bucket.get(block_key(project, block))
            )


def _slot(held: SlotContent | None) -> wire.Slot | None:
    return None if held is None else wire.Slot(held.hash, held.body)
