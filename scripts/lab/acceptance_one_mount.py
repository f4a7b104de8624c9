"""A state machine: the same operations on a mount and on a plain directory, compared one by one.

Results, error numbers, attributes, listings and contents have to be the same, and at the end all of it
once more through an empty cache.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random  # noqa: TID251  # seeded
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from lab.errors import LabError
from lab.system_calls import (
    EXCHANGE,
    KEEP_SIZE,
    NOREPLACE,
    PUNCH_HOLE,
    ZERO_RANGE,
    allocate_on_any_disk,
    copy_range,
    fallocate,
    rename,
)
from lab.tree import Tree, differences, tree
from lab.two_nodes import TwoNodes

PACKAGES = ()

_FOLDER = "one"
_EXAMPLES = 150
_STEPS = 60

_NAMES = ("a", "ü", "d", "d/a", "d/d", "d/d/a", "e")
_PLACES = (0, 1, 4_095, 4_096, 70_000, 262_143, 262_144, 300_000, 1_048_570)
_LENGTHS = (0, 1, 100, 4_096, 70_000, 300_000)

_names = st.sampled_from(_NAMES)
_places = st.sampled_from(_PLACES)
_slots = st.integers(0, 2)
_data = st.builds(
    lambda seed, size: Random(seed).randbytes(size), st.integers(0, 9), st.sampled_from(_LENGTHS)
)
_attributes = st.sampled_from(["user.scene", "user.take"])


def without_times(found: Tree) -> Tree:
    """Return *found* without what each file system's clock says."""
    return {name: msgspec.structs.replace(entry, modified_ns=0) for name, entry in found.items()}


