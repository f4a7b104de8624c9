"""A state machine: two mounts of one project, operations in turns, and at once with no word between.

In turns the two are one directory: every result, on either side, is that of a plain directory. At once each
is a directory for itself until they meet; then both show the same, and every line that somebody put
somewhere and did not take away himself is somewhere. At the end an empty cache shows the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from random import Random  # noqa: TID251  # seeded
from typing import Literal, NamedTuple, Protocol, get_args

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from lab.acceptance_one_mount import run_machine, without_times
from lab.command import run
from lab.system_calls import (
    KEEP_SIZE,
    PUNCH_HOLE,
    ZERO_RANGE,
    allocate_on_any_disk,
    copy_range,
    fallocate,
    rename,
)
from lab.tree import differences, tree
from lab.two_nodes import TwoNodes

PACKAGES = ()

_FOLDER = "two"
_EXAMPLES = 25
_STEPS = 10

_NAMES = ("a", "b.txt", "d", "d/a", "d/b", "e")
"""Few, so that the two often mean the same."""

_SIZES = (0, 0, 50, 5_000, 400_000)

_Allocate = Callable[[int, int, int, int], None]

Kind = Literal[
    "put", "save", "append", "unlink", "mkdir", "rmdir", "rename", "link", "symlink",
    "copy", "grow", "punch", "zero",
]  # fmt: skip


class Act(NamedTuple):
    """What a program does; *size* is that of the line which it writes, or of the room it takes.

    A file is punched and zeroed by its first line, so that what is left of it are whole lines.
    """

    kind: Kind
    name: str
    other: str
    size: int


_acts = st.builds(
    Act,
    st.sampled_from(["put", *get_args(Kind), "copy"]),
    st.sampled_from(_NAMES),
    st.sampled_from(_NAMES),
    st.sampled_from(_SIZES),
)


_ALLOCATING = ("grow", "punch", "zero")

_AT_FIRST = (
    Act("put", "a", "", 50),
    Act("put", "b.txt", "", 400_000),
    Act("mkdir", "d", "", 0),
    Act("put", "d/a", "", 5_000),
)


class Mounts(Protocol):
    """Two mounts of one project."""

    @property
    def roots(self) -> tuple[Path, Path]:
        """Where the project is on either."""

    def apart(self) -> AbstractContextManager[None]:
        """Have neither hear of the other for a while; programs do not notice."""

    def await_same(self, folder: str) -> None:
        """Return once nothing is on its way and both show the same *folder*."""


class Lines:
    """Lines that are never the same twice."""

    def __init__(self) -> None:
        self._number = count()
        self.written: set[bytes] = set()

    def new(self, size: int) -> bytes:
        """Return a line of about *size* bytes."""
        number = next(self._number)
        line = b"%d %s\n" % (number, Random(number).randbytes(size // 2).hex().encode())
        self.written.add(line)
        return line


class TwoMounts(RuleBasedStateMachine):
    """Every example has a directory of its own in the project, and a twin on the disk."""

    mounts: Mounts
    plain: Path
    number: count[int]
    allocate: bool
    """Whether both mounts take fallocate(2), as they do with the kernel channel."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = f"{_FOLDER}/{next(self.number)}"
        self.lines = Lines()
        self.roots = [root / self.folder for root in self.mounts.roots]
        self.twin = self.plain / self.folder
        self.roots[0].mkdir()
        self.twin.mkdir(parents=True)
        for act in _AT_FIRST:
            line = self.lines.new(act.size)
            for root in (self.roots[0], self.twin):
                _do(root, act, line)
        self.mounts.await_same(self.folder)

    @rule(turns=st.lists(st.tuples(st.integers(0, 1), _acts), min_size=1, max_size=3))
    def in_turns(self, turns: list[tuple[int, Act]]) -> None:
        for which, act in turns:
            if not self._is_known(act):
                continue
            line = self.lines.new(act.size)
            theirs = _outcome(self.twin, act, line, allocate_on_any_disk)
            ours = _outcome(self.roots[which], act, line)
            assert ours == theirs, f"{act}: the mount says {ours}, the disk {theirs}"
            self.mounts.await_same(self.folder)
        self._assert_is_the_twin()

    @rule(acts=st.tuples(st.lists(_acts, max_size=4), st.lists(_acts, max_size=4)))
    def at_once(self, acts: tuple[list[Act], list[Act]]) -> None:
        base = _lines_of(self.twin)
        left = []
        with self.mounts.apart():
            for root, of_one in zip(self.roots, acts, strict=True):
                alone = self.twin.with_name("alone")
                _copy(self.twin, alone)
                for act in filter(self._is_known, of_one):
                    line = self.lines.new(act.size)
                    theirs = _outcome(alone, act, line, allocate_on_any_disk)
                    ours = _outcome(root, act, line)
                    assert ours == theirs, f"{act}: the mount says {ours}, the disk {theirs}"
                left.append(_lines_of(alone))
                shutil.rmtree(alone)
        self.mounts.await_same(self.folder)
        found = _lines_of(self.roots[0])
        # A line that was there before is gone if either took it away; a new one if nobody did.
        kept = (left[0] - base) | (left[1] - base) | (base & left[0] & left[1])
        assert kept <= found, f"gone: {_numbers(kept - found)} of {_numbers(kept)}"
        assert found <= self.lines.written, f"nobody wrote {_numbers(found - self.lines.written)}"
        shutil.rmtree(self.twin)
        _copy(self.roots[0], self.twin)

    def _is_known(self, act: Act) -> bool:
        return self.allocate or act.kind not in _ALLOCATING

    def teardown(self) -> None:
        self.mounts.await_same(self.folder)
        self._assert_is_the_twin()

    def _assert_is_the_twin(self) -> None:
        for root in self.roots:
            ours, theirs = (without_times(tree(top)) for top in (root, self.twin))
            assert ours == theirs, differences(ours, theirs)


