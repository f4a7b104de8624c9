"""The membership log as this node knows it: read from the bucket, verified, kept current.

The last good state stays in force whatever comes. What this node has read, it keeps: entries that
the bucket loses are put back, since an entry of the log never changes and is never deleted. What
the bucket exchanges for something else is an alert on every node that has seen what was there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import AlreadyThere, Unsettled, WrongBucket
from lucidnode.node.bucket.keys import ROSTER, roster_key
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.backoff import Jitter
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.disk_words import help_for, said_by
from lucidnode.node.client.errors import (
    Corrupt,
    DiskFull,
    NodeError,
    NotThere,
    Refused,
    Unavailable,
)
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.roster import ForeignRoster, NewerRoster, Roster
from lucidnode.node.client.roster_entry import entry_hash
from lucidnode.node.client.roster_rules import RosterReader, Void
from lucidnode.node.journal import register
from lucidnode.node.journal.log_slots import SlotOutcome, Unchained
from lucidnode.node.roster.copy import DamagedCopy, RosterCopy
from lucidnode.node.roster.slots import LogChanged, fits, is_gap, read_all, roster_slots

log = logging.getLogger(__name__)

_POLL_S = 5.0
"""How long a membership change made elsewhere may stay unseen here."""

_LOOK_S = 3.0
_FIRST_LOOK_S = 60.0
"""How long somebody who asks for the log waits for news: if it is known at all, and if not."""

_REST_S = 1.0
"""Least time between two looks, however many hints there are: a flood of hints from the LAN shall
not become a flood of requests."""

_CONFIRM_S = 60.0
"""How often it is seen again that the bucket holds what was read from it."""

_VOID_S = 10.0
"""How often that is seen again while items at the end of the log count for nothing: one may have
been an entry that was damaged on its way, and who it named would be unknown here."""

_APPEND_S = 20.0
"""How long one entry is tried before its outcome counts as unknown: a person waits for it."""

_UPDATE = "Update Lucidnode on this workstation."
_KEEP_OUT = (
    "Invite nobody and create no project until whoever runs the bucket has restored the folder "
    "`roster` from a copy."
)


@dataclass(frozen=True, slots=True)
class _Word:
    """What a peer said of the log: its newest number and hash."""

    seq: Seq
    hash: bytes


class RosterService:
    """Holds the verified roster. `current` is safe to read at any time after `know`.

    A copy at *saved* lets a node start, and serve what it has cached, while the bucket is away; it
    also is the mark below which the bucket cannot roll this node back.
    """

    def __init__(
        self,
        *,
        bucket: Bucket,
        genesis: bytes,
        saved: Path,
        clock: Clock,
        jitter: Jitter,
        alerts: Alerts,
    ) -> None:
        self._bucket = bucket
        self._genesis = genesis
        self._copy = RosterCopy(saved)
        self._clock = clock
        self._alerts = alerts
        self._watchers: list[Callable[[], None]] = []
        self._slots = roster_slots(bucket, alerts, clock, jitter)
        self._reader = RosterReader(genesis)
        self._hint = asyncio.Event()
        self._looking = asyncio.Lock()
        self._words: dict[DeviceId, _Word] = {}
        self._confirm_at = 0.0
        self._turn = 0
        self._kept = 0
        self.current = Roster.empty()

    def watch(self, changed: Callable[[], None]) -> None:
        """Call *changed* from now on whenever `current` is another."""
        self._watchers.append(changed)

    async def know(self) -> None:
        """Have a verified roster, from an earlier run if the bucket has none for us now.

        Raises Unavailable or WrongBucket, a sentence, if this is the first run and it has none.
        """
        await self._load()
        seconds = _LOOK_S if self.current.head else _FIRST_LOOK_S
        try:
            async with asyncio.timeout(seconds):
                await self.refresh()
        except (TimeoutError, NodeError) as error:
            if self.current.head == 0:
                raise _first_refusal(error) from error
            log.info("the log of members was not refreshed at the start: %s", error)
        if self.current.head == 0:
            raise WrongBucket(
                "the bucket holds no studio: was it emptied, or is the address wrong?"
            )

    def devices(self) -> dict[DeviceId, bytes]:
        """Return the certificate (DER) of every device that may take part."""
        return {device.id: device.certificate for device in self.current.devices.values()}

    def projects(self) -> list[ProjectId]:
        """Return the projects of the studio."""
        return list(self.current.projects)

    async def entries(self) -> list[bytes]:
        """Return the items of the log, after a look for news; what is known if there is none."""
        with contextlib.suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(_LOOK_S):
                await self.refresh()
        return list(self._reader.log)

    async def append(self, seq: Seq, body: bytes) -> wire.CommitReply:
        """Create roster entry *seq* if absent, on top of the one before as it stood here.

        Raises Refused for what no reader would count, or if the bucket's log is not the one that
        this node has read; AccessDenied if the bucket refused it, and Unavailable if nobody knows
        how it ended.
        """
        async with self._looking:
            if seq != len(self._reader.log) + 1:
                return wire.CommitReply("lost", b"")
            self._require_authentic(body)
            outcome = await self._take(seq, body)
        match outcome:
            case register.Committed():
                with contextlib.suppress(Unavailable):  # it is there; `run` will see it
                    await self.refresh()
                return wire.CommitReply("committed", body)
            case register.Lost(held=held):
                return wire.CommitReply("lost", held.body or b"")
            case register.Unknown() as unknown:
                raise unknown.error(
                    "whether the change arrived all the same is not known: look before you try again"
                )
            case Unchained():
                await self._confirm()
                raise Refused(
                    "the bucket does not hold the log of members as this workstation has read it, "
                    "so nothing was added to it: `lucidnode status` says more"
                )

    async def is_shown(self) -> bool:
        """Tell whether one look at the bucket shows the first or the newest item as it was read.

        So it is our bucket that answers, whatever else is wrong there. Raises Unavailable.
        """
        log_ = self._reader.log
        for seq in sorted({1, len(log_)}) if log_ else ():
            with contextlib.suppress(NotThere, Corrupt):
                body = await self._bucket.get(roster_key(Seq(seq)))
                if fits(log_[seq - 1])(entry_hash(body)):
                    return True
        return False

    async def refresh(self) -> None:
        """Read entries that are new in the bucket. Raises Unavailable; ForeignRoster at first."""
        # One look at a time: two that found the same entries would each append them.
        async with self._looking:
            before = len(self._reader.log)
            try:
                await read_all(self._slots, self._reader)
            except NodeError:
                await self._save()
                raise
            finally:
                # Every beginning of the log is a state that counted: what came before a failure
                # need not be read again.
                if len(self._reader.log) > before:
                    self._take_up()
            await self._save()

    def log_hashes(self) -> list[bytes]:
        """Return the hash of each item of the log, as far as it was read here."""
        return list(self._reader.hashes)

    def log_head(self) -> tuple[Seq, bytes]:
        """Return number and hash of the newest item of the log here, for peers to compare."""
        hashes = self.log_hashes()
        return Seq(len(hashes)), hashes[-1]

    def heard(self, device: DeviceId, seq: Seq, hash_: bytes) -> None:
        """Take note of the `log_head` of a peer; where it differs from ours is found out soon."""
        self._words[device] = _Word(seq, hash_)
        self.look_soon()

    def look_soon(self) -> None:
        """Look for news now: somebody of this studio is near whom the roster here does not list."""
        self._hint.set()

    async def run(self) -> None:
        """Look for news until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._hint.wait()
            self._hint.clear()
            words = dict(self._words)
            try:
                try:
                    await self.refresh()
                except LogChanged:
                    self._confirm_at = 0.0
                if self._clock.boot() >= self._confirm_at:
                    await self._confirm()
                    async with self._looking:
                        await self._slots.look_at_foreign()
                await self._compare(words)
            except Unavailable as error:
                log.info("membership not refreshed: %s", error)
            await self._clock.sleep(_REST_S)

    # -- the copy ----------------------------------------------------------------------------

    async def _load(self) -> None:
        try:
            self._reader = await asyncio.to_thread(self._copy.read, self._genesis)
        except DamagedCopy as error:
            self._alerts.begin(
                "roster-copy",
                f"This workstation's copy of the log of members: {error}.",
                "It is read again from the bucket; look after the disk.",
                lasts_s=EVENT_S,
            )
        self._kept = len(self._reader.log)
        if self._reader.log:
            self.current = self._reader.roster()
            self._tell_watchers()
            self._tell_of_newer()

    async def _save(self) -> None:
        items = len(self._reader.log)
        if items == self._kept:
            return
        try:
            await asyncio.to_thread(self._copy.write, self._reader)
        except (DiskFull, OSError) as error:
            self._alerts.begin(
                "roster-disk",
                f"The log of members cannot be kept on this disk: {said_by(error)}.",
                help_for(error, "the home directory", "Check the disk of the home directory.")
                + " Until then this workstation needs the bucket to start.",
            )
        else:
            self._kept = items
            self._alerts.end("roster-disk")

    def _tell_watchers(self) -> None:
        for changed in self._watchers:
            changed()

    def _take_up(self) -> None:
        before, self.current = self.current, self._reader.roster()
        self._tell_watchers()
        for void in self.current.voids:
            if before.head < void.seq:
                self._confirm_at = min(self._confirm_at, self._clock.boot() + _VOID_S)
                self._alerts.begin(
                    "roster-void",
                    f"Number {void.seq} of the log of members counts for nothing: {void.reason}.",
                    "Find out who wrote it; nobody who uses Lucidnode as it is writes such entries.",
                    lasts_s=EVENT_S,
                )
        self._tell_of_newer()

    def _tell_of_newer(self) -> None:
        if self.current.newer is not None:
            self._alerts.begin(
                "roster-newer",
                "An owner of the studio uses a later version of Lucidnode: who came, left or got "
                "other rights since then is not known here.",
                _UPDATE,
            )

    async def _take(self, seq: Seq, body: bytes) -> SlotOutcome:
        try:
            if await is_gap(self._bucket, self._reader):
                return Unchained(seq)
        except Unavailable as error:
            return register.Unknown(error)
        deadline = self._clock.boot() + _APPEND_S
        return await self._slots.take(seq, body, fits(self._reader.log[-1]), deadline)

    # -- whether the bucket still holds it ---------------------------------------------------

    def _require_authentic(self, body: bytes) -> None:
        if self._reader.newer is not None:
            raise NewerRoster("an owner uses a later version for this studio: update Lucidnode")
        try:
            self._reader.check(body)
        except (Void, ForeignRoster) as error:
            raise Refused(f"this is no entry for the log of members: {error}") from error

    async def _confirm(self) -> None:
        """See whether the bucket still holds what was read from it. Raises Unavailable.

        All by its listing; by themselves the newest item, one of the others, and the first of those
        that count for nothing and on which nobody has built.
        """
        async with self._looking:
            newest = len(self._reader.log)
            self._turn = self._turn % newest + 1
            looked_at = {newest, self._turn}
            if (first_void := self._reader.last_entry() + 1) <= newest:
                looked_at.add(first_void)
            self._confirm_at = self._clock.boot() + (
                _VOID_S if first_void in looked_at else _CONFIRM_S
            )
            doubtful = await self._unlisted()
            for seq in map(Seq, sorted(looked_at)):
                if not await self._stands(seq):
                    doubtful.add(seq)
            if not doubtful or await self._restored(sorted(doubtful)):
                self._alerts.end("roster-history")

    async def _unlisted(self) -> set[Seq]:
        """Return the numbers whose names a listing does not show."""
        newest = len(self._reader.log)
        names: set[str] = set()
        after = None
        while page := await self._bucket.list(ROSTER, after):
            names.update(listed.key for listed in page)
            after = page[-1].key
            if after >= roster_key(Seq(newest)):
                break
        return {Seq(n) for n in range(1, newest + 1) if roster_key(Seq(n)) not in names}

    async def _stands(self, seq: Seq) -> bool:
        return await self._slots.stands(seq, fits(self._reader.log[seq - 1]))

    async def _restored(self, doubtful: Sequence[Seq]) -> bool:
        """Put back what the bucket has lost of the numbers *doubtful*; return whether all is well.

        An emptied bucket stays empty, it may be so for a reason; what was exchanged stays as it is.
        """
        if not await self._stands(Seq(1)):
            self._report_history(Seq(1))
            return False
        for seq in doubtful:
            if await self._stands(seq):
                continue
            if seq > self._reader.last_entry():
                # Nobody has built on this: it was cleared away, or never was what we were shown.
                self._reader = self._reader.up_to(self._reader.last_entry())
                self._take_up()
                if not self.current.voids:
                    self._alerts.end("roster-void")
                await self._save()
                return True
            if await self._is_absent(seq):
                await self._put_back(seq, self._reader.log[seq - 1])
            if not await self._stands(seq):
                self._report_history(seq)
                return False
        return True

    def _report_history(self, seq: Seq) -> None:
        self._alerts.begin(
            "roster-history",
            "The bucket shows another log of members than this workstation has read: number "
            f"{seq} was deleted or exchanged. This workstation goes by what it has read.",
            _KEEP_OUT,
        )

    async def _is_absent(self, seq: Seq) -> bool:
        try:
            await self._slots.prove(seq)
        except NotThere:
            return True
        return False

    async def _put_back(self, seq: Seq, item: bytes) -> None:
        with contextlib.suppress(AlreadyThere, Unsettled, Refused, Unavailable):
            await self._bucket.create(roster_key(seq), item)
            self._alerts.begin(
                "roster-lost",
                f"The bucket had lost number {seq} of the log of members, and this workstation has "
                "put it back.",
                "Find out who deleted it: in such a gap a used ticket could have been used again.",
                lasts_s=EVENT_S,
            )

    async def _compare(self, words: Mapping[DeviceId, _Word]) -> None:
        """Settle what peers said before the last look. Raises Unavailable."""
        for device, word in words.items():
            topic = f"roster-peer:{device}"
            if device not in self.current.devices:
                self._words.pop(device, None)
                self._alerts.end(topic)
            elif self._agrees(word):
                self._alerts.end(topic)
            elif self.current.newer is None:
                if not self._alerts.is_on(topic):
                    await self._confirm()  # before it is an alarm: what does the bucket show?
                if self._agrees(word):
                    continue
                self._alerts.begin(
                    topic,
                    f"The workstation {device[:8]} says that it has read another log of members "
                    f"than this one: {word.seq} entries there, {len(self._reader.log)} here.",
                    "If it says the same of this workstation, the bucket shows the two different "
                    "things: invite nobody until whoever runs the bucket has found out why.",
                )

    def _agrees(self, word: _Word) -> bool:
        hashes = self._reader.hashes
        return word.seq <= len(hashes) and hashes[word.seq - 1] == word.hash


def _first_refusal(error: BaseException) -> NodeError:
    """Return *error* as what a person reads whose workstation has never met its bucket."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, ForeignRoster):
        return WrongBucket(
            "the bucket holds another studio than the one this workstation belongs to: is the "
            "address wrong?"
        )
    return Unavailable(
        "the bucket does not answer, and this workstation has not met it before: check the network "
        f"and try again ({error})"
    )
