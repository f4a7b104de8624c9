"""Journal entries between this node's mounts, the bucket and the office.

A mount hands over a sealed entry; from then on it is the daemon's to finish: the blocks the entry
needs are uploaded first, then the entry is signed and created if absent. The request lies in
staging until that is settled, so it survives the mount, the daemon and the machine's reboot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol

import msgspec

from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import journal_key, journal_prefix
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
from lucidnode.node.journal.kept_entries import KeptEntries
from lucidnode.node.journal.log_slots import LogNames, LogSlots, Unchained
from lucidnode.node.journal.look_out import REMEMBERED, LookOut
from lucidnode.node.journal.lost_history import LostHistory
from lucidnode.node.journal.object_shape import journal_shape
from lucidnode.node.journal.register import SlotContent

log = logging.getLogger(__name__)

COMMIT_S = 60.0
"""How long one commit is tried before its outcome counts as unknown and the mount asks again."""

_TOLD_FOREIGN = 2
"""Entries that count as empty here of which peers are told besides the newest ones."""

_RECENT = 256
"""Entries of a project whose hashes are remembered, to compare with what peers have."""

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
        is_witnessed: Callable[[], Awaitable[bool]],
        kept: KeptEntries,
        alerts: Alerts,
        clock: Clock,
        jitter: Jitter,
    ) -> None:
        self._bucket = bucket
        self._staging = staging
        self._uploads = uploads
        self._sign = sign
        self._writer_key = writer_key
        self._device_key = device_key
        self._announce = announce
        self._is_witnessed = is_witnessed
        self._kept = kept
        self._alerts = alerts
        self._clock = clock
        self._jitter = jitter
        self._locks: dict[ProjectId, asyncio.Lock] = {}
        self._logs: dict[ProjectId, LogSlots] = {}
        self._recent: dict[ProjectId, dict[Seq, bytes]] = {}
        # So that what was read from `kept` before that raises no alarm after it.
        self._times_forgotten = Counter[ProjectId]()
        self._lost = LostHistory(alerts)
        self._gaps = Gaps(bucket, self._log, writer_key, self._lost, clock)
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
        async with self._locks.setdefault(project, asyncio.Lock()):
            await self._staging.prepare(project, msgspec.msgpack.encode(request))
            return await self._finish(project, seq, request)

    async def entry(self, project: ProjectId, seq: Seq) -> SlotContent:
        """Return what one look at slot *seq* shows. Raises NotThere, Unavailable."""
        held = await self._log(project).read(seq)
        if held.body is None or is_sound(project, seq, held.body, self._writer_key):
            await self._noted(project, seq, held)
        return held

    async def proven(self, project: ProjectId, seq: Seq) -> SlotContent:
        """Return what is proven to lie in slot *seq*. Raises NotThere if nothing is, Unavailable.

        What no device of the studio made may be a damaged answer: it is proven once it lasts.
        """
        try:
            held = await self._log(project).prove(seq, partial(self._is_by_somebody, project, seq))
        except NotThere:
            if (first := await self._first_seen(project, seq)) is not None:
                self._lost.report(project, seq, first.__eq__)
            raise
        first = await self._first_seen(project, seq)
        if first is None or first == held.hash:
            await self._noted(project, seq, held)
        else:
            self._lost.report(project, seq, first.__eq__)
        return held

    async def _first_seen(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return the hash of what this node saw in slot *seq* first, as far as it knows."""
        if (known := self.recent(project).get(seq)) is not None:
            return known
        times = self._times_forgotten[project]
        kept = await self._kept.get(project, seq)
        if kept is None or self._times_forgotten[project] != times:
            return None
        return entry_hash(kept)

    async def stands(self, project: ProjectId, seq: Seq, hash_: bytes) -> bool:
        """Tell whether the bucket has the entry of this hash as *seq*. Raises Unavailable."""
        return await self._log(project).stands(seq, hash_.__eq__)

    async def resume(self) -> None:
        """Remember what an earlier daemon saw, and finish what it was asked to commit.

        Outcomes are found by the mounts.
        """
        for project, known in (await self._kept.newest(REMEMBERED)).items():
            self._recent[project] = {**known, **self._recent.get(project, {})}
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

    async def look_for_lost(self) -> None:
        """Look for gaps, for what is not as it was, and for what was lost, until cancelled."""
        await self._look_out.run()

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
        fits = partial(follows, EntryHeader.parse(entry).previous)
        async with self._locks.setdefault(project, asyncio.Lock()):
            if await self._is_spoiled(project, seq, entry_hash(entry)):
                if not await self._log(project).stands(Seq(seq - 1), fits):
                    return wire.CommitReply("unchained", b"")
                # Not deleted and created: nobody shall find the slot free meanwhile, and take it.
                await self._bucket.put(journal_key(project, seq), entry)
                await self._log(project).prove(seq)
            deadline = self._clock.boot() + COMMIT_S
            match await self._log(project).take(seq, entry, fits, deadline):
                case register.Committed():
                    await self._noted(project, seq, SlotContent(entry_hash(entry), entry))
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
            held = await self._log(project).prove(seq, partial(self._is_by_somebody, project, seq))
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
        for number in range(seq + 1, seq + _RECENT):
            try:
                above = await self._log(project).read(Seq(number))
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

    async def forget(self, project: ProjectId) -> None:
        """Drop what was to be committed, and what was seen: the mount stands on the bucket's."""
        async with self._locks.setdefault(project, asyncio.Lock()):
            await self._staging.discard_prepared(project)
            await self._kept.drop(project, Seq(1))
            self._times_forgotten[project] += 1
            self._recent.pop(project, None)
            self._look_out.forget(project)
            self._gaps.forget(project)
            self._lost.end(project)

    # -- what was seen -----------------------------------------------------------------------

    def recent(self, project: ProjectId) -> Mapping[Seq, bytes]:
        """Return the hashes of the entries that this node saw in the bucket, the highest ones."""
        return self._recent.get(project, {})

    def projects(self) -> list[ProjectId]:
        """Return the projects of which entries were seen."""
        return list(self._recent)

    def logs(self) -> list[LogSlots]:
        """Return the logs that were asked for anything."""
        return list(self._logs.values())

    def newest(self, most: int) -> dict[ProjectId, list[tuple[Seq, bytes]]]:
        """Return *most* entries (number, hash) seen of each project: the highest, highest last.

        A few that count as empty here are among them: who has seen an entry there hears of it.
        """
        return {
            project: self._told(project, known, most) for project, known in self._recent.items()
        }

    def _told(
        self, project: ProjectId, known: Mapping[Seq, bytes], most: int
    ) -> list[tuple[Seq, bytes]]:
        foreign = [seq for seq in self._log(project).foreign() if seq in known][:_TOLD_FOREIGN]
        highest = sorted(known.keys() - set(foreign))[-(most - len(foreign)) :]
        return [(seq, known[seq]) for seq in sorted({*foreign, *highest})]

    async def _finish(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        log = self._log(project)
        fits = partial(follows, EntryHeader.parse(request.unsigned).previous)
        async with asyncio.TaskGroup() as group:
            # The order is a promise: no entry names a block that is not in the bucket.
            uploading = group.create_task(self._failure_of(project, request))
            # Beside the uploads, so that it costs no time: `take` looks again only if they last.
            group.create_task(_looked(log, Seq(seq - 1), fits))
            looking = group.create_task(self._is_known_gap(project, seq))
        if looking.result():
            why = f"journal entry {seq} is missing in the bucket, and others have built on it"
            return wire.CommitReply("unknown", b"", why)
        if (failure := uploading.result()) is not None:
            raise failure
        body = signed(request.unsigned, self._sign(signing_message(request.unsigned)))
        seen = {n: known for n, known in self.recent(project).items() if n >= seq}
        match await log.take(seq, body, fits, self._clock.boot() + COMMIT_S):
            case register.Committed():
                await self._staging.discard_prepared(project)
                self._uploads.committed(project, [BlockId(b) for b in request.needs])
                if seen.keys() - {seq} or seen.get(seq, entry_hash(body)) != entry_hash(body):
                    await self._give_up(project, seq, seen)
                await self._noted(project, seq, SlotContent(entry_hash(body), body))
                self._announce(project, seq)
                return wire.CommitReply("committed", body)
            case register.Lost(held=held):
                await self._staging.discard_prepared(project)
                # One look, perhaps at bytes that were damaged on their way; the mount proves it.
                if held.body is None or is_sound(project, seq, held.body, self._writer_key):
                    await self._noted(project, seq, held)
                return wire.CommitReply("lost", held.body or b"")
            case register.Unknown(cause=cause):
                return wire.CommitReply("unknown", b"", str(cause))
            case Unchained(seq=missing):
                self._lost.report(project, missing, fits)
                return wire.CommitReply("unchained", b"")

    async def _is_known_gap(self, project: ProjectId, seq: Seq) -> bool:
        with contextlib.suppress(Unavailable):
            return await self._gaps.is_gap(project, seq)
        return False

    async def _failure_of(
        self, project: ProjectId, request: wire.CommitRequest
    ) -> NodeError | None:
        """Wait for the uploads; return what keeps one of them from ever being done."""
        try:
            await self._uploads.wait_for(project, [BlockId(b) for b in request.needs])
        except NodeError as error:
            return error
        return None

    def _log(self, project: ProjectId) -> LogSlots:
        log = self._logs.get(project)
        if log is None:
            log = self._logs[project] = LogSlots(
                bucket=self._bucket,
                names=LogNames(
                    folder=journal_prefix(project),
                    key=partial(journal_key, project),
                    called="journal entry",
                    topic=f"journal:{project}",
                ),
                shape_of=partial(journal_shape, project),
                alerts=self._alerts,
                clock=self._clock,
                jitter=self._jitter,
                is_witnessed=self._is_witnessed,
            )
        return log

    async def _noted(self, project: ProjectId, seq: Seq, held: SlotContent) -> None:
        """Remember what lies in a slot. What was there first is remembered until `forget`.

        A slot takes one object: another one later means that the bucket was put back or tampered
        with, and what this node has seen is what it tells the others.
        """
        self._lost.shown(project, seq, held.hash)
        known = self._recent.setdefault(project, {})
        if seq in known:
            return
        known[seq] = held.hash
        if len(known) > _RECENT:
            del known[min(known)]
        if held.body is not None and not self._lost.knows(project, seq):
            await self._kept.keep(project, seq, held.body)

    async def _give_up(self, project: ProjectId, first: Seq, seen: Mapping[Seq, bytes]) -> None:
        """Forget what was *seen* of a lost history: our mount has gone on without it from *first* on.

        The mount had not applied it, so this workstation has nothing to put right any more. Those
        that have are told by their own daemons, and of here. Nor can it be put back from here, on
        top of what is there now: kept any longer it would be missed again, with every word of a
        peer that still has it.
        """
        log.warning(
            "project %s goes on without the lost journal entry %d, which was seen here",
            project, min(seen),
        )  # fmt: skip
        await self._kept.drop(project, first)
        self._times_forgotten[project] += 1
        known = self._recent.get(project, {})
        for seq, hash_ in seen.items():
            if known.get(seq) == hash_:
                del known[seq]
        self._lost.give_up(project, seen)


async def _looked(log: LogSlots, seq: Seq, fits: Callable[[bytes], bool]) -> None:
    with contextlib.suppress(Unavailable):
        await log.stands(seq, fits)