def _copy(source: Path, target: Path) -> None:
    run(["cp", "-a", str(source), str(target)])  # with its hard links


def _outcome(root: Path, act: Act, line: bytes, allocate: _Allocate = fallocate) -> str:
    """Do *act* in *root*; return "" or the name of the error."""
    try:
        _do(root, act, line, allocate)
    except OSError as error:
        return type(error).__name__ + f" {error.errno}"
    return ""


def _do(root: Path, act: Act, line: bytes, allocate: _Allocate = fallocate) -> None:
    path, other = root / act.name, root / act.other
    match act.kind:
        case "put":
            path.write_bytes(line)
        case "save":
            scratch = path.with_name(f".{path.name}.tmp")
            scratch.write_bytes(line)
            try:
                scratch.replace(path)
            except OSError:
                scratch.unlink()
                raise
        case "append":
            with path.open("ab") as file:
                file.write(line)
        case "unlink":
            path.unlink()
        case "mkdir":
            path.mkdir()
        case "rmdir":
            path.rmdir()
        case "rename":
            rename(path, other)
        case "link":
            other.hardlink_to(path)
        case "symlink":
            path.symlink_to(act.other)
        case "copy":
            with path.open("rb") as file, other.open("r+b") as target:
                end = os.fstat(target.fileno()).st_size
                size = os.fstat(file.fileno()).st_size
                copy_range(file.fileno(), 0, target.fileno(), end, size)
        case "grow":
            with path.open("r+b") as file:
                allocate(file.fileno(), 0, os.fstat(file.fileno()).st_size, act.size)
        case "punch" | "zero":
            mode = ZERO_RANGE if act.kind == "zero" else PUNCH_HOLE | KEEP_SIZE
            with path.open("r+b") as file:
                start, size = _first_line(file.read())
                allocate(file.fileno(), mode, start, size)


def _first_line(content: bytes) -> tuple[int, int]:
    """Return where the first line is, and its size; 0 bytes if there is none."""
    start = len(content) - len(content.lstrip(b"\0"))
    return start, max(0, content.find(b"\n", start) + 1 - start)


def _lines_of(root: Path) -> set[bytes]:
    """Return every line in the files below *root*; zeros are none."""
    return {
        written
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
        for line in path.read_bytes().splitlines(keepends=True)
        if (written := line.strip(b"\0"))
    }


def _numbers(lines: set[bytes]) -> list[str]:
    return sorted(line.split()[0].decode() for line in lines if line.split())


def between(mounts: Mounts, plain: Path, *, allocate: bool = True) -> type[TwoMounts]:
    """Return the machine for *mounts*, with a plain directory to compare with."""
    (mounts.roots[0] / _FOLDER).mkdir()
    fields = {"mounts": mounts, "plain": plain, "number": count(), "allocate": allocate}
    return type("Between", (TwoMounts,), fields)


class _OfLab:
    """Implements Mounts on two workstations of a lab."""

    def __init__(self, nodes: TwoNodes) -> None:
        self._nodes = nodes
        self.roots = nodes.here, nodes.there

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        daemons = [station.record.daemon for station in (self._nodes.a, self._nodes.b)]
        for daemon in daemons:
            assert daemon is not None
            daemon.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for daemon in daemons:
                assert daemon is not None
                daemon.signal(signal.SIGCONT)

    def await_same(self, folder: str) -> None:
        self._nodes.await_same(folder)


def run_trial(nodes: TwoNodes, extent: float) -> str:
    """See the module."""
    examples = max(3, round(_EXAMPLES * extent))
    machine = between(_OfLab(nodes), nodes.local)
    run_machine(machine, examples=examples, steps=_STEPS, derandomize=False)
    names = nodes.check(_FOLDER)
    return f"{examples} examples of {_STEPS} rounds, in turns and at once; {names} names"
