"""`flock` and `fcntl` locks on a mount: as on a local disk, step by step."""

from __future__ import annotations

import errno
import fcntl
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest
from daemon_fixture import Workstation, eventually, workstations
from lockers import LockProcess, lock_processes

pytestmark = pytest.mark.fuse

SHARED, EXCLUSIVE, NONE = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    """Yield one mount for all: each test has files of its own."""
    with workstations(tmp_path_factory.mktemp("locks")) as [only]:
        only.mount()
        yield only


def a_step(random: Random, process: LockProcess, slots: set[int], seed: int) -> list[object]:
    """Do something, to the same file here and on the local disk; return what came of it."""
    slot = random.choice(sorted(slots))
    kind = random.choice((SHARED, EXCLUSIVE, NONE))
    start, length = random.randrange(8), random.choice((0, 1, 2, 5))
    match random.choices(("set", "test", "ofd", "flock", "close"), weights=(50, 20, 10, 15, 8))[0]:
        case "set":
            return process.do("set", slot, kind, start, length)
        case "ofd":
            return process.do("ofd", slot, kind, start, length)
        case "test":
            return process.do("test", slot, random.choice((SHARED, EXCLUSIVE)), start, length)
        case "flock":
            how = random.choice((fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN))
            return process.do("flock", slot, how | fcntl.LOCK_NB)
        case _:
            process.do("close", slot)
            opening = random.choice(("open", "open_to_read"))
            process.do(opening, slot, f"{seed} {random.randrange(2)}")
            return []


@pytest.mark.parametrize("seed", range(2))
def test_locks_are_as_on_a_local_disk(node: Workstation, seed: int) -> None:
    random = Random(seed)
    slots = {0, 1}
    with lock_processes(3, node.mountpoint, node.home) as processes:
        for process in processes:
            for slot in slots:
                process.do("open", slot, f"{seed} {slot}")
        found = set()
        for _ in range(700):
            here, there = a_step(random, random.choice(processes), slots, seed) or (0, 0)
            if isinstance(there, list) and there[-1] == -1:
                assert isinstance(here, list)
                # Of a lock of F_OFD_SETLK we name the process that took it.
                assert here[:-1] == there[:-1]
            else:
                assert here == there
            found.add(str(there))
        assert {"0", str(errno.EAGAIN)} < found
        assert len(found) > 20


def test_a_close_of_what_was_only_read_ends_locks_that_came_after_it_was_opened(
    node: Workstation,
) -> None:
    with lock_processes(2, node.mountpoint, node.home) as [one, two]:
        for process in (one, two):
            process.do("open", 0, "closed")
        one.do("open_to_read", 1, "closed")
        one.do("open_to_read", 2, "closed")
        one.do("close", 2)  # nobody has a lock: nothing ends, and the channel knows that
        assert one.do("set", 0, EXCLUSIVE, 0, 10) == [0, 0]
        assert two.do("set", 0, SHARED, 5, 1) == [errno.EAGAIN] * 2
        one.do("close", 1)
        assert two.do("set", 0, SHARED, 5, 1) == [0, 0]


def test_who_waits_for_a_lock_gets_it_when_it_is_let_go(node: Workstation) -> None:
    with lock_processes(3, node.mountpoint) as [one, two, three]:
        for process in (one, two, three):
            process.do("open", 0, "who_waits_for_a_lock")
        assert one.do("set", 0, EXCLUSIVE, 0, 10) == [0]
        for process in (two, three):
            process.begin("wait", 0, EXCLUSIVE, 5, 10)
            eventually(process.waits)
        assert one.do("set", 0, NONE, 5, 1) == [0]
        assert one.do("set", 0, NONE, 6, 10) == [0]
        assert two.end() == [0]
        # Its end ends its locks.
        two.close()
        assert three.end() == [0]
        assert one.do("test", 0, SHARED, 14, 1) == [[EXCLUSIVE, 0, 5, 10, three.process.pid]]


def test_a_signal_ends_the_wait_for_a_lock(node: Workstation) -> None:
    with lock_processes(3, node.mountpoint) as [one, two, three]:
        for process in (one, two, three):
            process.do("open", 0, "a_signal_ends")
        assert one.do("flock", 0, fcntl.LOCK_EX) == [0]
        assert one.do("set", 0, SHARED, 0, 0) == [0]
        two.do("handle_alarms")
        for wait in (("wait", 0, EXCLUSIVE, 0, 0), ("flock", 0, fcntl.LOCK_SH)):
            two.begin(*wait)
            eventually(two.waits)
            two.process.send_signal(signal.SIGALRM)
            assert two.end() == [errno.EINTR]
        three.begin("wait", 0, EXCLUSIVE, 0, 0)
        eventually(three.waits)
        three.process.send_signal(signal.SIGKILL)
        three.process.wait(timeout=30)
        # Nobody of them waits any more, or has got it after all.
        assert one.do("set", 0, NONE, 0, 0) == [0]
        assert one.do("test", 0, EXCLUSIVE, 0, 0) == [[NONE, 0, 0, 0, 0]]


def test_who_would_wait_for_each_other_is_told(node: Workstation) -> None:
    with lock_processes(2, node.mountpoint) as [one, two]:
        for process in (one, two):
            process.do("open", 0, "who_would_wait")
            process.do("open", 1, "other")
        assert one.do("set", 0, EXCLUSIVE, 0, 1) == [0]
        assert two.do("set", 1, EXCLUSIVE, 0, 1) == [0]
        one.begin("wait", 1, EXCLUSIVE, 0, 1)
        eventually(one.waits)
        assert two.do("wait", 0, EXCLUSIVE, 0, 1) == [errno.EDEADLK]
        two.do("close", 1)
        assert one.end() == [0]


def test_an_unmount_lets_go_of_those_who_wait_and_without_the_channel_the_kernel_keeps_locks(
    tmp_path: Path,
) -> None:
    with workstations(tmp_path) as [node]:
        node.mount()
        with lock_processes(2, node.mountpoint) as [one, two]:
            for process in (one, two):
                process.do("open", 0, "file")
            assert one.do("set", 0, EXCLUSIVE, 0, 1) == [0]
            two.begin("wait", 0, EXCLUSIVE, 0, 1)
            eventually(two.waits)
            node.unmount()
            [failed] = two.end()
            assert failed in {errno.ENOLCK, errno.ENOTCONN, errno.ECONNABORTED}
        node.channel = False
        node.mount()
        with lock_processes(2, node.mountpoint) as [one, two]:
            for process in (one, two):
                process.do("open", 0, "file")
            assert one.do("set", 0, EXCLUSIVE, 0, 1) == [0]
            assert two.do("set", 0, EXCLUSIVE, 0, 1) == [errno.EAGAIN]
            assert one.do("flock", 0, fcntl.LOCK_EX) == [0]
            assert two.do("flock", 0, fcntl.LOCK_SH | fcntl.LOCK_NB) == [errno.EAGAIN]
