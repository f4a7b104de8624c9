"""Locks of one mount: who waits, who comes first, what ends a lock, and circles."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from lucidnode.fs.errors import Deadlock, FileError, Interrupted, LockHeld, NoLocks
from lucidnode.fs.files.file_locks import MAX_LOCKS, FileLocks, LockedFile
from lucidnode.fs.files.lock_table import LAST_BYTE, LockedRange
from lucidnode.fs.replica.inode import InodeNo

INO = InodeNo(5)
POSIX = LockedFile(INO, whole=False)
OTHER = LockedFile(InodeNo(6), whole=False)
FLOCK = LockedFile(INO, whole=True)


class Locker:
    """Someone with locks: owner, process and handle have one number."""

    def __init__(self, locks: FileLocks, number: int, tasks: asyncio.TaskGroup) -> None:
        self._locks = locks
        self.number = number
        self._tasks = tasks
        self.given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def now(
        self, *, exclusive: bool, file: LockedFile = POSIX, start: int = 0, last: int = LAST_BYTE
    ) -> Awaitable[None]:
        wanted = LockedRange(start, last, exclusive, self.number)
        return self._locks.lock(file, self.number, wanted, self.number, None)

    async def waiting(
        self, *, exclusive: bool, file: LockedFile = POSIX, start: int = 0, last: int = LAST_BYTE
    ) -> asyncio.Task[FileError | None]:
        """Return the wait, begun; it results in why it was in vain."""
        wanted = LockedRange(start, last, exclusive, self.number)
        task = self._tasks.create_task(
            _outcome(self._locks.lock(file, self.number, wanted, self.number, self.given_up))
        )
        await _settled()
        return task


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_waits_comes_in_order_and_shared_locks_together() -> None:
    locks = FileLocks(MAX_LOCKS)
    async with asyncio.TaskGroup() as tasks:
        one, two, three, four = (Locker(locks, number, tasks) for number in range(1, 5))
        await one.now(exclusive=True)
        second = await two.waiting(exclusive=False)
        third = await three.waiting(exclusive=True)
        fourth = await four.waiting(exclusive=False)
        assert locks.count == 4
        locks.unlock(POSIX, 1)
        await _settled()
        assert second.done()
        assert fourth.done()
        assert not third.done()
        locks.unlock(POSIX, 2)
        await _settled()
        assert not third.done()
        locks.flushed(INO, 4, 4)
        await _settled()
        assert third.done()
        locks.flushed(INO, 3, 3)
    for number in range(1, 5):
        locks.released(INO, number)
    assert locks.count == 0


async def test_a_lock_that_becomes_shared_lets_others_in() -> None:
    locks = FileLocks(MAX_LOCKS)
    async with asyncio.TaskGroup() as tasks:
        one, two = Locker(locks, 1, tasks), Locker(locks, 2, tasks)
        await one.now(exclusive=True, last=9)
        with pytest.raises(LockHeld):
            await two.now(exclusive=False, start=9)
        second = await two.waiting(exclusive=False)
        await one.now(exclusive=False)
        assert await second is None
        with pytest.raises(LockHeld):
            await one.now(exclusive=True)
        # What he had he keeps.
        assert locks.in_the_way(POSIX, 2, LockedRange(0, 0, True, 2)) == LockedRange(
            0, LAST_BYTE, False, 1
        )


async def test_a_flock_of_the_other_kind_is_not_kept_until_the_new_one_is_there() -> None:
    locks = FileLocks(MAX_LOCKS)
    async with asyncio.TaskGroup() as tasks:
        one, two, three = (Locker(locks, number, tasks) for number in range(1, 4))
        await one.now(exclusive=False, file=FLOCK)
        await two.now(exclusive=False, file=FLOCK)
        with pytest.raises(LockHeld):
            await one.now(exclusive=True, file=FLOCK)
        await two.now(exclusive=True, file=FLOCK)
        third = await three.waiting(exclusive=False, file=FLOCK)
        locks.released(INO, 2)
        assert await third is None
    # The two kinds never meet.
    await Locker(locks, 9, tasks).now(exclusive=True)


async def test_who_gives_up_waits_no_longer_and_is_in_nobodys_way() -> None:
    locks = FileLocks(MAX_LOCKS)
    async with asyncio.TaskGroup() as tasks:
        one, two, three = (Locker(locks, number, tasks) for number in range(1, 4))
        await one.now(exclusive=True)
        second = await two.waiting(exclusive=True)
        third = await three.waiting(exclusive=True)
        two.given_up.set_result(None)
        assert isinstance(await second, Interrupted)
        locks.unlock(POSIX, 1)
        assert await third is None
        # One that was given up before it came waits not at all.
        assert isinstance(await (await two.waiting(exclusive=True)), Interrupted)


async def test_a_circle_is_refused_over_any_files() -> None:
    locks = FileLocks(MAX_LOCKS)
    async with asyncio.TaskGroup() as tasks:
        one, two, three = (Locker(locks, number, tasks) for number in range(1, 4))
        await one.now(exclusive=True, last=9)
        await two.now(exclusive=True, start=10, last=19)
        await three.now(exclusive=True, file=OTHER)
        first = await one.waiting(exclusive=True, start=10, last=19)
        second = await two.waiting(exclusive=True, file=OTHER)
        wanted = LockedRange(0, 0, False, 3)
        with pytest.raises(Deadlock):
            await locks.lock(POSIX, 3, wanted, 3, three.given_up)
        # Who does not wait closes no circle; who breaks it lets the others on.
        with pytest.raises(LockHeld):
            await locks.lock(POSIX, 3, wanted, 3, None)
        locks.unlock(OTHER, 3)
        assert await second is None
        locks.unlock(POSIX, 2)
        assert await first is None


async def test_locks_of_an_open_file_end_with_its_handle() -> None:
    locks = FileLocks(MAX_LOCKS)
    await locks.lock(POSIX, 77, LockedRange(0, 9, True, 1), 1, None)
    # Another descriptor of the program is closed: that ends the locks of the program alone.
    locks.flushed(INO, 1, 500)
    assert locks.count == 1
    locks.released(INO, 1)
    assert locks.count == 0


async def test_who_does_not_wait_waits_for_a_close_that_is_under_way() -> None:
    locks = FileLocks(MAX_LOCKS)
    async with asyncio.TaskGroup() as tasks:
        one, two = Locker(locks, 1, tasks), Locker(locks, 2, tasks)
        await one.now(exclusive=True, file=FLOCK)
        locks.flushed(INO, 1, 500)
        second = tasks.create_task(_outcome(two.now(exclusive=True, file=FLOCK)))
        await _settled()
        assert not second.done()
        locks.released(INO, 1)
        assert await second is None


async def test_who_does_not_wait_is_refused_soon_if_it_was_not_the_last_close() -> None:
    locks = FileLocks(MAX_LOCKS)
    async with asyncio.TaskGroup() as tasks:
        one, two = Locker(locks, 1, tasks), Locker(locks, 2, tasks)
        await one.now(exclusive=True, file=FLOCK)
        locks.flushed(INO, 1, 500)
        with pytest.raises(LockHeld):
            await two.now(exclusive=True, file=FLOCK)
        # And at once the next time: nothing was closed since.
        again = tasks.create_task(_outcome(two.now(exclusive=True, file=FLOCK)))
        await _settled()
        assert isinstance(again.result(), LockHeld)


async def _outcome(work: Awaitable[None]) -> FileError | None:
    try:
        await work
    except FileError as error:
        return error
    return None


async def test_the_end_of_a_mount_lets_all_go_who_wait() -> None:
    locks = FileLocks(MAX_LOCKS)
    async with asyncio.TaskGroup() as tasks:
        one, two = Locker(locks, 1, tasks), Locker(locks, 2, tasks)
        await one.now(exclusive=True)
        second = await two.waiting(exclusive=True)
        locks.stop()
        assert isinstance(await second, NoLocks)
        assert isinstance(await (await two.waiting(exclusive=True)), NoLocks)


async def test_a_file_has_no_more_locks_than_we_keep() -> None:
    locks = FileLocks(max_locks=10)
    for number in range(10):
        wanted = LockedRange(2 * number, 2 * number, False, 1)
        await locks.lock(POSIX, 1, wanted, 1, None)
    with pytest.raises(NoLocks):
        await locks.lock(POSIX, 2, LockedRange(0, 0, False, 2), 2, None)
    with pytest.raises(NoLocks):
        locks.unlock(POSIX, 1, 0, 0)
    locks.unlock(POSIX, 1)
    locks.flushed(INO, 1, 1)
    await locks.lock(POSIX, 2, LockedRange(0, 0, True, 2), 2, None)
