"""`flock` and `fcntl` locks of one mount: taken, waited for, released, and found to be in a circle.

The kernel hands them to us with an owner: a process for `fcntl`, an open file for `flock` and for
`F_OFD_SETLK`. Whether this node decides the locks of a file at all is asked before `lock`
(fs/leases/lock_tokens.py): what is decided here is decided among the programs of this mount.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from lucidnode.fs.errors import Deadlock, Interrupted, LockHeld, NoLocks
from lucidnode.fs.files.lock_table import LAST_BYTE, LockedRange, LockTable
from lucidnode.fs.replica.inode import InodeNo

MAX_LOCKS = 65_536
"""Ranges of one file that are locked or waited for: some 200 bytes of memory each."""

CLOSING_S = 0.05
"""Seconds that a request waits, which shall not wait, while the one in its way is being closed.

The kernel does not wait for our answer to the last close of a file, and the threads of the channel
keep no order: a lock that its program has given up by closing may seem to be there for an instant.
"""


class LockedFile(NamedTuple):
    """One of the two tables of a file. *whole*: those of `flock`, else those of `fcntl`."""

    ino: InodeNo
    whole: bool


@dataclass(slots=True, eq=False)
class _Waiter:
    owner: int
    wanted: LockedRange
    handle: int
    granted: asyncio.Future[None]


@dataclass(slots=True)
class _Locks:
    """The locks of one file, of one kind, and who waits for some."""

    table: LockTable = field(default_factory=LockTable)
    waiters: list[_Waiter] = field(default_factory=list)
    handles: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Through which handles an owner has asked."""

    @property
    def count(self) -> int:
        """Ranges that are locked or waited for."""
        return self.table.count + len(self.waiters)

    def blockers(self, owner: int, wanted: LockedRange) -> set[int]:
        """Return who has what is in the way of *wanted*."""
        return {other for other, _ in self.table.in_the_way(owner, wanted)}

    def lay(self, owner: int, wanted: LockedRange) -> None:
        """Give *owner* what is free; a shared lock in place of an exclusive one lets others in."""
        self.table.lay(owner, wanted)
        if not wanted.exclusive:
            self.grant()

    def grant(self) -> None:
        """Give those who wait what has become free, the oldest first."""
        again = True
        while again:
            again = False
            for waiter in self.waiters:
                if not waiter.granted.done() and self.table.is_free(waiter.owner, waiter.wanted):
                    self.table.lay(waiter.owner, waiter.wanted)
                    # Another thread of his may have closed a descriptor while he waited.
                    self.handles[waiter.owner].add(waiter.handle)
                    waiter.granted.set_result(None)
                    again = again or not waiter.wanted.exclusive
        self.waiters = [waiter for waiter in self.waiters if not waiter.granted.done()]