class OneMount(RuleBasedStateMachine):
    """Every example has a directory of its own on the mount, and its twin on the disk."""

    mounted: Path
    plain: Path
    number: count[int]
    allocates: bool
    """Whether the mount takes fallocate(2), as it does with the kernel channel."""

    def __init__(self) -> None:
        super().__init__()
        name = str(next(self.number))
        self.roots = [self.mounted / name, self.plain / name]
        for root in self.roots:
            root.mkdir()
            (root / "a").write_bytes(b"a" * 70_000)
            (root / "d" / "d").mkdir(parents=True)
            (root / "d" / "a").write_bytes(b"d/a")
        self.handles: list[dict[int, int]] = [{}, {}]

    def both(self, act: Callable[[Path, dict[int, int]], Any]) -> None:
        """Do *act* on both; what comes of it has to be the same."""
        ours, theirs = (
            _outcome(act, root, handles)
            for root, handles in zip(self.roots, self.handles, strict=True)
        )
        assert ours == theirs, f"the mount says {_short(ours)}, the disk {_short(theirs)}"

    def teardown(self) -> None:
        for handles in self.handles:
            for handle in handles.values():
                os.close(handle)
        ours, theirs = (without_times(tree(root)) for root in self.roots)
        assert ours == theirs, differences(ours, theirs)

    # -- by path -------------------------------------------------------------------------------

    @rule(
        name=_names,
        at=_places,
        data=_data,
        flags=st.sampled_from([0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_TRUNC,
                               os.O_CREAT | os.O_EXCL, os.O_CREAT | os.O_APPEND]),
    )  # fmt: skip
    def write(self, name: str, at: int, data: bytes, flags: int) -> None:
        def act(root: Path, _: dict[int, int]) -> int:
            handle = os.open(root / name, os.O_WRONLY | flags, 0o644)
            try:
                return (
                    os.write(handle, data) if flags & os.O_APPEND else os.pwrite(handle, data, at)
                )
            finally:
                os.close(handle)

        self.both(act)

    @rule(name=_names, size=_places)
    def truncate(self, name: str, size: int) -> None:
        self.both(lambda root, _: os.truncate(root / name, size))

    @rule(name=_names)
    def read(self, name: str) -> None:
        self.both(lambda root, _: (root / name).read_bytes())

    @rule(name=_names, follow=st.booleans())
    def look(self, name: str, follow: bool) -> None:
        self.both(lambda root, _: _shown((root / name).stat(follow_symlinks=follow)))

    @rule(name=st.sampled_from([".", *_NAMES]))
    def listing(self, name: str) -> None:
        self.both(lambda root, _: sorted(os.listdir(root / name)))  # noqa: PTH208

    @rule(name=_names)
    def mkdir(self, name: str) -> None:
        self.both(lambda root, _: (root / name).mkdir())

    @rule(name=_names)
    def rmdir(self, name: str) -> None:
        self.both(lambda root, _: (root / name).rmdir())

    @rule(name=_names)
    def unlink(self, name: str) -> None:
        self.both(lambda root, _: (root / name).unlink())

    @rule(old=_names, new=_names, flags=st.sampled_from([0, 0, 0, NOREPLACE, EXCHANGE]))
    def move(self, old: str, new: str, flags: int) -> None:
        self.both(lambda root, _: rename(root / old, root / new, flags))

    @rule(old=_names, new=_names)
    def link(self, old: str, new: str) -> None:
        self.both(lambda root, _: (root / new).hardlink_to(root / old))

    @rule(to=st.sampled_from(["a", "d", "../a", "nowhere", "b", "x" * 300]), name=_names)
    def symlink(self, to: str, name: str) -> None:
        self.both(lambda root, _: (root / name).symlink_to(to))

    @rule(name=_names)
    def readlink(self, name: str) -> None:
        self.both(lambda root, _: str((root / name).readlink()))

    @rule(name=_names, mode=st.sampled_from([0o600, 0o644, 0o755, 0o4755, 0o1777]))
    def chmod(self, name: str, mode: int) -> None:
        self.both(lambda root, _: (root / name).chmod(mode))

    @rule(name=_names, owner=st.sampled_from([-1, 0, 1000]), group=st.sampled_from([-1, 0, 1000]))
    def chown(self, name: str, owner: int, group: int) -> None:
        self.both(lambda root, _: os.chown(root / name, owner, group))

    @rule(name=_names, time=st.sampled_from([0, 1, 10**9 + 7, 1_700_000_000_123_456_789]))
    def utime(self, name: str, time: int) -> None:
        def act(root: Path, _: dict[int, int]) -> tuple[int, int]:
            os.utime(root / name, ns=(time, time + 1))
            found = (root / name).stat()
            return found.st_atime_ns, found.st_mtime_ns

        self.both(act)

    @rule(
        name=_names, key=_attributes, value=st.binary(max_size=20), flags=st.sampled_from([0, 1, 2])
    )
    def set_attribute(self, name: str, key: str, value: bytes, flags: int) -> None:
        self.both(lambda root, _: os.setxattr(root / name, key, value, flags))

    @rule(name=_names, key=_attributes)
    def get_attribute(self, name: str, key: str) -> None:
        self.both(lambda root, _: os.getxattr(root / name, key))

    @rule(name=_names, key=_attributes)
    def remove_attribute(self, name: str, key: str) -> None:
        self.both(lambda root, _: os.removexattr(root / name, key))

    # -- by handle -----------------------------------------------------------------------------

    @rule(slot=_slots, name=_names, flags=st.sampled_from([0, os.O_CREAT, os.O_TRUNC, os.O_APPEND]))
    def open(self, slot: int, name: str, flags: int) -> None:
        def act(root: Path, handles: dict[int, int]) -> None:
            handle = os.open(root / name, os.O_RDWR | flags, 0o600)
            if slot in handles:
                os.close(handles[slot])
            handles[slot] = handle

        self.both(act)

    @rule(slot=_slots)
    def close(self, slot: int) -> None:
        self.both(lambda _, handles: os.close(handles.pop(slot)))

    @rule(slot=_slots, at=_places, data=_data)
    def write_held(self, slot: int, at: int, data: bytes) -> None:
        self.both(lambda _, handles: os.pwrite(handles[slot], data, at))

    @rule(slot=_slots, data=_data)
    def append_held(self, slot: int, data: bytes) -> None:
        def act(_: Path, handles: dict[int, int]) -> int:
            os.lseek(handles[slot], 0, os.SEEK_END)
            return os.write(handles[slot], data)

        self.both(act)

    @rule(slot=_slots, at=_places, length=st.sampled_from(_LENGTHS))
    def read_held(self, slot: int, at: int, length: int) -> None:
        self.both(lambda _, handles: os.pread(handles[slot], length, at))

    @rule(slot=_slots, size=_places)
    def truncate_held(self, slot: int, size: int) -> None:
        self.both(lambda _, handles: os.ftruncate(handles[slot], size))

    @rule(
        slot=_slots,
        at=_places,
        length=st.sampled_from(_LENGTHS),
        mode=st.sampled_from([0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE,
                              ZERO_RANGE | KEEP_SIZE]),
    )  # fmt: skip
    def allocate_held(self, slot: int, at: int, length: int, mode: int) -> None:
        def act(root: Path, handles: dict[int, int]) -> None:
            allocate = fallocate if root == self.roots[0] else allocate_on_any_disk
            allocate(handles[slot], mode, at, length)

        if self.allocates:
            self.both(act)

    @rule(slot=_slots, start=_places, to=_slots, at=_places, length=st.sampled_from(_LENGTHS))
    def copy_held(self, slot: int, start: int, to: int, at: int, length: int) -> None:
        self.both(lambda _, handles: copy_range(handles[slot], start, handles[to], at, length))

    @rule(slot=_slots)
    def look_held(self, slot: int) -> None:
        self.both(lambda _, handles: _shown(os.fstat(handles[slot])))

    @rule(slot=_slots, data=st.booleans())
    def sync_held(self, slot: int, data: bool) -> None:
        self.both(lambda _, handles: (os.fdatasync if data else os.fsync)(handles[slot]))

    @rule(slot=_slots, data=_data)
    def write_mapped(self, slot: int, data: bytes) -> None:
        def act(_: Path, handles: dict[int, int]) -> int:
            size = min(os.fstat(handles[slot]).st_size, len(data))
            if size == 0 or fcntl.fcntl(handles[slot], fcntl.F_GETFL) & os.O_APPEND:
                return 0  # what appends is not mapped everywhere (docs/semantics.md)
            with mmap.mmap(handles[slot], 0) as mapped:
                mapped[:size] = data[:size]
                mapped.flush()
            return size

        self.both(act)


