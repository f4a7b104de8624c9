"""The membership log as this node knows it: read from the bucket, verified, kept current."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from lucidnode.node import register
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.keys import roster_key
from lucidnode.node.client import wire
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import Malformed, NotThere, Unavailable
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.roster import Roster
from lucidnode.node.client.roster_rules import verified

Commit = Callable[[str, bytes], Awaitable[register.Committed | register.Lost | register.Unknown]]
"""Creates a key if it is absent; see node/register.py, with bucket, clock and deadline bound."""

log = logging.getLogger(__name__)

_LOG = msgspec.msgpack.Decoder(wire.RosterLog)

_POLL_SECONDS = 5.0
"""How long a membership change made elsewhere may stay unseen here."""

_LOOK_SECONDS = 3.0
_FIRST_LOOK_SECONDS = 60.0
"""How long somebody who asks for the log waits for news: if it is known at all, and if not."""

_HINT_SECONDS = 0.2
"""Least time between a hint and the look it causes."""


class RosterService:
    """Holds the verified roster. `current` is safe to read at any time after `load`.

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
        changed: Callable[[Roster], None],
        commit: Commit,
    ) -> None:
        self._bucket = bucket
        self._genesis = genesis
        self._saved = saved
        self._clock = clock
        self._changed = changed
        self._commit = commit
        self._raw: list[bytes] = []
        self._hint = asyncio.Event()
        self._looking = asyncio.Lock()
        self.current = Roster.empty()

    def load(self) -> None:
        """Take up the copy of an earlier run, if there is one. Raises Malformed if it is damaged."""
        try:
            log_bytes = self._saved.read_bytes()
        except FileNotFoundError:
            return
        try:
            entries = decoded(_LOG, log_bytes).entries
        except Malformed as error:
            raise Malformed(f"{self._saved} is damaged: delete it, it is fetched again") from error
        self._accept(entries)

    async def know(self) -> None:
        """Have a verified roster, from an earlier run if the bucket does not answer now."""
        self.load()
        seconds = _LOOK_SECONDS if self.current.head else _FIRST_LOOK_SECONDS
        try:
            async with asyncio.timeout(seconds):
                await self.refresh()
        except (TimeoutError, Unavailable) as error:
            if self.current.head == 0:
                raise Unavailable(
                    "the bucket does not answer, and this workstation has not met it before: "
                    f"check the network and try again ({error})"
                ) from error
            log.warning("the bucket does not answer; going on with what is here")
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
        """Return the raw log, after a look for news; what is known if the bucket is away."""
        if not self._raw:
            await self.refresh()
        with contextlib.suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(_LOOK_SECONDS):
                await self.refresh()
        return list(self._raw)

    async def append(self, seq: Seq, body: bytes) -> wire.CommitReply:
        """Create roster entry *seq* if absent."""
        outcome = await self._commit(roster_key(seq), body)
        match outcome:
            case register.Committed():
                with contextlib.suppress(Unavailable):  # it is there; `run` will see it
                    await self.refresh()
                return wire.CommitReply("committed", body)
            case register.Lost(held=held):
                return wire.CommitReply("lost", held.body or b"")
            case register.Unknown():
                return wire.CommitReply("unknown", b"")

    async def refresh(self) -> None:
        """Read entries that are new in the bucket. Raises Unavailable, Malformed."""
        # One look at a time: two that found the same entries would each append them.
        async with self._looking:
            found: list[bytes] = []
            with contextlib.suppress(NotThere):
                while True:
                    key = roster_key(Seq(len(self._raw) + len(found) + 1))
                    found.append(await self._bucket.get(key))
            if not found:
                return
            self._accept([*self._raw, *found])
            log_bytes = msgspec.msgpack.encode(wire.RosterLog(self._raw))
            await asyncio.to_thread(write_durably, self._saved, log_bytes)

    def _accept(self, raw: list[bytes]) -> None:
        # Verified as a whole before any of it counts; `current` never shows half a log.
        self.current = verified(raw, self._genesis)
        self._raw = raw
        self._changed(self.current)

    def look_soon(self) -> None:
        """Look for news now: somebody of this studio is near whom the roster here does not list."""
        self._hint.set()

    async def run(self) -> None:
        """Look for news until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._hint.wait()
            self._hint.clear()
            # A flood of hints shall not become a flood of requests.
            await self._clock.sleep(_HINT_SECONDS)
            try:
                await self.refresh()
            except Unavailable as error:
                log.info("membership not refreshed: %s", error)
