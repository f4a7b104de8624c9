"""The checkpoints of a project in the bucket, and the words of devices that they are true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
from aiohttp import web

from lucidnode.node.client import wire
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq, parse_device_id, parse_seq
from lucidnode.node.daemon_socket.requests import done, message_of, packed, project_of, seq_of

_COMMIT_REQUEST = msgspec.msgpack.Decoder(wire.CommitRequest)
_CHECKPOINT_LIST = msgspec.msgpack.Decoder(wire.CheckpointList)


class ServedCheckpoints(Protocol):
    """The checkpoints of all projects, read and made (CheckpointObjects)."""

    async def seqs(self, project: ProjectId) -> list[Seq]: ...
    async def manifest(self, project: ProjectId, seq: Seq) -> bytes: ...
    async def make(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply: ...
    async def delete(self, project: ProjectId, seqs: Sequence[Seq]) -> list[Seq]: ...
    async def attestations(self, project: ProjectId) -> list[tuple[Seq, DeviceId]]: ...
    async def attestation(self, project: ProjectId, seq: Seq, device: DeviceId) -> bytes: ...
    async def attest(self, project: ProjectId, seq: Seq, manifest: bytes) -> None: ...


class CheckpointRoutes:
    """Answers mounts and commands about checkpoints."""

    def __init__(self, checkpoints: ServedCheckpoints) -> None:
        self._checkpoints = checkpoints

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [
            web.get("/v1/p/{project}/checkpoints", self._seqs),
            web.get("/v1/p/{project}/checkpoint/{seq}", self._manifest),
            web.post("/v1/p/{project}/checkpoint/{seq}", self._make),
            web.post("/v1/p/{project}/delete-checkpoints", self._delete),
            web.get("/v1/p/{project}/attestations", self._attestations),
            web.get("/v1/p/{project}/attestation/{seq}/{device}", self._attestation),
            web.post("/v1/p/{project}/attestation/{seq}", self._attest),
        ]

    async def _seqs(self, request: web.Request) -> web.Response:
        return _listed(await self._checkpoints.seqs(project_of(request)))

    async def _manifest(self, request: web.Request) -> web.Response:
        seq = seq_of(request)
        return web.Response(body=await self._checkpoints.manifest(project_of(request), seq))

    async def _make(self, request: web.Request) -> web.Response:
        seq = seq_of(request)
        wanted = await message_of(request, _COMMIT_REQUEST)
        return packed(await self._checkpoints.make(project_of(request), seq, wanted))

    async def _delete(self, request: web.Request) -> web.Response:
        named = await message_of(request, _CHECKPOINT_LIST)
        seqs = [parse_seq(str(seq)) for seq in named.seqs]
        return _listed(await self._checkpoints.delete(project_of(request), seqs))

    async def _attestations(self, request: web.Request) -> web.Response:
        found = await self._checkpoints.attestations(project_of(request))
        return packed(wire.AttestationList([(int(seq), str(device)) for seq, device in found]))

    async def _attestation(self, request: web.Request) -> web.Response:
        seq = seq_of(request)
        device = parse_device_id(request.match_info["device"])
        return web.Response(
            body=await self._checkpoints.attestation(project_of(request), seq, device)
        )

    async def _attest(self, request: web.Request) -> web.Response:
        seq = seq_of(request)
        await self._checkpoints.attest(project_of(request), seq, await request.read())
        return done()


def _listed(seqs: Sequence[Seq]) -> web.Response:
    return packed(wire.CheckpointList([int(seq) for seq in seqs]))
