"""What is open on one workstation stays readable there, whatever another one does with its name."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_fixture import BLOCK, eventually, workstations

pytestmark = pytest.mark.fuse

_READER = """
import sys
path, wanted = sys.argv[1], int(sys.argv[2])
seen, count = set(), 0
while count < wanted or len(seen) < 20:
    with open(path, "rb") as file:
        data = file.read()
    assert data and data == data[:4] * (len(data) // 4), f"a mix, or half of it: {data[:8]}, {len(data)}"
    seen.add(data[:4])
    count += 1
print(count, len(seen))
"""
"""Reads a file by path again and again: one version, whole, each time, and no error ever."""


_MAPPED = """
import mmap, sys, time
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
half = len(mapped) // 2
assert mapped[:half] == b"1" * half
print("mapped", flush=True)
sys.stdin.readline()
deadline = time.monotonic() + 15
while mapped[:] != b"2" * len(mapped):
    assert time.monotonic() < deadline, "old pages beside new ones, for good"
    time.sleep(0.05)
print("new", flush=True)
"""
"""Maps a file, looks at half of it, and later only at the map: nothing else asks for the file."""


@pytest.fixture(scope="module")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    with workstations(tmp_path_factory.mktemp("held"), 2) as nodes:
        for node in nodes:
            node.mount()
        yield nodes[0].mountpoint, nodes[1].mountpoint


@pytest.fixture
def pair(mounts: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Return one directory, empty, as each of two workstations has it."""
    one, other = (mount / tmp_path.name for mount in mounts)
    one.mkdir()
    eventually(other.exists)
    return one, other


def reads(path: Path, data: bytes) -> None:
    """Return once *path* reads as *data*."""
    eventually(lambda: path.read_bytes() == data)


def shared(one: Path, other: Path, data: bytes = b"as it was") -> Path:
    """Write `file` on *one*; return it on *other* once it is there."""
    (one / "file").write_bytes(data)
    eventually(lambda: (other / "file").exists() and (other / "file").read_bytes() == data)
    return other / "file"


def save(path: Path, data: bytes) -> None:
    """Save as editors do: a new file beside, then a rename over the old one."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(data)
    beside.replace(path)


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_an_open_file_is_readable_until_its_last_close(pair: tuple[Path, Path], how: str) -> None:
    one, other = pair
    data = os.urandom(3 * BLOCK + 5)
    path = shared(one, other, data)
    with path.open("rb") as file, path.open("rb") as again:
        file.read(100)
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            if how == "deleted":
                (one / "file").unlink()
                eventually(lambda: not path.exists())
            else:
                save(one / "file", b"another")
                reads(path, b"another")
            found = os.fstat(file.fileno())
            assert (found.st_nlink, found.st_size) == (0, len(data))
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.seek(0)
            assert file.read() == data
            assert mapped[:] == data
        file.close()
        assert again.read() == data


def test_readers_by_path_see_whole_versions_while_another_node_saves_by_rename(
    pair: tuple[Path, Path],
) -> None:
    one, other = pair
    path = shared(one, other, b"0000" * 20_000)
    with subprocess.Popen(
        [sys.executable, "-c", _READER, path, "4000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as reader:
        number = 0
        while reader.poll() is None:
            number += 1
            save(one / "file", b"%04d" % (number % 10_000) * (20_000 + number % 7))
        assert reader.stdout is not None
        assert reader.stderr is not None
        assert reader.returncode == 0, reader.stderr.read()
    assert number > 20


def test_what_is_written_to_a_file_deleted_elsewhere_comes_back_under_its_name(
    pair: tuple[Path, Path],
) -> None:
    one, other = pair
    path = shared(one, other)
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        (one / "file").unlink()
        eventually(lambda: not path.exists())
        file.write(b", and more")
    assert path.read_bytes() == b"as it was, and more"
    eventually((one / "file").exists)
    reads(one / "file", b"as it was, and more")


def test_what_is_written_to_a_file_replaced_elsewhere_is_a_conflict_copy(
    pair: tuple[Path, Path],
) -> None:
    one, other = pair
    path = shared(one, other)
    with path.open("r+b") as file:
        save(one / "file", b"another")
        reads(path, b"another")
        os.ftruncate(file.fileno(), 2)
        file.seek(2)
        file.write(b" we like it")
    for node in pair:
        eventually(lambda: len(os.listdir(one)) == len(os.listdir(other)) == 2)
        [copy] = set(os.listdir(node)) - {"file"}
        assert copy.startswith("file (conflict, edit-1, ")
        reads(node / copy, b"as we like it")
        assert (node / "file").read_bytes() == b"another"


def test_a_program_that_opens_to_write_finds_what_is_in_the_place_of_the_old_file(
    pair: tuple[Path, Path],
) -> None:
    one, other = pair
    path = shared(one, other)
    with path.open("rb") as held:
        ended = threading.Event()

        def saves() -> None:
            while not ended.is_set():
                save(one / "file", b"another")

        saver = threading.Thread(target=saves)
        saver.start()
        try:
            for _ in range(100):
                with path.open("r+b"):
                    pass
        finally:
            ended.set()
            saver.join(20)
        assert held.read() == b"as it was"
    assert sorted(os.listdir(one)) == ["file"]


def test_a_map_of_a_file_rewritten_elsewhere_shows_the_new_content_alone(
    pair: tuple[Path, Path],
) -> None:
    one, other = pair
    size = 3 * BLOCK
    (one / "file").write_bytes(b"1" * size)
    eventually(lambda: (other / "file").exists() and (other / "file").stat().st_size == size)
    # A process of its own: a page fault holds the interpreter's lock, and the daemon needs it.
    with subprocess.Popen(
        [sys.executable, "-c", _MAPPED, other / "file"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stderr is not None
        assert reader.stdout.readline() == "mapped\n"
        with (one / "file").open("r+b") as file:
            file.write(b"2" * size)
        eventually(lambda: os.getxattr(one / "file", "user.lucid.state") == b"cloud")
        reader.stdin.close()
        assert reader.stdout.readline() == "new\n", reader.stderr.read()
