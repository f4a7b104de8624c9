"""State machines through real mounts; `scripts/acceptance` runs the same ones for longer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from daemon_fixture import Workstation, eventually, workstations
from lab.acceptance_one_mount import beside, run_machine, without_times
from lab.acceptance_two_mounts import Act, TwoMounts, between
from lab.tree import tree

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Workstation]:
    with workstations(tmp_path) as [only]:
        yield only


@pytest.mark.parametrize(("channel", "examples"), [(True, 15), (False, 5)])
def test_a_mount_answers_like_a_disk_and_so_does_an_empty_cache(
    node: Workstation, tmp_path: Path, examples: int, *, channel: bool
) -> None:
    node.channel = channel
    node.mount()
    plain = tmp_path / "plain"
    plain.mkdir()
    machine = beside(node.mountpoint, plain, allocates=channel)
    run_machine(machine, examples=examples, steps=30, derandomize=True)
    node.remount_empty()
    assert without_times(tree(node.mountpoint)) == without_times(tree(plain))


class Pair:
    """Implements Mounts on the workstations of this process."""

    def __init__(self, nodes: list[Workstation]) -> None:
        self._nodes = nodes
        self._number = count()
        self.roots = nodes[0].mountpoint, nodes[1].mountpoint

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        with self._nodes[0].frozen(), self._nodes[1].frozen():
            yield

    def await_same(self, folder: str) -> None:
        eventually(lambda: self._is_same(folder), 60)
        for one, other in (self.roots, self.roots[::-1]):
            name = f"all before {next(self._number)}"
            (one / name).mkdir()
            eventually((other / name).is_dir, 60)
        eventually(lambda: self._is_same(folder), 60)

    def _is_same(self, folder: str) -> bool:
        try:
            here, there = (tree(root / folder) for root in self.roots)
            return here == there and all(self._is_calm(root / folder) for root in self.roots)
        except OSError:  # it changes still
            return False

    def _is_calm(self, folder: Path) -> bool:
        files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        return all(os.getxattr(path, "user.lucid.state") == b"cloud" for path in files)


def _cross(machine: TwoMounts) -> None:
    """Have each write what the other removes or changes, which few examples would come upon."""
    one = [Act("put", "a", "", 50), Act("unlink", "b.txt", "", 0), Act("append", "d/a", "", 50)]
    other = [Act("unlink", "a", "", 0), Act("save", "b.txt", "", 50), Act("append", "d/a", "", 50)]
    machine.at_once((one, other))
    one = [Act("copy", "b.txt", "d/a", 0), Act("punch", "a", "", 0), Act("grow", "e", "", 50)]
    other = [Act("append", "d/a", "", 50), Act("zero", "b.txt", "", 0), Act("put", "e", "", 50)]
    machine.at_once((one, other))
    machine.in_turns([(0, Act("copy", "d/a", "b.txt", 0)), (1, Act("zero", "b.txt", "", 0))])
    machine.teardown()


@pytest.mark.parametrize(("channel", "examples"), [(True, 2), (False, 1)])
def test_two_mounts_are_one_directory_in_turns_and_lose_nothing_at_once(
    tmp_path: Path, examples: int, *, channel: bool
) -> None:
    """Without the channel on one, beside one with it: they are to be the same."""
    with workstations(tmp_path, 2) as nodes:
        nodes[0].channel = channel
        for node in nodes:
            node.mount()
        machine = between(Pair(nodes), tmp_path / "plain", allocate=channel)
        _cross(machine())
        run_machine(machine, examples=examples, steps=5, derandomize=True)
        shown = tree(nodes[0].mountpoint)
        nodes[1].remount_empty()
        assert tree(nodes[1].mountpoint) == shown
