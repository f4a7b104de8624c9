"""Notifications reach the kernel in order, from a thread of their own, whatever it answers."""

from __future__ import annotations

import errno
import threading
import time

import pytest

from lucidnode.fs.kernel.invalidation import Invalidation
from lucidnode.fs.replica.inode import ROOT, InodeNo

_PATIENCE_S = 30.0


class Kernel:
    """Notes what it is told; blocks, or fails with *error*, if asked to."""

    def __init__(self, error: int = 0) -> None:
        self.told: list[object] = []
        self.threads: set[int] = set()
        self.free = threading.Event()
        self.free.set()
        self.stuck = threading.Event()
        """Set unless a read of file 5 is under way: its pages are dropped behind that."""
        self.stuck.set()
        self._error = error

    def invalidate_inode(self, ino: InodeNo, *, attributes_only: bool) -> None:
        if ino == 5 and not attributes_only:
            assert self.stuck.wait(_PATIENCE_S)
        self._note((ino, attributes_only))

    def invalidate_entry(self, parent: InodeNo, name: bytes) -> None:
        self._note((parent, name))

    def wait_for(self, count: int) -> None:
        """Return once the kernel was told *count* things."""
        end = time.monotonic() + _PATIENCE_S
        while len(self.told) < count:
            assert time.monotonic() < end
            threading.Event().wait(0.001)

    def wait_until_told(self, what: object) -> None:
        """Return once the kernel was told *what*."""
        end = time.monotonic() + _PATIENCE_S
        while what not in self.told:
            assert time.monotonic() < end
            threading.Event().wait(0.001)

    def _note(self, what: object) -> None:
        assert self.free.wait(_PATIENCE_S)
        self.threads.add(threading.get_ident())
        self.told.append(what)
        if self._error:
            raise OSError(self._error, "no")


def test_an_open_file_loses_its_attributes_in_order_and_its_pages_when_it_can() -> None:
    kernel = Kernel()
    with Invalidation(kernel) as invalidation:
        invalidation.name(ROOT, b"file")
        invalidation.inode(InodeNo(5), is_open=True)
        invalidation.inode(InodeNo(6), is_open=False)
        kernel.wait_for(4)
    assert [told for told in kernel.told if told != (5, False)] == [
        (ROOT, b"file"),
        (5, True),
        (6, False),
    ]
    assert (5, False) in kernel.told
    assert threading.get_ident() not in kernel.threads


def test_pages_that_wait_for_a_read_hold_up_no_names_and_are_dropped_once() -> None:
    kernel = Kernel()
    kernel.stuck.clear()
    with Invalidation(kernel) as invalidation:
        for _ in range(100):
            invalidation.inode(InodeNo(5), is_open=True)
        invalidation.name(ROOT, b"file")
        kernel.wait_until_told((ROOT, b"file"))
        assert (5, False) not in kernel.told
        kernel.stuck.set()
        kernel.wait_until_told((5, False))
    assert kernel.told.count((5, False)) <= 2


def test_what_the_kernel_does_not_know_stops_nothing() -> None:
    kernel = Kernel(errno.ENOENT)
    with Invalidation(kernel) as invalidation:
        for number in range(2, 10):
            invalidation.inode(InodeNo(number), is_open=False)
        kernel.wait_for(8)


def test_a_kernel_that_blocks_holds_nobody_up() -> None:
    kernel = Kernel()
    kernel.free.clear()
    with Invalidation(kernel) as invalidation:
        for number in range(2, 1000):
            invalidation.inode(InodeNo(number), is_open=False)
        assert kernel.told == []
        kernel.free.set()
        kernel.wait_for(998)


def test_a_refusal_that_nobody_expects_is_logged(expected_warnings: list[str]) -> None:
    expected_warnings.append("the kernel refused an invalidation")
    kernel = Kernel(errno.EPERM)
    with Invalidation(kernel) as invalidation:
        invalidation.inode(InodeNo(2), is_open=False)
        kernel.wait_for(1)


def _answer_at_its_end(invalidation: Invalidation, kernel: Kernel) -> None:
    """Have *kernel* answer once *invalidation* takes nothing more, and waits for it."""
    while not invalidation._soon._ended:
        threading.Event().wait(0.001)
    kernel.free.set()


def test_what_is_queued_when_the_mount_ends_is_dropped() -> None:
    kernel = Kernel()
    kernel.free.clear()
    with Invalidation(kernel) as invalidation:
        for number in range(2, 1000):
            invalidation.inode(InodeNo(number), is_open=False)
        answering = threading.Thread(target=_answer_at_its_end, args=(invalidation, kernel))
        answering.start()
    answering.join()
    assert len(kernel.told) <= 1
    invalidation.inode(InodeNo(5), is_open=False)
    assert len(kernel.told) <= 1


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.ENODEV, errno.ENOTCONN])
def test_a_kernel_that_has_unmounted_is_told_nothing_more_and_nobody_is_warned(error: int) -> None:
    kernel = Kernel(error)
    with Invalidation(kernel) as invalidation:
        for number in range(2, 100):
            invalidation.inode(InodeNo(number), is_open=False)
        kernel.wait_for(1)
    assert len(kernel.told) == 1