class FileLocks:
    """All locks of one mount. Lives in one event loop.

    Files are named by the numbers that the kernel knows: handles that follow their bytes into a
    conflict copy keep the locks that the kernel has asked for.
    """

    def __init__(self, max_locks: int) -> None:
        self._max_locks = max_locks
        self._files: dict[LockedFile, _Locks] = {}
        self._closing: set[int] = set()
        """Handles of which a descriptor was closed, perhaps the last."""
        self._stopped = False
        self._on_unused: Callable[[], None] = _nobody

    def in_the_way(self, file: LockedFile, owner: int, wanted: LockedRange) -> LockedRange | None:
        """Return the first lock of somebody else that conflicts with *wanted*: `F_GETLK`."""
        locks = self._files.get(file)
        found = None if locks is None else next(locks.table.in_the_way(owner, wanted), None)
        return None if found is None else found[1]

    async def lock(
        self,
        file: LockedFile,
        owner: int,
        wanted: LockedRange,
        handle: int,
        given_up: asyncio.Future[None] | None,
    ) -> None:
        """Give *owner* *wanted*, asked for through *handle*.

        Waits until *given_up* is done; None does not wait. Raises LockHeld, Deadlock, NoLocks,
        Interrupted.
        """
        locks = self._files.setdefault(file, _Locks())
        locks.handles[owner].add(handle)
        self._closing.discard(handle)
        if file.whole:
            _convert(locks, owner, wanted)
        if locks.count >= self._max_locks:
            raise NoLocks("too many locks")
        blockers = locks.blockers(owner, wanted)
        if not blockers:
            locks.lay(owner, wanted)
        elif given_up is not None:
            if not file.whole and self._closes_a_circle(owner, blockers):
                raise Deadlock("they wait for each other")
            await self._wait(locks, owner, wanted, handle, given_up)
        elif not await self._closed_soon(locks, owner, wanted, handle, blockers):
            raise LockHeld("somebody else has a lock there")

    def unlock(self, file: LockedFile, owner: int, start: int = 0, last: int = LAST_BYTE) -> None:
        """Take back what *owner* has from *start* to *last*. Raises NoLocks if that splits too many."""
        locks = self._files.get(file)
        if locks is None:
            return
        if locks.count >= self._max_locks and (start, last) != (0, LAST_BYTE):
            raise NoLocks("too many locks")
        if locks.table.clear(owner, start, last):
            locks.grant()
            if not locks.count:
                self._on_unused()

    def watch(self, on_unused: Callable[[], None]) -> None:
        """Have *on_unused* called whenever a file has no locks any more."""
        self._on_unused = on_unused

    def flushed(self, ino: InodeNo, handle: int, owner: int) -> None:
        """Take back all `fcntl` locks of *owner*: he has closed a descriptor, one of *handle*."""
        self._end(LockedFile(ino, whole=False), owner)
        self._closing.add(handle)

    def released(self, ino: InodeNo, handle: int) -> None:
        """Take back what was locked through *handle*, now that nobody has it open.

        That is a `flock`, or a lock of `F_OFD_SETLK`, of whose end the kernel does not speak: the owner
        of either is the open file, so there is no other handle through which he could have asked.
        """
        self._closing.discard(handle)
        for file in _tables_of(ino):
            locks = self._files.get(file)
            for owner, handles in [] if locks is None else list(locks.handles.items()):
                handles.discard(handle)
                if not handles:
                    self._end(file, owner)

    def stop(self) -> None:
        """Let go of all who wait, now and later: the mount ends.

        Not as interrupted: no signal has come to them, and the kernel would show them an errno of its own.
        """
        self._stopped = True
        for locks in self._files.values():
            for waiter in locks.waiters:
                waiter.granted.set_exception(NoLocks("the mount ends"))
            locks.waiters = []

    def has_locks(self, ino: InodeNo, owner: int) -> bool:
        """Tell whether *owner* has a lock of *ino*, of either kind."""
        return any(
            (locks := self._files.get(file)) is not None and locks.table.held(owner)
            for file in _tables_of(ino)
        )

    def has_other_locks(self, ino: InodeNo, owner: int) -> bool:
        """Tell whether *owner* has an `fcntl` lock of another file than *ino*."""
        return any(
            not file.whole and file.ino != ino and locks.table.held(owner)
            for file, locks in self._files.items()
        )

    def is_in_use(self, ino: InodeNo) -> bool:
        """Tell whether anybody has a lock of *ino*, or waits for one."""
        return any(
            (locks := self._files.get(file)) is not None and locks.count for file in _tables_of(ino)
        )

    def held(self) -> Iterator[tuple[InodeNo, LockedRange]]:
        """Yield every lock that somebody has, with its file."""
        for file, locks in self._files.items():
            for held in locks.table.ranges():
                yield file.ino, held

    def in_use(self) -> set[InodeNo]:
        """Return the files of which somebody has a lock, or waits for one."""
        return {file.ino for file, locks in self._files.items() if locks.count}

    @property
    def count(self) -> int:
        """Ranges that are locked or waited for."""
        return sum(locks.count for locks in self._files.values())

    # ----------------------------------------------------------------------------------------

    async def _wait(
        self,
        locks: _Locks,
        owner: int,
        wanted: LockedRange,
        handle: int,
        given_up: asyncio.Future[None],
    ) -> None:
        if self._stopped:
            raise NoLocks("the mount ends")
        waiter = _Waiter(owner, wanted, handle, asyncio.get_running_loop().create_future())
        locks.waiters.append(waiter)
        try:
            await asyncio.wait({waiter.granted, given_up}, return_when=asyncio.FIRST_COMPLETED)
            if not waiter.granted.done():
                raise Interrupted("given up")
            waiter.granted.result()
        finally:
            if waiter in locks.waiters:
                locks.waiters.remove(waiter)

    async def _closed_soon(
        self, locks: _Locks, owner: int, wanted: LockedRange, handle: int, blockers: set[int]
    ) -> bool:
        """Return whether *owner* has got *wanted* since those in the way were being closed."""
        if not all(locks.handles[other] <= self._closing for other in blockers):
            return False
        loop = asyncio.get_running_loop()
        late: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(CLOSING_S, late.set_result, None)
        try:
            await self._wait(locks, owner, wanted, handle, late)
        except Interrupted:
            # It was another descriptor of theirs, as a child has that ends: not asked again for it.
            self._closing -= {theirs for other in blockers for theirs in locks.handles[other]}
            return False
        finally:
            timer.cancel()
        return True

    def _closes_a_circle(self, owner: int, blockers: set[int]) -> bool:
        """Return whether one of *blockers*, for whom *owner* would wait, waits for him: on any files."""
        waiting: defaultdict[int, list[tuple[_Locks, LockedRange]]] = defaultdict(list)
        for file, locks in self._files.items():
            for waiter in () if file.whole else locks.waiters:
                waiting[waiter.owner].append((locks, waiter.wanted))
        ahead, seen = set(blockers), set[int]()
        while ahead:
            other = ahead.pop()
            if other == owner:
                return True
            seen.add(other)
            for locks, wanted in waiting[other]:
                ahead |= locks.blockers(other, wanted) - seen
        return False

    def _end(self, file: LockedFile, owner: int) -> None:
        self.unlock(file, owner)
        locks = self._files.get(file)
        if locks is not None:
            locks.handles.pop(owner, None)
            if not locks.handles and not locks.waiters:
                assert not locks.table.count
                del self._files[file]


def _tables_of(ino: InodeNo) -> tuple[LockedFile, LockedFile]:
    return LockedFile(ino, whole=True), LockedFile(ino, whole=False)


def _nobody() -> None:
    """Nobody waits for a file to be without locks."""


def _convert(locks: _Locks, owner: int, wanted: LockedRange) -> None:
    """Take the `flock` of *owner* if it is of the other kind: it is not kept until the new one is.

    So it is lost if he does not wait for the new one, as on every Linux file system.
    """
    held = locks.table.held(owner)
    if held and held[0].exclusive != wanted.exclusive:
        locks.table.clear(owner, 0, LAST_BYTE)
        # He comes first, and the others if there is something in his way.
        if not locks.table.is_free(owner, wanted):
            locks.grant()
