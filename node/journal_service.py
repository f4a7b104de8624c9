"""Journal entries between this node's mounts, the bucket and the office.

A mount hands over a sealed entry; from then on it is the daemon's to finish: the blocks the entry
needs are uploaded first, then the entry is signed and created if absent. The request lies in
staging until that is settled, so it survives the mount, the daemon and the machine's reboot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import msgspec

from lucidnode.node import register
from lucidnode.node.bucket.backoff import Jitter
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import journal_key, journal_prefix
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError, NotThere, Refused, Unavailable
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
from lucidnode.node.kept_entries import KeptEntries
from lucidnode.node.log_slots import LogNames, LogSlots, Unchained
from lucidnode.node.object_shape import journal_shape
from lucidnode.node.register import Held
from lucidnode.node.uploads import Uploads

log = logging.getLogger(__name__)

COMMIT_S = 60.0
"""How long one commit is tried before its outcome counts as unknown and the mount asks again."""

_LOST_S = 30.0
"""How often the bucket is asked for an entry that it had lost, and its newest ones are listed."""

_RECENT = 256
"""Entries of a project whose hashes are remembered, to compare with what peers have."""

_REMEMBERED = 64
"""How many of them are read from disk at the start."""

_REQUEST = msgspec.msgpack.Decoder(wire.CommitRequest)


class Announce(Protocol):
    """Told of every entry this node committed."""

    def __call__(self, project: ProjectId, seq: Seq) -> None: ...


@dataclass(frozen=True, slots=True)
class _Lost:
    """An entry that the bucket no longer has; *fits* is the question to a hash whether it is it."""

    seq: Seq
    fits: Callable[[bytes], bool]


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
        self._kept = kept
        self._alerts = alerts
        self._clock = clock
        self._jitter = jitter
        self._locks: dict[ProjectId, asyncio.Lock] = {}
        self._logs: dict[ProjectId, LogSlots] = {}
        self._recent: dict[ProjectId, dict[Seq, bytes]] = {}
        self._lost: dict[ProjectId, _Lost] = {}

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

    async def entry(self, project: ProjectId, seq: Seq) -> Held:
        """Return what one look at slot *seq* shows. Raises NotThere, Unavailable."""
        held = await self._log(project).read(seq)
        if held.body is None or is_sound(project, seq, held.body, self._writer_key):
            await self._noted(project, seq, held)
        return held

    async def proven(self, project: ProjectId, seq: Seq) -> Held:
        """Return what is proven to lie in slot *seq*. Raises NotThere if nothing is, Unavailable.

        What no device of the studio made may be a damaged answer: it is proven once it lasts.
        """

        def is_by_somebody(entry: bytes) -> bool:
            return is_sound(project, seq, entry, self._device_key)

        try:
            held = await self._log(project).prove(seq, is_by_somebody)
        except NotThere:
            if (first := self.recent(project).get(seq)) is not None:
                self._report_lost(project, seq, first.__eq__)
            raise
        await self._noted(project, seq, held)
        first = self.recent(project).get(seq, held.hash)
        if first != held.hash:
            self._report_lost(project, seq, first.__eq__)
        return held

    async def stands(self, project: ProjectId, seq: Seq, hash_: bytes) -> bool:
        """Tell whether the bucket has the entry of this hash as *seq*. Raises Unavailable."""
        return await self._log(project).stands(seq, hash_.__eq__)

    async def resume(self) -> None:
        """Remember what an earlier daemon saw, and finish what it was asked to commit.

        Outcomes are found by the mounts.
        """
        for project, known in (await self._kept.newest(_REMEMBERED)).items():
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
        """Look for gaps, and for what was lost, until cancelled: it may be there again."""
        while True:
            await self._clock.sleep(_LOST_S)
            for project, lost in list(self._lost.items()):
                with contextlib.suppress(NotThere, Unavailable):
                    await self.proven(project, lost.seq)
            for project in list(self._recent):
                with contextlib.suppress(NotThere, Unavailable):
                    await self._look_for_gap(project)

    async def _look_for_gap(self, project: ProjectId) -> None:
        """See by a listing that the newest entries are there, also those that others built on.

        Raises NotThere, after the alarm, for the first that is not, and Unavailable.
        """
        known = sorted(self.recent(project))[-_REMEMBERED:]
        before = journal_key(project, Seq(known[0] - 1))
        listed = await self._bucket.list(journal_prefix(project), before, 2 * _REMEMBERED)
        names = {one.key for one in listed}
        for seq in known:
            if journal_key(project, seq) not in names:
                await self.proven(project, seq)

    # -- repair ------------------------------------------------------------------------------

    async def kept(self, project: ProjectId, seq: Seq) -> bytes:
        """Return entry *seq* as this node saw it last. Raises NotThere."""
        entry = await self._kept.get(project, seq)
        if entry is None:
            raise NotThere(f"journal entry {seq} is not kept here")
        return entry

    async def put_back(self, project: ProjectId, seq: Seq) -> wire.CommitReply:
        """Create entry *seq* anew as it was, if nothing is there and it follows what is before.

        Raises NotThere if it is not kept here.
        """
        entry = await self.kept(project, seq)
        fits = partial(follows, EntryHeader.parse(entry).previous)
        async with self._locks.setdefault(project, asyncio.Lock()):
            deadline = self._clock.boot() + COMMIT_S
            match await self._log(project).take(seq, entry, fits, deadline):
                case register.Committed():
                    await self._noted(project, seq, Held(entry_hash(entry), entry))
                    return wire.CommitReply("committed", entry)
                case register.Lost(held=held):
                    return wire.CommitReply("lost", held.body or b"")
                case register.Unknown():
                    return wire.CommitReply("unknown", b"")
                case Unchained():
                    return wire.CommitReply("unchained", b"")

    async def forget(self, project: ProjectId) -> None:
        """Drop what was to be committed, and what was seen: the mount stands on the bucket's."""
        async with self._locks.setdefault(project, asyncio.Lock()):
            await self._staging.discard_prepared(project)
            await self._kept.drop(project)
            for memory in (self._recent, self._logs, self._lost):
                memory.pop(project, None)
            self._alerts.end(f"history:{project}")

    # -- what was seen -----------------------------------------------------------------------

    def recent(self, project: ProjectId) -> Mapping[Seq, bytes]:
        """Return the hashes of the entries that this node saw in the bucket, the highest ones."""
        return self._recent.get(project, {})

    def newest(self, most: int) -> dict[ProjectId, list[tuple[Seq, bytes]]]:
        """Return the *most* highest entries (number, hash) seen of each project, highest last."""
        return {project: sorted(known.items())[-most:] for project, known in self._recent.items()}

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
        if (failure := uploading.result()) is not None:
            raise failure
        body = signed(request.unsigned, self._sign(signing_message(request.unsigned)))
        seen = {n: known for n, known in self.recent(project).items() if n >= seq}
        match await log.take(seq, body, fits, self._clock.boot() + COMMIT_S):
            case register.Committed():
                await self._staging.discard_prepared(project)
                self._uploads.committed(project, [BlockId(b) for b in request.needs])
                if seen.keys() - {seq} or seen.get(seq, entry_hash(body)) != entry_hash(body):
                    self._give_up(project, seen)
                await self._noted(project, seq, Held(entry_hash(body), body))
                self._announce(project, seq)
                return wire.CommitReply("committed", body)
            case register.Lost(held=held):
                await self._staging.discard_prepared(project)
                # One look, perhaps at bytes that were damaged on their way; the mount proves it.
                if held.body is None or is_sound(project, seq, held.body, self._writer_key):
                    await self._noted(project, seq, held)
                return wire.CommitReply("lost", held.body or b"")
            case register.Unknown():
                return wire.CommitReply("unknown", b"")
            case Unchained(seq=missing):
                self._report_lost(project, missing, fits)
                return wire.CommitReply("unchained", b"")

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
            )
        return log

    async def _noted(self, project: ProjectId, seq: Seq, held: Held) -> None:
        """Remember what lies in a slot. What was there first is remembered until `forget`.

        A slot takes one object: another one later means that the bucket was put back or tampered
        with, and what this node has seen is what it tells the others.
        """
        lost = self._lost.get(project)
        if lost is not None and lost.seq == seq and lost.fits(held.hash):
            del self._lost[project]
            self._alerts.end(f"history:{project}")
        known = self._recent.setdefault(project, {})
        if seq in known:
            return
        known[seq] = held.hash
        if len(known) > _RECENT:
            del known[min(known)]
        if held.body is not None:
            await self._kept.keep(project, seq, held.body)

    def _give_up(self, project: ProjectId, seen: Mapping[Seq, bytes]) -> None:
        """Forget what was *seen* of a lost history: our mount has gone on without it.

        The mount had not applied it, so this workstation has nothing to put right any more. Those
        that have are told by their own daemons, and of here.
        """
        log.warning(
            "project %s goes on without the lost journal entry %d, which was seen here",
            project, min(seen),
        )  # fmt: skip
        known = self._recent.get(project, {})
        for seq, hash_ in seen.items():
            if known.get(seq) == hash_:
                del known[seq]
        lost = self._lost.get(project)
        if lost is not None and lost.seq in seen:
            del self._lost[project]
            self._alerts.end(f"history:{project}")

    def _report_lost(self, project: ProjectId, seq: Seq, fits: Callable[[bytes], bool]) -> None:
        known = self._lost.get(project)
        # The lowest one: it explains those above, and the alert shall not change its words.
        if known is None or seq < known.seq:
            known = self._lost[project] = _Lost(seq, fits)
        self._alerts.begin(
            f"history:{project}",
            f"The bucket no longer has journal entry {known.seq} of project {project[:8]} as this "
            "workstation has seen it.",
            f"Run `lucidnode repair {project}`.",
        )


async def _looked(log: LogSlots, seq: Seq, fits: Callable[[bytes], bool]) -> None:
    with contextlib.suppress(Unavailable):
        await log.stands(seq, fits)
