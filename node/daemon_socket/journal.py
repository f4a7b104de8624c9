"""The journal of a project, read and written."""

from __future__ import annotations

from typing import Protocol

import msgspec
from aiohttp import web

from lucidnode.node.client import wire
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.daemon_socket.requests import (
    done,
    message_of,
    number_of,
    packed,
    project_of,
    seq_of,
)
from lucidnode.node.journal.register import SlotContent
from lucidnode.node.mounts import MountTable

_COMMIT_REQUEST = msgspec.msgpack.Decoder(wire.CommitRequest)


class ServedJournal(Protocol):
    """The journals of all projects, read and written (JournalService)."""

    async def entry(self, project: ProjectId, seq: Seq) -> SlotContent: ...
    async def proven(self, project: ProjectId, seq: Seq) -> SlotContent: ...
    def has_signed(self, hash_: bytes) -> bool: ...
    async def commit(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply: ...
    async def end(self, project: ProjectId, known: Seq) -> Seq: ...
    async def kept(self, project: ProjectId, seq: Seq) -> bytes: ...
    async def put_back(self, project: ProjectId, seq: Seq) -> wire.CommitReply: ...
    def lost(self, project: ProjectId) -> list[Seq]: ...
    async def forget(self, project: ProjectId) -> None: ...


class JournalRoutes:
    """Answers mounts and commands about journals; of *mounts* none may be there when one is forgotten."""

    def __init__(self, journal: ServedJournal, mounts: MountTable) -> None:
        self._journal = journal
        self._mounts = mounts

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [
            web.get("/v1/p/{project}/journal/{seq}", self._entry),
            web.post("/v1/p/{project}/journal/{seq}", self._commit),
            web.get("/v1/p/{project}/journal-end/{known}", self._end),
            web.get("/v1/p/{project}/kept/{seq}", self._kept),
            web.post("/v1/p/{project}/kept/{seq}", self._put_back),
            web.get("/v1/p/{project}/lost", self._lost),
            web.post("/v1/p/{project}/forget", self._forget),
        ]

    async def _entry(self, request: web.Request) -> web.Response:
        seq = seq_of(request)
        read = self._journal.proven if "proven" in request.query else self._journal.entry
        held = await read(project_of(request), seq)
        signed_here = self._journal.has_signed(held.hash)
        return packed(wire.Slot(held.hash, held.body, signed_here))

    async def _commit(self, request: web.Request) -> web.Response:
        seq = seq_of(request)
        wanted = await message_of(request, _COMMIT_REQUEST)
        return packed(await self._journal.commit(project_of(request), seq, wanted))

    async def _end(self, request: web.Request) -> web.Response:
        known = Seq(number_of(request.match_info["known"]))
        return packed(wire.JournalEnd(await self._journal.end(project_of(request), known)))

    async def _kept(self, request: web.Request) -> web.Response:
        seq = seq_of(request)
        return web.Response(body=await self._journal.kept(project_of(request), seq))

    async def _put_back(self, request: web.Request) -> web.Response:
        seq = seq_of(request)
        return packed(await self._journal.put_back(project_of(request), seq))

    async def _lost(self, request: web.Request) -> web.Response:
        return packed(
            wire.LostEntries([int(seq) for seq in self._journal.lost(project_of(request))])
        )

    async def _forget(self, request: web.Request) -> web.Response:
        project = project_of(request)
        self._mounts.check_free(project)
        await self._journal.forget(project)
        return done()
