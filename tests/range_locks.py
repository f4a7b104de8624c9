"""`fcntl` locks of byte ranges by programs on two mounts, against a model that fits on a page.

The model is POSIX for the programs of one mount. Between mounts it is docs/semantics.md, "Locks between
workstations": a file's locks are on one workstation at a time, so any lock there is in the way here.
"""

from __future__ import annotations

import errno
import fcntl
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from lockers import LockProcess

LAST = 1 << 20
"""Stands for the last byte there is."""

_PATIENCE_S = 60.0

_TIMES_OUT_S = 0.2


class HeldRange(NamedTuple):
    """Bytes *start* to *stop*, this one not among them."""

    start: int
    stop: int
    kind: int


class RangeModel:
    """Who holds what of one file. Programs are numbers; each is on a mount."""

    def __init__(self, mount_of: dict[int, int]) -> None:
        self._mount_of = mount_of
        self.held: dict[int, list[HeldRange]] = {who: [] for who in mount_of}

    def in_the_way(self, who: int, wanted: HeldRange) -> list[HeldRange]:
        """Return the locks of others for which *who* cannot have *wanted*."""
        return [
            held
            for other, ranges in self.held.items()
            for held in ranges
            if other != who
            and wanted.kind != fcntl.F_UNLCK
            and (self._is_elsewhere(who, other) or _conflict(held, wanted))
        ]

    def is_elsewhere(self, who: int) -> bool:
        """Tell whether anything is locked on the mount that *who* is not on."""
        return any(ranges and self._is_elsewhere(who, other) for other, ranges in self.held.items())

    def set(self, who: int, wanted: HeldRange) -> None:
        """Have *who* hold *wanted* in the place of what he holds there."""
        left = [
            piece
            for held in self.held[who]
            for piece in (
                held._replace(stop=min(held.stop, wanted.start)),
                held._replace(start=max(held.start, wanted.stop)),
            )
            if piece.start < piece.stop
        ]
        self.held[who] = left if wanted.kind == fcntl.F_UNLCK else [*left, wanted]

    def _is_elsewhere(self, who: int, other: int) -> bool:
        return self._mount_of[who] != self._mount_of[other]


def _conflict(held: HeldRange, wanted: HeldRange) -> bool:
    exclusive = fcntl.F_WRLCK in {held.kind, wanted.kind}
    return exclusive and held.start < wanted.stop and wanted.start < held.stop


_ranges = st.tuples(st.integers(0, 3), st.integers(0, 3))
"""Where a range begins, and its length; 0 is up to the end, as in fcntl(2)."""
_who = st.integers(0, 3)
_acts = st.sampled_from(
    ["lock"] * 8 + ["let go"] * 3 + ["ask"] * 3 + ["wait"] * 2 + ["wait a while", "close", "die"]
)
_locks = st.sampled_from([fcntl.F_RDLCK, fcntl.F_WRLCK])


