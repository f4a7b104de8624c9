"""The checkpoints in the bucket, as this plane sees them through the daemon."""

from __future__ import annotations

from typing import Protocol

from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.wire import CommitReply, CommitRequest, Slot, Source


class CheckpointClient(Protocol):
    """What the daemon does for checkpoints (DaemonClient). Everything raises NodeError."""

    async def checkpoints(self, project: ProjectId) -> list[Seq]:
        """Return the entries of which there is a checkpoint, lowest first."""

    async def checkpoint(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return the manifest of the checkpoint at entry *seq*, or None if there is none."""

    async def make_checkpoint(
        self, project: ProjectId, seq: Seq, request: CommitRequest
    ) -> CommitReply:
        """Have the manifest signed and created as that of *seq*, once what it needs is uploaded."""

    async def attestations(self, project: ProjectId) -> list[tuple[Seq, DeviceId]]:
        """Return of which checkpoints there is a device's word that they are true, and whose."""

    async def attestation(self, project: ProjectId, seq: Seq, device: DeviceId) -> bytes | None:
        """Return the word of *device* on the checkpoint at *seq*, None if there is none."""

    async def attest(self, project: ProjectId, seq: Seq, manifest: bytes) -> None:
        """Have this device's word signed and created, that the manifest of this hash is true."""

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return journal entry *seq* as this node saw it last, or None if it is not kept."""

    async def entry(self, project: ProjectId, seq: Seq) -> Slot | None:
        """Return what one look at slot *seq* of the journal shows, or None if there is nothing."""

    async def proven(self, project: ProjectId, seq: Seq) -> Slot | None:
        """Return what is proven to lie in slot *seq* of the journal, or None if nothing is."""

    async def block(
        self, project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool = False
    ) -> tuple[Source, bytes | None]:
        """Have *block* fetched, from the office or the bucket."""
