"""The journal of a project, read and written."""

from __future__ import annotations

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.daemon_socket.transport import PATIENT, DaemonTransport, if_there
from lucidnode.node.client.ids import ProjectId, Seq

_COMMIT_REPLY = msgspec.msgpack.Decoder(wire.CommitReply)
_JOURNAL_END = msgspec.msgpack.Decoder(wire.JournalEnd)
_LOST_ENTRIES = msgspec.msgpack.Decoder(wire.LostEntries)
_SLOT = msgspec.msgpack.Decoder(wire.Slot)


class DaemonJournal:
    """The journals of all projects."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    async def commit(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        """Have the entry signed and created as *seq*, after the blocks it needs are uploaded.

        Safe to call again with the same request. Waits as long as the uploads take.
        """
        path = f"/v1/p/{project}/journal/{seq}"
        return await self._transport.ask(path, request, _COMMIT_REPLY, bound=PATIENT)

    async def entry(
        self, project: ProjectId, seq: Seq, max_bytes: int | None = None
    ) -> wire.Slot | None:
        """Return what one look at slot *seq* of the journal shows, or None if there is nothing.

        Raises Malformed, having read none of it, where that is longer than *max_bytes*.
        """
        path = f"/v1/p/{project}/journal/{seq}"
        return await if_there(self._transport.get(path, _SLOT, max_bytes=max_bytes))

    async def proven(self, project: ProjectId, seq: Seq) -> wire.Slot | None:
        """Return what is proven to lie in slot *seq* of the journal, or None if nothing is."""
        return await if_there(self._transport.get(f"/v1/p/{project}/journal/{seq}?proven=1", _SLOT))

    async def end(self, project: ProjectId, known: Seq) -> Seq:
        """Return the newest entry behind *known* by the names that the bucket lists; *known* if there is none.

        A hint: it decides nothing. A daemon of an earlier release knows no answer: NotThere.
        """
        path = f"/v1/p/{project}/journal-end/{known}"
        return Seq((await self._transport.get(path, _JOURNAL_END)).seq)

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return journal entry *seq* as this node saw it last, or None if it is not kept."""
        return await if_there(self._transport.read(f"/v1/p/{project}/kept/{seq}"))

    async def put_back(self, project: ProjectId, seq: Seq) -> wire.CommitReply:
        """Have the kept entry *seq* created in the bucket, if nothing is there and it follows."""
        path = f"/v1/p/{project}/kept/{seq}"
        return await self._transport.ask(path, None, _COMMIT_REPLY, bound=PATIENT)

    async def lost(self, project: ProjectId) -> list[Seq]:
        """Return the journal entries that the bucket has lost, as far as the daemon has found out."""
        answer = await self._transport.get(f"/v1/p/{project}/lost", _LOST_ENTRIES)
        return [Seq(seq) for seq in answer.seqs]

    async def forget(self, project: ProjectId) -> None:
        """Have what is to be committed dropped. Raises Refused while the project is mounted."""
        await self._transport.tell(f"/v1/p/{project}/forget")
