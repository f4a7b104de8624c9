"""The membership log as this node knows it: read from the bucket, verified, kept current.

The last good state stays in force whatever comes. What this node has read, it keeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.keys import roster_key
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Jitter
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.disk_words import said_by
from lucidnode.node.client.errors import (
    Corrupt,
    DiskFull,
    NodeError,
    NotThere,
    Refused,
    Unavailable,
)
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.roster import ForeignRoster, NewerRoster, Roster, Void
from lucidnode.node.client.roster_entry import entry_hash
from lucidnode.node.client.roster_rules import RosterReader
from lucidnode.node.journal import register
from lucidnode.node.journal.log_slots import SlotOutcome, Unchained
from lucidnode.node.roster.confirmation import LogConfirmation
from lucidnode.node.roster.known_log import KnownLog
from lucidnode.node.roster.peer_heads import PeerHeads, RosterHead
from lucidnode.node.roster.slots import (
    LogChanged,
    fits,
    is_gap,
    read_all,
    roster_slots,
    take_next,
)

log = logging.getLogger(__name__)

_POLL_S = 5.0
"""How long a membership change made elsewhere may stay unseen here."""

_LOOK_S = 3.0
_FIRST_LOOK_S = 60.0
"""How long somebody who asks for the log waits for news: if it is known at all, and if not."""

_REST_S = 1.0
"""Least time between two looks, however many hints come from the LAN: each look is requests."""

_APPEND_S = 20.0
"""How long one entry is tried before its outcome counts as unknown: a person waits for it."""


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
        self._clock = clock
        self._slots = roster_slots(bucket, genesis, alerts, clock, jitter)
        self._log = KnownLog(genesis, saved, alerts)
        self._hint = asyncio.Event()
        self._looking = asyncio.Lock()
        self._confirmation = LogConfirmation(
            bucket, self._slots, self._log, self._looking, alerts, clock
        )
        self._peer_heads = PeerHeads(self._log, alerts)

    @property
    def current(self) -> Roster:
        """The roster as this node has read it: a value, another one after each change."""
        return self._log.current

    def watch(self, changed: Callable[[], None]) -> None:
        """Call *changed* from now on whenever `current` is another."""
        self._log.watch(changed)

    async def know(self) -> None:
        """Have a verified roster, from an earlier run if the bucket has none for us now.

        Raises Unavailable or WrongBucket, a sentence, if this is the first run and it has none.
        """
        await self._log.load()
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

    def device_key(self, device: DeviceId) -> bytes | None:
        """Return what `Roster.device_key` of the current roster does."""
        return self.current.device_key(device)

    def writer_key(self, device: DeviceId) -> bytes | None:
        """Return what `Roster.writer_key` of the current roster does."""
        return self.current.writer_key(device)

    def projects(self) -> list[ProjectId]:
        """Return the projects of the studio."""
        return list(self.current.projects)

    def is_deleted(self, project: ProjectId) -> bool:
        """Return what `Roster.is_deleted` of the current roster does."""
        return self.current.is_deleted(project)

    async def entries(self, look: wire.RosterLook = "try") -> list[bytes]:
        """Return the items of the log, after a look for news as *look* says.

        Raises Unavailable if there "must" be one and the bucket does not answer.
        """
        if look != "none":
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self.refresh()
            except (TimeoutError, Unavailable) as error:
                if look == "must":
                    why = str(error) or "it does not answer"
                    raise Unavailable(
                        f"the bucket does not show the log of members now: {why}"
                    ) from error
        return list(self._log.reader.log)

    async def append(self, seq: Seq, body: bytes) -> wire.CommitReply:
        """Create roster entry *seq* if absent, on top of the one before as it stood here.

        Raises Refused for what no reader would count, or if the bucket's log is not the one that
        this node has read; AccessDenied if the bucket refused it, and Unavailable if nobody knows
        how it ended.
        """
        async with self._looking:
            if seq != len(self._log.reader.log) + 1:
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
            case Unchained(seq=changed):
                self._confirmation.look_soon(changed)
                await self._confirmation.confirm()
                raise Refused(
                    "the bucket does not hold the log of members as this workstation has read it, "
                    "so nothing was added to it: `lucidnode status` says more"
                )

    async def is_shown(self) -> bool:
        """Tell whether one look at the bucket shows the first or the newest item as it was read.

        So it is our bucket that answers, whatever else is wrong there. Raises Unavailable.
        """
        log_ = self._log.reader.log
        for seq in sorted({1, len(log_)}) if log_ else ():
            with contextlib.suppress(NotThere, Corrupt):
                body = await self._bucket.get(roster_key(Seq(seq)))
                if fits(log_[seq - 1])(entry_hash(body)):
                    return True
        return False

    async def shown(self) -> wire.ShownRoster:
        """Return the log as the bucket shows it now, read from its beginning; nothing here goes by it.

        Raises Unavailable, or Refused if the bucket holds no log of this studio.
        """
        reader = await self._read_anew()
        agreeing, disagreeing = self._peer_heads.judged_by(reader.hashes)
        return wire.ShownRoster(list(reader.log), agreeing, disagreeing)

    async def start_again(self, seq: Seq, hash_: bytes) -> None:
        """Go by the log that the bucket shows, if its item *seq* has *hash_*; what was known is kept beside.

        A person has decided it: whoever can change the bucket could else have everybody go by what he
        put there. Raises Unavailable, and Refused if it is another log, or the disk does not keep it.
        """
        async with self._looking:
            reader = await self._read_anew()
            if seq > len(reader.hashes) or reader.hashes[seq - 1] != hash_:
                raise Refused(
                    "the bucket shows another log of members than a moment ago: look again"
                )
            try:
                await self._log.start_again(reader)
            except (DiskFull, OSError) as error:
                raise Refused(
                    f"what was known cannot be kept on this disk: {said_by(error)}"
                ) from error
            self._confirmation.forget()
        self.look_soon()

    async def _read_anew(self) -> RosterReader:
        reader = RosterReader(self._genesis)
        try:
            await read_all(self._slots, reader)
        except ForeignRoster as error:
            raise Refused(f"this is not to be mended here: {error}") from error
        if not reader.log:
            raise Refused("the bucket holds no log of members: was it emptied?")
        return reader

    async def refresh(self) -> None:
        """Read entries that are new in the bucket. Raises Unavailable; ForeignRoster at first."""
        # One look at a time: two that found the same entries would each append them.
        async with self._looking:
            before = len(self._log.reader.log)
            try:
                await read_all(self._slots, self._log.reader)
            except NodeError:
                await self._log.save()
                raise
            finally:
                # Every beginning of the log is a state that counted: what came before a failure
                # need not be read again.
                if len(self._log.reader.log) > before and self._log.take_up():
                    self._confirmation.look_for_voids()
            await self._log.save()

    def log_hashes(self) -> list[bytes]:
        """Return the hash of each item of the log, as far as it was read here."""
        return list(self._log.reader.hashes)

    def log_head(self) -> tuple[Seq, bytes]:
        """Return number and hash of the newest item of the log here, for peers to compare."""
        hashes = self.log_hashes()
        return Seq(len(hashes)), hashes[-1]

    def heard(self, device: DeviceId, seq: Seq, hash_: bytes) -> None:
        """Take note of the `log_head` of a peer; where it differs from ours is found out soon."""
        self._peer_heads.note(device, RosterHead(seq, hash_))
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
            heads = self._peer_heads.all()
            try:
                try:
                    await self.refresh()
                except LogChanged as error:
                    self._confirmation.look_soon(error.seq)
                if self._confirmation.is_due:
                    await self._confirmation.confirm()
                    async with self._looking:
                        await self._slots.look_at_foreign()
                await self._peer_heads.compare(heads, self._confirmation.confirm)
            except Unavailable as error:
                log.info("membership not refreshed: %s", error)
            await self._clock.sleep(_REST_S)

    async def _take(self, seq: Seq, body: bytes) -> SlotOutcome:
        try:
            if await is_gap(self._bucket, self._log.reader):
                return Unchained(seq)
        except Unavailable as error:
            return register.Unknown(error)
        deadline = self._clock.boot() + _APPEND_S
        return await take_next(self._slots, self._log.reader, body, deadline)

    # -- whether the bucket still holds it ---------------------------------------------------

    def _require_authentic(self, body: bytes) -> None:
        if self._log.reader.newer is not None:
            raise NewerRoster("an owner uses a later version for this studio: update Lucidnode")
        try:
            self._log.reader.check(body)
        except (Void, ForeignRoster) as error:
            raise Refused(f"this is no entry for the log of members: {error}") from error


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