def _outcome(
    act: Callable[[Path, dict[int, int]], Any], root: Path, handles: dict[int, int]
) -> tuple[str, Any]:
    try:
        return "ok", act(root, handles)
    except OSError as error:
        return "error", errno.errorcode.get(error.errno or 0)
    except KeyError:
        return "error", "no such handle"


def _shown(found: os.stat_result) -> tuple[int, ...]:
    """Return what two file systems agree on."""
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return found.st_mode, found.st_nlink, found.st_uid, found.st_gid, size


def _short(outcome: tuple[str, Any]) -> str:
    said, value = outcome
    return f"{said}: {len(value)} bytes" if isinstance(value, bytes) else f"{said}: {value}"


def run_machine(
    machine: type[RuleBasedStateMachine], *, examples: int, steps: int, derandomize: bool
) -> None:
    """Run *examples* of *machine*, of at most *steps* each. Raises AssertionError with the shortest.

    Who *derandomizes* runs the same every time, and is shown the first that fails: to look for a shorter
    one takes longer than a test may.
    """
    looking = [Phase.generate] if derandomize else [Phase.generate, Phase.shrink]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=derandomize,
            phases=looking,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )


def beside(mounted: Path, plain: Path, *, allocates: bool = True) -> type[OneMount]:
    """Return the machine for *mounted* and a directory on the disk, both empty."""
    fields = {"mounted": mounted, "plain": plain, "number": count(), "allocates": allocates}
    return type("Beside", (OneMount,), fields)


def run_trial(nodes: TwoNodes, extent: float) -> str:
    """See the module."""
    examples = max(5, round(_EXAMPLES * extent))
    mounted, plain = nodes.here / _FOLDER, nodes.local / _FOLDER
    mounted.mkdir()
    plain.mkdir()
    run_machine(beside(mounted, plain), examples=examples, steps=_STEPS, derandomize=False)
    names = nodes.check(_FOLDER)
    ours, theirs = (without_times(tree(top)) for top in (nodes.there / _FOLDER, plain))
    if wrong := differences(ours, theirs):
        raise LabError("through an empty cache, beside the disk: " + "; ".join(wrong))
    return f"{examples} examples of {_STEPS} steps; {names} names"
