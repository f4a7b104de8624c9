"""The checkpoints in the bucket, as this plane sees them through the daemon."""

from __future__ import annotations

from typing import Protocol

from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.wire import CommitReply, CommitRequest


class CheckpointClient(Protocol):
    """What the daemon does for checkpoints (DaemonCheckpoints). Everything raises NodeError."""

    async def seqs(self, project: ProjectId) -> list[Seq]:
        """Return the entries of which there is a checkpoint, lowest first."""

    async def manifest(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return the manifest of the checkpoint at entry *seq*, or None if there is none."""

    async def make(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        """Have the manifest signed and created as that of *seq*, once what it needs is uploaded."""

    async def attestations(self, project: ProjectId) -> list[tuple[Seq, DeviceId]]:
        """Return of which checkpoints there is a device's word that they are true, and whose."""

    async def attestation(self, project: ProjectId, seq: Seq, device: DeviceId) -> bytes | None:
        """Return the word of *device* on the checkpoint at *seq*, None if there is none."""

    async def attest(self, project: ProjectId, seq: Seq, manifest: bytes) -> None:
        """Have this device's word signed and created, that the manifest of this hash is true."""
