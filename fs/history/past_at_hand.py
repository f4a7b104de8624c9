"""What a command has of a project's past: as much of it as was asked for.

There are three on a workstation. The *whole* one is read from the first entry, by collections and
`fsck`, which decide on it. The *recent* one begins at a checkpoint and grows in both directions. An
*earlier* one is made for one question, from the checkpoint before the state that is asked for.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from lucidnode.fs.checkpoints.newcomer import Newcomer, NewcomerClient
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.journal_client import JournalClient
from lucidnode.fs.commit.repair.access import RepairAccess
from lucidnode.fs.commit.repair.replica_files import HISTORY_DIRECTORY
from lucidnode.fs.errors import NoWayBack, OlderNeeded, ReplicaBusy, ReplicaCorrupt
from lucidnode.fs.history import points
from lucidnode.fs.history.entry_times import EntryTimes
from lucidnode.fs.history.past import Past
from lucidnode.fs.history.past_opening import past_opened
from lucidnode.fs.history.past_reader import read_back, read_on
from lucidnode.fs.replica.sqlite.connection import is_in_use, locked
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.durable import make_directory
from lucidnode.node.client.ids import DeviceId, Seq

STEP_ENTRIES = 1000
"""Entries that are read further back at once, where it is not known how many it takes; twice as many
are read without looking whether it could be fewer, some two seconds of work."""

_RECENT = "recent"

_EARLIER = "earlier-"

_ORDER = "order"
"""The file whose lock says that directories of earlier pasts are made or removed now."""

_AGAIN_S = 0.05

Answer = TypeVar("Answer")


Reading = Callable[[], contextlib.AbstractContextManager[Callable[[Seq], None]]]
"""What is done around each time that entries are read, which gives what is told of each."""


class PastClient(NewcomerClient, Protocol):
    """What the daemon does for this (DaemonClient)."""

    @property
    def journal(self) -> JournalClient:
        """The journal in the bucket."""


class PastAccess(RepairAccess, Protocol):
    """What one member may do in one project (ProjectAccess)."""

    def trusted_key(self, device: DeviceId) -> bytes | None:
        """Return the Ed25519 key of a device whose checkpoints are believed now, else None."""


class PastAtHand:
    """The past of one project while it is asked: `past` stands on the end of the journal.

    Have it from `past_at_hand`, and `open` it. Everything raises a NodeError or an FsError.
    """

    def __init__(
        self,
        directory: Path,
        daemon: PastClient,
        access: PastAccess,
        clock: Clock,
        reading: Reading,
        closing: contextlib.ExitStack,
        step: int,
    ) -> None:
        """Take the parts it works with; what is opened is closed by *closing*."""
        self._step = step
        self._directory = directory
        self._daemon = daemon
        self._access = access
        self._clock = clock
        self._reading = reading
        self._closing = closing
        self._past: Past | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a past to ask, if perhaps not of all that is."""
        return self._past is not None

    @property
    def past(self) -> Past:
        """The past as far as it was read by now; its end is that of the journal."""
        assert self._past is not None
        return self._past

    # -- opening -----------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the past that takes the fewest entries to read on, or begin one at a checkpoint."""
        newest = await self._newest()
        if newest <= 2 * self._step:
            await self.open_whole()
            return
        past = self._close_to(newest)
        if past is None:
            with self._reading():
                past = await self._recent(newest)
        if past is None:
            await self.open_whole()
            return
        self._take(past)
        await self._read_on(past)
        if past.is_doubtful:
            await self.open_whole()

    async def open_for(self, seq: Seq) -> None:
        """Do as `open`, unless the state that entry *seq* left lies before all that it would read."""
        newest = await self._newest()
        if Past.is_kept(self._directory) or seq + self._step > newest:
            await self.open()

    async def _newest(self) -> Seq:
        return max(await self._daemon.checkpoints.seqs(self._access.keys().project), default=Seq(0))

    async def open_whole(self) -> None:
        """Open the past that begins at the first entry, and read it on."""
        whole = await past_opened(self._directory, self._access, self._clock)
        self._take(whole)
        await self._read_on(whole)

    def _close_to(self, newest: Seq) -> Past | None:
        """Return the whole past if somebody has read it nearly to its end, and nobody has it now."""
        if not Past.is_kept(self._directory):
            return None
        try:
            past = Past.open(self._directory, self._access.keys().replica, self._access.workstation)
        except ReplicaBusy:
            return None
        if past.head().seq + 2 * self._step >= newest:
            return past
        past.close()
        return None

    async def _recent(self, newest: Seq) -> Past | None:
        past = await past_opened(self._directory, self._access, self._clock, _RECENT)
        if past.head().seq + 2 * self._step >= newest:
            return past
        return await self._begun(past, None)

    async def _begun(self, past: Past, upto: Seq | None) -> Past | None:
        """Have *past* begin at the newest checkpoint, up to entry *upto*; or close it."""
        if past.head().seq:
            past = past.emptied()
        try:
            codec = EntryCodec(
                self._access.keys,
                self._access.device,
                self._access.writer_key,
                secrets.token_bytes,
                self._access.trusted_key,
            )
            loader = Newcomer(past.replica, self._daemon, codec, Alerts(self._clock), self._clock)
            if await loader.load(upto, halfway=False) is None:
                past.close()
                return None
        except BaseException:
            past.close()
            raise
        return past.loaded()

    async def _read_on(self, past: Past, until: Seq | None = None) -> None:
        with self._reading() as progress:
            await read_on(past, self._daemon.journal, self._access, self._clock, progress, until)

    def _take(self, past: Past) -> None:
        self._past = past
        self._closing.callback(past.close)

    # -- points in time ----------------------------------------------------------------------

    async def point(self, text: str, now: datetime) -> Seq:
        """Return the entry that *text* means (points.py). Raises NoSuchPoint as well."""
        wanted = points.parsed(text, self.past.head().seq, now)
        if not isinstance(wanted, datetime):
            return wanted
        limit_ns = points.wall_ns(wanted)
        since = self.past.since
        cut = points.cut(self.past.log.times(), limit_ns)
        if cut or not since:
            return Seq(since + cut)
        return await EntryTimes(self._daemon.journal, self._access).newest_before(limit_ns, since)

    async def wall_ns(self, seq: Seq) -> int:
        """Return when entry *seq* was made, by the clock of who made it; 0 if nobody vouches for that."""
        if seq > self.past.since:
            return self.past.log.entry(seq).wall_ns
        return await EntryTimes(self._daemon.journal, self._access).wall_ns(seq) or 0

    # -- further back ------------------------------------------------------------------------

    async def reach(self, seq: Seq) -> None:
        """Have the past begin at entry *seq* or before."""
        if self.past.since <= seq:
            return
        try:
            with self._reading() as progress:
                await read_back(self.past, self._daemon.journal, self._access, seq, progress)
        except NoWayBack:
            await self.open_whole()

    async def answered(self, question: Callable[[Past], Answer]) -> Answer:
        """Return what *question* answers, once the past begins early enough that it raises no OlderNeeded."""
        while True:
            try:
                return question(self.past)
            except OlderNeeded:
                if not self.past.since:
                    raise
                await self.reach(Seq(max(0, self.past.since - self._step)))
            except ReplicaCorrupt:
                if not self.past.since:
                    raise
                await self.open_whole()

    @contextlib.asynccontextmanager
    async def state(self, seq: Seq) -> AsyncIterator[TreeReader]:
        """Have the tree as entry *seq* left it, in this block; nothing is read meanwhile."""
        async with self._reaching(seq) as past:
            with contextlib.ExitStack() as stack:
                yield await self._shown(past, seq, stack)

    async def _shown(self, past: Past, seq: Seq, stack: contextlib.ExitStack) -> TreeReader:
        while True:
            try:
                return stack.enter_context(past.at(seq))
            except OlderNeeded:
                if not past.since:
                    raise
                await self.reach(Seq(max(0, min(seq, self.past.since - self._step))))
            except ReplicaCorrupt:  # what it begins with is not what the entries there led to
                if not past.since:
                    raise
                await self.open_whole()
            past = self.past

    @contextlib.asynccontextmanager
    async def copied(self, seq: Seq) -> AsyncIterator[Path]:
        """Have the file of a replica that stands on entry *seq*: nobody takes it for a left one in here.

        Who opens it meanwhile has it for as long as he wants.
        """
        async with self._reaching(seq) as past:
            try:
                path = past.copy_at(seq)
            except (OlderNeeded, ReplicaCorrupt):
                if not past.since:
                    raise
                if self._past is None:
                    await self.open_whole()
                path = await self.answered(lambda past: past.copy_at(seq))
            yield path

    @contextlib.asynccontextmanager
    async def _reaching(self, seq: Seq) -> AsyncIterator[Past]:
        """Have a past that has the state *seq*: this one, or one from a checkpoint before that."""
        if self._past is not None and self.past.since - seq <= self._step:
            await self.reach(seq)
            yield self.past
            return
        with contextlib.ExitStack() as stack:
            place = await self._earlier(stack)
            past = await past_opened(self._directory, self._access, self._clock, place)
            with self._reading():
                begun = await self._begun(past, seq)
            if begun is None:
                if self._past is None:
                    await self.open()
                if self.past.since - seq <= seq:
                    await self.reach(seq)
                    yield self.past
                    return
                begun = await past_opened(self._directory, self._access, self._clock, place)
            stack.callback(begun.close)
            await self._read_on(begun, seq)
            if begun.is_doubtful:
                await self.open_whole()
                begun = self.past
            yield begun

    async def _earlier(self, stack: contextlib.ExitStack) -> str:
        """Return the name of a new directory for a past, which goes when *stack* ends.

        So do those that killed commands have left. A mount in there stays.
        """
        home = self._directory / HISTORY_DIRECTORY
        make_directory(home)
        mine = home / f"{_EARLIER}{secrets.token_hex(8)}"
        lock = await self._alone(home)
        try:
            for left in home.glob(f"{_EARLIER}*"):
                _remove_unused(left)
            make_directory(mine)
            stack.callback(_remove_unused, mine)
            stack.callback(os.close, _held(mine))
        finally:
            os.close(lock)
        return mine.name

    async def _alone(self, directory: Path) -> int:
        while True:
            try:
                return locked(directory / _ORDER)
            except ReplicaBusy:
                await self._clock.sleep(_AGAIN_S)


@contextlib.asynccontextmanager
async def past_at_hand(
    directory: Path,
    daemon: PastClient,
    access: PastAccess,
    clock: Clock,
    reading: Reading,
    *,
    step: int = STEP_ENTRIES,
) -> AsyncIterator[PastAtHand]:
    """Have the past of the project that lies in *directory*, not opened yet, in this block."""
    with contextlib.ExitStack() as closing:
        yield PastAtHand(directory, daemon, access, clock, reading, closing, step)


def _held(directory: Path) -> int:
    """Return a descriptor that keeps *directory* from being removed."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _remove_unused(directory: Path) -> None:
    """Remove *directory*, unless a command holds it; of one with a replica that is mounted, all but that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if any(is_in_use(each) for each in directory.glob("*.db")):
                Past.forget(directory)
            else:
                shutil.rmtree(directory, ignore_errors=True)
        finally:
            os.close(descriptor)