class RangeLocks(RuleBasedStateMachine):
    """Two programs on each of two mounts, and one file. `locking` gives it its ground."""

    roots: tuple[Path, Path]
    numbers: Iterator[int]
    happened: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.name = f"ranges {next(self.numbers)}"
        (self.roots[0] / self.name).touch()
        _eventually((self.roots[1] / self.name).exists, "the file is seen by the other")
        self.mount_of = {0: 0, 1: 0, 2: 1, 3: 1}
        self.model = RangeModel(self.mount_of)
        self.programs = {who: self._started(who) for who in self.mount_of}
        self.waiting: tuple[int, HeldRange] | None = None

    def teardown(self) -> None:
        """End the programs: what they hold is free, and a wait is over."""
        for program in self.programs.values():
            program.close()

    @rule(what=_acts, who=_who, kind=_locks, span=_ranges)
    def act(self, what: str, who: int, kind: int, span: tuple[int, int]) -> None:
        """Have a program do something. One rule, so that each comes as often as `_acts` says."""
        match what:
            case "lock":
                self.lock(who, kind, span)
            case "let go":
                self.let_go(who, span)
            case "ask":
                self.ask(who, kind, span)
            case "close":
                self.close(who)
            case "die":
                self.die(who)
            case "wait":
                self.wait(who, kind, span)
            case "wait a while":
                self.wait_for_a_while(who, kind, span)
            case _:
                raise ValueError(what)

    def lock(self, who: int, kind: int, span: tuple[int, int]) -> None:
        """Ask for a lock, without waiting."""
        if not self._is_busy(who):
            self._lock(who, _wanted(span, kind), span)

    def let_go(self, who: int, span: tuple[int, int]) -> None:
        """Let go of bytes, which the program may hold or not."""
        if not self._is_busy(who):
            self._lock(who, _wanted(span, fcntl.F_UNLCK), span)

    def ask(self, who: int, kind: int, span: tuple[int, int]) -> None:
        """Ask what is in the way of a lock: F_GETLK."""
        if self._is_busy(who):
            return
        wanted = _wanted(span, kind)
        others = self.model.in_the_way(who, wanted)
        told = self._told(who, wanted, span)
        end = time.monotonic() + _PATIENCE_S
        while told[0] != fcntl.F_UNLCK and not others and time.monotonic() < end:
            # As for `lock`: where no answer comes in three seconds it is said to be locked there.
            told = self._told(who, wanted, span)
        self._count("asked", other=bool(others))
        assert (told[0] != fcntl.F_UNLCK) == bool(others), (who, wanted, told, others)
        if others and not self.model.is_elsewhere(who):
            start, length = told[2], told[3]
            stop = start + length if length else LAST
            # One who holds neighbouring bytes in two steps holds them as one.
            assert any(
                held.kind == told[0] and held.start < stop and start < held.stop for held in others
            ), (told, others)

    def close(self, who: int) -> None:
        """Close the file, by which all its locks are gone, and open it again."""
        if self._is_busy(who):
            return
        self.programs[who].do("close", 0)
        self.programs[who].do("open", 0, self.name)
        self.model.set(who, HeldRange(0, LAST, fcntl.F_UNLCK))
        self._count("closed")
        self._see_who_waits()

    def die(self, who: int) -> None:
        """Kill a program, also one that waits, and start another in its place."""
        self.programs[who].close()
        self.programs[who] = self._started(who)
        self._count("died")
        if self._is_busy(who):
            self.waiting = None
        self.model.set(who, HeldRange(0, LAST, fcntl.F_UNLCK))
        self._see_who_waits()

    def wait(self, who: int, kind: int, span: tuple[int, int]) -> None:
        """Wait for a lock: until another act lets it go, if it is not free."""
        if self.waiting is not None:
            return
        wanted = _wanted(span, kind)
        self.programs[who].begin("wait", 0, kind, *span)
        self.waiting = who, wanted
        if self.model.in_the_way(who, wanted):
            _eventually(self.programs[who].waits, f"{who} waits")
        self._see_who_waits()

    def wait_for_a_while(self, who: int, kind: int, span: tuple[int, int]) -> None:
        """Wait for a lock that nobody lets go, until a signal comes."""
        wanted = _wanted(span, kind)
        if self.waiting is None and self.model.in_the_way(who, wanted):
            [said] = self.programs[who].do("wait_until", 0, kind, *span, _TIMES_OUT_S)
            assert said == errno.EINTR, (who, wanted, said, self.model.held)
            self._count("timed out", other=self.model.is_elsewhere(who))

    # ----------------------------------------------------------------------------------------

    def _lock(self, who: int, wanted: HeldRange, span: tuple[int, int]) -> None:
        others = self.model.in_the_way(who, wanted)
        [said] = self.programs[who].do("set", 0, wanted.kind, *span)
        end = time.monotonic() + _PATIENCE_S
        while said == errno.EAGAIN and not others and time.monotonic() < end:
            # Another node's answer is waited for during three seconds: docs/semantics.md.
            [said] = self.programs[who].do("set", 0, wanted.kind, *span)
        assert said == (errno.EAGAIN if others else 0), (who, wanted, said, self.model.held)
        if wanted.kind == fcntl.F_UNLCK:
            self._count("let go")
        else:
            self._count("refused" if others else "locked", other=self.model.is_elsewhere(who))
        if not others:
            self.model.set(who, wanted)
            self._see_who_waits()

    def _told(self, who: int, wanted: HeldRange, span: tuple[int, int]) -> list[int]:
        [told] = self.programs[who].do("test", 0, wanted.kind, *span)
        assert isinstance(told, list)
        return told

    def _see_who_waits(self) -> None:
        """Have who waits get what is free now, and nobody else."""
        if self.waiting is None:
            return
        who, wanted = self.waiting
        if self.model.in_the_way(who, wanted):
            _eventually(self.programs[who].waits, f"{who} waits on")
            return
        assert self.programs[who].end() == [0]
        self.model.set(who, wanted)
        self.waiting = None
        self._count("waited for and got")

    def _is_busy(self, who: int) -> bool:
        return self.waiting is not None and self.waiting[0] == who

    def _started(self, who: int) -> LockProcess:
        program = LockProcess([self.roots[self.mount_of[who]]])
        program.do("open", 0, self.name)
        return program

    def _count(self, what: str, *, other: bool = False) -> None:
        self.happened[f"{what}, the other mount in the way" if other else what] += 1


def _wanted(span: tuple[int, int], kind: int) -> HeldRange:
    start, length = span
    return HeldRange(start, start + length if length else LAST, kind)


def _eventually(true: object, what: str) -> None:
    end = time.monotonic() + _PATIENCE_S
    assert callable(true)
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.01)  # noqa: TID251  # a test thread, not a loop


def locking(roots: tuple[Path, Path], happened: Counter[str]) -> type[RangeLocks]:
    """Return the machine for the two mounts *roots* of one project; it counts what *happened*."""
    return type(
        "Locking", (RangeLocks,), {"roots": roots, "numbers": count(), "happened": happened}
    )
