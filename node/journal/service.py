"""Journal entries between this node's mounts, the bucket and the office.

A mount hands over a sealed entry; from then on it is the daemon's to finish: the blocks the entry
needs are uploaded first, then the entry is signed and created if absent. The request lies in
staging until that is settled, so it survives the mount, the daemon and the machine's reboot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol

import msgspec

from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Jitter
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import (
    NodeError,
    NotThere,
    Refused,
    Unavailable,
)
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import (
    EntryHeader,
    entry_hash,
    follows,
    is_sound,
    signed,
    signing_message,
)
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.journal import register
from lucidnode.node.journal.gaps import Gaps
from lucidnode.node.journal.journal_end import journal_end
from lucidnode.node.journal.journal_logs import JournalLogs
from lucidnode.node.journal.kept_entries import KeptEntries
from lucidnode.node.journal.log_slots import LogSlots, Unchained
from lucidnode.node.journal.look_out import REMEMBERED, LookOut
from lucidnode.node.journal.lost_history import LostHistory
from lucidnode.node.journal.register import SlotContent
from lucidnode.node.journal.restored_entries import RestoredEntries
from lucidnode.node.journal.seen_entries import SeenEntries

log = logging.getLogger(__name__)

COMMIT_S = 60.0
"""How long one commit is tried before its outcome counts as unknown and the mount asks again."""

_TOLD_FOREIGN = 2
"""Entries that count as empty here of which peers are told besides the newest ones."""

_SIGNED_ENTRIES = 4096
"""Entries signed here that are remembered: a mount reads what another command commits in seconds."""

_REQUEST = msgspec.msgpack.Decoder(wire.CommitRequest)


class Announce(Protocol):
    """Told of every entry this node committed."""

    def __call__(self, project: ProjectId, seq: Seq) -> None: ...


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
        writer_key: Callable[[DeviceId], bytes | None],
        device_key: Callable[[DeviceId], bytes | None],
        announce: Announce,
        me: DeviceId,
        signed_elsewhere: Callable[[], None],
        why_forbidden: Callable[[], str],
        is_deleted: Callable[[ProjectId], bool],
        is_witnessed: Callable[[], Awaitable[bool]],
        kept: KeptEntries,
        alerts: Alerts,
        clock: Clock,
        jitter: Jitter,
    ) -> None:
        self._bucket = bucket
        self._staging = staging
        self._uploads = uploads
        self._kept = kept
        self._sign = sign
        self._writer_key = writer_key
        self._device_key = device_key
        self._announce = announce
        self._me = me
        self._signed_elsewhere = signed_elsewhere
        self._why_forbidden = why_forbidden
        self._is_deleted = is_deleted
        self._clock = clock
        self._locks: dict[ProjectId, asyncio.Lock] = {}
        self._signed: OrderedDict[bytes, None] = OrderedDict()
        self._logs = JournalLogs(bucket, alerts, clock, jitter, is_witnessed)
        self._lost = LostHistory(alerts)
        self._seen = SeenEntries(kept, self._lost)
        self._restored = RestoredEntries(
            bucket, self._logs, self._seen, writer_key, device_key, clock
        )
        self._gaps = Gaps(bucket, self._logs.of, writer_key, self._lost, self._seen, clock)
        self._look_out = LookOut(self, bucket, kept, self._lost, self._gaps, clock)

    async def commit(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        """Upload what *request* needs, then create its entry as *seq*. Waits as long as it takes.

        Raises Refused for an entry that does not say it is *seq*.
        """
        header = EntryHeader.parse(request.unsigned)
        if header.seq != seq or header.project != project:
            raise Refused(f"the entry is not number {seq} of this project")
        if why := self._why_forbidden():
            return wire.CommitReply("unknown", b"", why)
        async with self._lock(project):
            await self._staging.prepare(project, msgspec.msgpack.encode(request))
            return await self._finish(project, seq, request)

    async def entry(self, project: ProjectId, seq: Seq) -> SlotContent:
        """Return what one look at slot *seq* shows. Raises NotThere, Unavailable."""
        held = await self._logs.of(project).read(seq)
        if held.body is None or is_sound(project, seq, held.body, self._writer_key):
            await self._note(project, seq, held)
        return held

    async def _note(self, project: ProjectId, seq: Seq, held: SlotContent) -> None:
        """Take note of the sound entry *held*; say so if this device signed it, but not here since it began."""
        await self._seen.note(project, seq, held)
        if held.body is None or self.has_signed(held.hash):
            return
        if EntryHeader.parse(held.body).device == self._me:
            self._signed_elsewhere()

    async def proven(self, project: ProjectId, seq: Seq) -> SlotContent:
        """Return what is proven to lie in slot *seq*. Raises NotThere if nothing is, Unavailable.

        What no device of the studio made may be a damaged answer: it is proven once it lasts.
        """
        try:
            held = await self._logs.of(project).prove(
                seq, partial(self._is_by_somebody, project, seq)
            )
        except NotThere:
            if (first := await self._seen.first(project, seq)) is not None:
                self._lost.report(project, seq, first.__eq__)
            raise
        first = await self._seen.first(project, seq)
        if first is None or first == held.hash:
            await self._seen.note(project, seq, held)
        else:
            self._lost.report(project, seq, first.__eq__)
        return held

    async def end(self, project: ProjectId, known: Seq) -> Seq:
        """Return the newest entry behind *known* by the names in the bucket, a hint. Raises Unavailable."""
        return await journal_end(self._bucket, project, known)

    async def stands(self, project: ProjectId, seq: Seq, hash_: bytes) -> bool:
        """Tell whether the bucket has the entry of this hash as *seq*. Raises Unavailable."""
        return await self._logs.of(project).stands(seq, hash_.__eq__)

    def has_signed(self, hash_: bytes) -> bool:
        """Tell whether the entry of this hash is one of the last that this daemon has signed.

        A mount takes an entry that bears this workstation's signature, and that it has not made, for
        a sign of a copied home; other commands of this home commit as well.
        """
        return hash_ in self._signed

    async def resume(self) -> None:
        """Remember what an earlier daemon saw, and finish what it was asked to commit.

        Outcomes are found by the mounts. Raises Unavailable if staging cannot be read.
        """
        await self._seen.load(REMEMBERED)
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
            async with self._lock(project):
                try:
                    await self._finish(project, seq, request)
                except NodeError as error:
                    # It stays prepared: the mount of this project finds out, and says what is lost.
                    log.warning("a commit of project %s cannot be finished: %s", project, error)

    async def look_for_lost(self) -> None:
        """Look for gaps, for what is not as it was, and for what was lost, until cancelled."""
        await self._look_out.run()

    def _lock(self, project: ProjectId) -> asyncio.Lock:
        return self._locks.setdefault(project, asyncio.Lock())

    def _is_by_somebody(self, project: ProjectId, seq: Seq, entry: bytes) -> bool:
        return is_sound(project, seq, entry, self._device_key)

    # -- repair ------------------------------------------------------------------------------

    async def kept(self, project: ProjectId, seq: Seq) -> bytes:
        """Return entry *seq* as this node saw it last. Raises NotThere."""
        entry = await self._kept.get(project, seq)
        if entry is None:
            raise NotThere(f"journal entry {seq} is not kept here")
        return entry

    def lost(self, project: ProjectId) -> list[Seq]:
        """Return the entries that the bucket is known not to have as they were, lowest first."""
        return sorted(self._lost.entries(project))

    async def put_back(self, project: ProjectId, seq: Seq) -> wire.CommitReply:
        """Have entry *seq* in the bucket as it was, if no other is there and it follows the one before.

        What lies there and was made by nobody of the studio is written over, unless others have
        gone on from that. Raises NotThere if it is not kept here, and Unavailable.
        """
        entry = await self.kept(project, seq)
        async with self._lock(project):
            return await self._restored.put_back(project, seq, entry)

    async def forget(self, project: ProjectId) -> None:
        """Drop what was to be committed, and what was seen: the mount stands on the bucket's.

        Raises Unavailable if staging cannot be written.
        """
        async with self._lock(project):
            await self._staging.discard_prepared(project)
            await self._seen.forget(project)
            self._look_out.forget(project)
            self._gaps.forget(project)
            self._lost.end(project)

    # -- what was seen -----------------------------------------------------------------------

    def recent(self, project: ProjectId) -> Mapping[Seq, bytes]:
        """Return the hashes of the entries that this node saw in the bucket, the highest ones."""
        return self._seen.recent(project)

    def projects(self) -> list[ProjectId]:
        """Return the projects of which entries were seen, but for those that are deleted."""
        return [each for each in self._seen.projects() if not self._is_deleted(each)]

    def logs(self) -> list[LogSlots]:
        """Return the logs that were asked for anything."""
        return self._logs.all()

    def newest(self, most: int) -> dict[ProjectId, list[tuple[Seq, bytes]]]:
        """Return *most* entries (number, hash) seen of each project: the highest, highest last.

        A few that count as empty here are among them: who has seen an entry there hears of it.
        """
        return {
            project: self._told(project, self._seen.recent(project), most)
            for project in self.projects()
        }

    def _told(
        self, project: ProjectId, known: Mapping[Seq, bytes], most: int
    ) -> list[tuple[Seq, bytes]]:
        foreign = [seq for seq in self._logs.of(project).foreign() if seq in known][:_TOLD_FOREIGN]
        highest = sorted(known.keys() - set(foreign))[-(most - len(foreign)) :]
        return [(seq, known[seq]) for seq in sorted({*foreign, *highest})]

    async def _finish(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        log = self._logs.of(project)
        fits = partial(follows, EntryHeader.parse(request.unsigned).previous)
        async with asyncio.TaskGroup() as group:
            # The order is a promise: no entry names a block that is not in the bucket.
            uploading = group.create_task(self._failure_of(project, request))
            # Beside the uploads, so that it costs no time: `take` looks again only if they last.
            group.create_task(_looked(log, Seq(seq - 1), fits))
            looking = group.create_task(self._why_not_taken(project, seq))
        # Uploads may have taken hours: a look that is old by now is repeated.
        if why := looking.result() or await self._why_not_taken(project, seq):
            return wire.CommitReply("unknown", b"", why)
        if (failure := uploading.result()) is not None:
            raise failure
        body = signed(request.unsigned, self._sign(signing_message(request.unsigned)))
        self._note_signed(entry_hash(body))
        seen = {n: known for n, known in self.recent(project).items() if n >= seq}
        # A hint: whoever looks decides by what he sees, as he would by and by.
        announce = partial(self._announce, project, seq)
        match await log.take(seq, body, fits, self._clock.boot() + COMMIT_S, announce):
            case register.Committed():
                await self._staging.discard_prepared(project)
                self._uploads.committed(project, [BlockId(b) for b in request.needs])
                if seen.keys() - {seq} or seen.get(seq, entry_hash(body)) != entry_hash(body):
                    await self._seen.give_up(project, seq, seen)
                await self._seen.note(project, seq, SlotContent(entry_hash(body), body))
                return wire.CommitReply("committed", body)
            case register.Lost(held=held):
                await self._staging.discard_prepared(project)
                # One look, perhaps at bytes that were damaged on their way; the mount proves it.
                if held.body is None or is_sound(project, seq, held.body, self._writer_key):
                    await self._note(project, seq, held)
                return wire.CommitReply(
                    "lost", held.body or b"", signed_here=self.has_signed(held.hash)
                )
            case register.Unknown(cause=cause):
                return wire.CommitReply("unknown", b"", str(cause))
            case Unchained(seq=missing):
                self._lost.report(project, missing, fits)
                return wire.CommitReply("unchained", b"")

    def _note_signed(self, hash_: bytes) -> None:
        self._signed[hash_] = None
        if len(self._signed) > _SIGNED_ENTRIES:
            self._signed.popitem(last=False)

    async def _why_not_taken(self, project: ProjectId, seq: Seq) -> str:
        """Return why slot *seq* must stay free now; empty if it is seen that nobody has built on it."""
        try:
            is_gap = await self._gaps.is_gap(project, seq)
        except Unavailable as error:
            return str(error)
        if is_gap:
            return f"journal entry {seq} is missing in the bucket, and others have built on it"
        return ""

    async def _failure_of(
        self, project: ProjectId, request: wire.CommitRequest
    ) -> NodeError | None:
        """Wait for the uploads; return what keeps one of them from ever being done."""
        try:
            await self._uploads.wait_for(project, [BlockId(b) for b in request.needs])
        except NodeError as error:
            return error
        return None


async def _looked(log: LogSlots, seq: Seq, fits: Callable[[bytes], bool]) -> None:
    with contextlib.suppress(Unavailable):
        await log.stands(seq, fits)
