"""Lock files, folders and links that programs on two mounts make at once, and whole trees on one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from counts_record import recorded
from daemon_fixture import Workstation, eventually, workstations

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(180)]

ROUNDS = 20

OTHERS = 10
"""Folders, links, nodes and renames among them."""

FILES = 200
FOLDERS = 10

_MAKERS = """
import ctypes, errno, os, sys
folder, who, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
os.chdir(folder)

def exclusive(name):
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

def linked(name):
    os.link("of " + who, name)

def moved(name):
    spare = "spare " + name + who
    open(spare, "w").close()
    if libc.renameat2(-100, spare.encode(), -100, name.encode(), 1):
        raise OSError(ctypes.get_errno(), name)

open("of " + who, "w").close()
others = ((os.mkdir, "Bin.lock"), (linked, "index.lock"), (moved, "HEAD"),
    (lambda name: os.symlink(who, name), ".#notes"), (os.mknod, "lock"))
for number in range(rounds):
    lock = (exclusive, ("Cut.avb.lck", "~$budget.xlsx")[number % 2])
    for make, name in (lock, others[number % len(others)]) if number < 2 * len(others) else (lock,):
        sys.stdin.readline()
        try:
            make(f"{number:02} {name}")
            print("won", flush=True)
        except FileExistsError:
            print("lost", flush=True)
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workstation, Workstation]]:
    with workstations(tmp_path_factory.mktemp("pair"), 2) as [one, other]:
        one.mount()
        other.mount()
        yield one, other


def _made_at_once(makers: list[subprocess.Popen[str]]) -> list[str]:
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    return sorted(maker.stdout.readline().strip() for maker in makers if maker.stdout is not None)


def test_of_what_two_mounts_make_at_once_one_wins_each_time(
    pair: tuple[Workstation, Workstation],
) -> None:
    folders = [node.mountpoint / "shared" for node in pair]
    folders[0].mkdir()
    eventually(folders[1].exists)
    command = [sys.executable, "-c", _MAKERS]
    with contextlib.ExitStack() as stack:
        makers = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, folder, who, str(ROUNDS)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
            )
            for folder, who in zip(folders, ("ana", "ben"), strict=True)
        ]  # fmt: skip
        outcomes = [_made_at_once(makers) for _ in range(ROUNDS + OTHERS)]
    assert outcomes == [["lost", "won"]] * (ROUNDS + OTHERS)
    assert [maker.returncode for maker in makers] == [0, 0]
    eventually(lambda: sorted(os.listdir(folders[0])) == sorted(os.listdir(folders[1])))
    assert not [name for name in os.listdir(folders[0]) if "conflict" in name]


def _has_frames(folder: Path, count: int) -> bool:
    return sum(1 for _ in folder.rglob("*.exr")) == count


def test_who_copies_and_unpacks_a_tree_waits_for_nobody(
    pair: tuple[Workstation, Workstation], tmp_path: Path
) -> None:
    """Whoever of the two holds the root's row: what is made here is held by nature."""
    source = tmp_path / "tree"
    for folder in range(FOLDERS):
        (source / str(folder)).mkdir(parents=True)
        for number in range(FILES // FOLDERS):
            (source / str(folder) / f"{number}.exr").write_bytes(b"x" * 1000)
    with tarfile.open(archive := tmp_path / "tree.tar", "w") as packed:
        packed.add(source, "unpacked")
    one, two = pair
    for node, other, who in ((one, two, "ana"), (two, one, "ben")):
        home = node.mountpoint / f"home of {who}"
        home.mkdir()
        eventually((other.mountpoint / home.name).exists)
        before = node.bucket.entries()
        node.bucket.cut = True
        try:
            subprocess.run(["cp", "-r", source, home / "copied"], check=True)
            subprocess.run(["tar", "xf", archive, "-C", home], check=True)
        finally:
            node.bucket.cut = False
        theirs = other.mountpoint / home.name
        eventually(partial(_has_frames, theirs, 2 * FILES), 60)
        assert (
            node.bucket.entries() - before <= recorded("Entries of whole trees")["copy and unpack"]
        )
        assert "does not answer" not in node.log()
