"""Putting entries back that the bucket has lost, from what this node has kept of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import journal_key
from lucidnode.node.client import wire
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NotThere
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import EntryHeader, entry_hash, follows, is_sound
from lucidnode.node.journal import register
from lucidnode.node.journal.journal_logs import JournalLogs
from lucidnode.node.journal.log_slots import Unchained
from lucidnode.node.journal.register import SlotContent
from lucidnode.node.journal.seen_entries import MAX_RECENT, SeenEntries

PUT_BACK_S = 60.0
"""How long one entry is tried before its outcome counts as unknown."""


class RestoredEntries:
    """Writes over what nobody of the studio made and nobody has gone on from, and over nothing else.

    Who calls holds the lock of the project, as for a commit.
    """

    def __init__(
        self,
        bucket: Bucket,
        logs: JournalLogs,
        seen: SeenEntries,
        writer_key: Callable[[DeviceId], bytes | None],
        device_key: Callable[[DeviceId], bytes | None],
        clock: Clock,
    ) -> None:
        self._bucket = bucket
        self._logs = logs
        self._seen = seen
        self._writer_key = writer_key
        self._device_key = device_key
        self._clock = clock

    async def put_back(self, project: ProjectId, seq: Seq, entry: bytes) -> wire.CommitReply:
        """Have *entry* in the bucket as number *seq*, as it was.

        It is created only where no other is, on top of the one that it follows. What lies there and
        was made by nobody of the studio is written over, unless others have gone on from that.
        Raises Unavailable.
        """
        fits = partial(follows, EntryHeader.parse(entry).previous)
        if await self._is_spoiled(project, seq, entry_hash(entry)):
            if not await self._logs.of(project).stands(Seq(seq - 1), fits):
                return wire.CommitReply("unchained", b"")
            # Not deleted and created: nobody shall find the slot free meanwhile, and take it.
            await self._bucket.put(journal_key(project, seq), entry)
            await self._logs.of(project).prove(seq)
        deadline = self._clock.boot() + PUT_BACK_S
        match await self._logs.of(project).take(seq, entry, fits, deadline):
            case register.Committed():
                await self._seen.note(project, seq, SlotContent(entry_hash(entry), entry))
                return wire.CommitReply("committed", entry)
            case register.Lost(held=held):
                return wire.CommitReply("lost", held.body or b"")
            case register.Unknown(cause=cause):
                return wire.CommitReply("unknown", b"", str(cause))
            case Unchained():
                return wire.CommitReply("unchained", b"")

    async def _is_spoiled(self, project: ProjectId, seq: Seq, hash_: bytes) -> bool:
        """Tell whether slot *seq* held the entry of this hash, and holds what nobody has built on."""
        try:
            held = await self._logs.of(project).prove(
                seq, partial(self._is_by_somebody, project, seq)
            )
        except NotThere:
            return False
        if held.hash == hash_ or (
            held.body is not None and self._is_by_somebody(project, seq, held.body)
        ):
            return False
        return not await self._is_passed_over(project, seq, hash_)

    async def _is_passed_over(self, project: ProjectId, seq: Seq, wanted: bytes) -> bool:
        """Tell whether others have gone on from what is in slot *seq* now, as from an empty one.

        If what follows was spoiled as well, the first sound entry behind it tells.
        """
        spoiled: bytes | None = None
        for number in range(seq + 1, seq + MAX_RECENT):
            try:
                above = await self._logs.of(project).read(Seq(number))
            except NotThere:
                return False
            if above.body is not None and is_sound(
                project, Seq(number), above.body, self._writer_key
            ):
                previous = EntryHeader.parse(above.body).previous
                if spoiled is None:
                    return not follows(previous, wanted)
                return follows(previous, spoiled)
            spoiled = above.hash
        return False

    def _is_by_somebody(self, project: ProjectId, seq: Seq, entry: bytes) -> bool:
        return is_sound(project, seq, entry, self._device_key)
