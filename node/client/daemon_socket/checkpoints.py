"""The checkpoints of a project in the bucket, and the words of devices that they are true."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.daemon_socket.transport import PATIENT, DaemonTransport, if_there
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq

_ATTESTATION_LIST = msgspec.msgpack.Decoder(wire.AttestationList)
_CHECKPOINT_LIST = msgspec.msgpack.Decoder(wire.CheckpointList)
_COMMIT_REPLY = msgspec.msgpack.Decoder(wire.CommitReply)


class DaemonCheckpoints:
    """The checkpoints of all projects."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    async def seqs(self, project: ProjectId) -> list[Seq]:
        """Return the entries of which the bucket has a checkpoint, lowest first."""
        answer = await self._transport.get(f"/v1/p/{project}/checkpoints", _CHECKPOINT_LIST)
        return [Seq(seq) for seq in answer.seqs]

    async def manifest(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return the manifest of the checkpoint at entry *seq*, or None if there is none."""
        return await if_there(self._transport.read(f"/v1/p/{project}/checkpoint/{seq}"))

    async def make(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        """Have the manifest signed and created as that of *seq*, once what it needs is uploaded."""
        path = f"/v1/p/{project}/checkpoint/{seq}"
        return await self._transport.ask(path, request, _COMMIT_REPLY, bound=PATIENT)

    async def delete(self, project: ProjectId, seqs: Sequence[Seq]) -> list[Seq]:
        """Delete the checkpoints at *seqs*; return those that the store did not refuse to delete."""
        listed = wire.CheckpointList([int(seq) for seq in seqs])
        path = f"/v1/p/{project}/delete-checkpoints"
        answer = await self._transport.ask(path, listed, _CHECKPOINT_LIST, bound=PATIENT)
        return [Seq(seq) for seq in answer.seqs]

    async def attestations(self, project: ProjectId) -> list[tuple[Seq, DeviceId]]:
        """Return of which checkpoints there is a device's word that they are true, and whose."""
        answer = await self._transport.get(f"/v1/p/{project}/attestations", _ATTESTATION_LIST)
        return [(Seq(seq), DeviceId(device)) for seq, device in answer.words]

    async def attestation(self, project: ProjectId, seq: Seq, device: DeviceId) -> bytes | None:
        """Return the word of *device* on the checkpoint at *seq*, None if there is none."""
        return await if_there(self._transport.read(f"/v1/p/{project}/attestation/{seq}/{device}"))

    async def attest(self, project: ProjectId, seq: Seq, manifest: bytes) -> None:
        """Have this device's word signed and created, that the manifest of this hash is true."""
        await self._transport.tell(f"/v1/p/{project}/attestation/{seq}", manifest)
