"""Mounts through the compiled channel, and without it."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest
from daemon_fixture import BLOCK, Workstation, eventually, workstations
from lab.system_calls import KEEP_SIZE, PUNCH_HOLE, fallocate

from lucidnode.fs.kernel.mountpoint import mounted_at

pytestmark = pytest.mark.fuse

READS_OF_EACH = 20

CHANNEL_THREADS = 15
"""Readers, the two that serve the socket to pyfuse3, and one that sees to readers whom a disk keeps."""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Workstation]:
    with workstations(tmp_path) as [only]:
        yield only


def channel_threads(pid: int) -> int:
    names = [path.read_text().strip() for path in Path(f"/proc/{pid}/task").glob("*/comm")]
    return names.count("channel")


@pytest.mark.parametrize("channel", [True, False])
def test_a_mount_works_alike_with_the_channel_and_without(
    node: Workstation, *, channel: bool
) -> None:
    node.channel = channel
    pid = node.mount()
    assert channel_threads(pid) == (CHANNEL_THREADS if channel else 0)
    content = Random(1).randbytes(5 * BLOCK + 77)
    file = node.mountpoint / "file"
    file.write_bytes(content)
    for number in range(300):
        (node.mountpoint / f"{number:0200}").touch()
    os.setxattr(file, "user.large", content[:60_000])
    assert os.getxattr(file, "user.large") == content[:60_000]
    assert len(os.listdir(node.mountpoint)) == 301
    node.unmount()
    node.mount()
    assert file.read_bytes() == content
    with file.open("r+b") as open_file:
        open_file.seek(BLOCK - 3)
        open_file.write(b"middle")
        open_file.truncate(2 * BLOCK)
    expected = content[: BLOCK - 3] + b"middle" + content[BLOCK + 3 : 2 * BLOCK]
    assert file.read_bytes() == expected
    subprocess.run(["cp", file, node.mountpoint / "copy"], check=True)
    assert (node.mountpoint / "copy").read_bytes() == expected
    with file.open("r+b") as open_file:
        refused = contextlib.nullcontext() if channel else pytest.raises(OSError, match="supported")
        for mode in (0, KEEP_SIZE, KEEP_SIZE | PUNCH_HOLE):
            with refused:
                fallocate(open_file.fileno(), mode, 2 * BLOCK, BLOCK)
    assert file.stat().st_size == (3 if channel else 2) * BLOCK


def test_requests_are_as_long_as_the_kernel_lets_them_be(node: Workstation) -> None:
    node.mount()
    file = os.open(node.mountpoint / "file", os.O_RDWR | os.O_CREAT)
    content = Random(2).randbytes(3 * 1024 * 1024)
    assert os.write(file, content) == len(content)
    os.close(file)
    file = os.open(node.mountpoint / "file", os.O_RDONLY | os.O_DIRECT)
    try:
        assert os.pread(file, len(content), 0) == content
    finally:
        os.close(file)


def test_somebody_elses_unmount_ends_the_mount(node: Workstation) -> None:
    node.mount()
    (node.mountpoint / "file").write_bytes(b"kept")
    subprocess.run(["umount", node.mountpoint], check=True)
    node.wait_for_end()
    assert mounted_at(node.mountpoint) is None
    node.mount()
    assert (node.mountpoint / "file").read_bytes() == b"kept"


def test_an_unmount_under_load_ends_in_order(node: Workstation) -> None:
    node.mount()
    (node.mountpoint / "file").write_bytes(bytes(BLOCK))
    ended = threading.Event()
    rounds: list[int] = []

    def load() -> None:
        while not ended.is_set():
            try:
                os.listdir(node.mountpoint)
                (node.mountpoint / "file").read_bytes()
            except OSError:
                ended.wait(0.01)
            rounds.append(1)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(rounds) > 100)
        node.unmount()
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def answered_in_c(node: Workstation) -> int:
    """Return how many reads the mounts that have ended answered in C."""
    return sum(int(number) for number in re.findall(r"'answered': (\d+)", node.log()))


class Model:
    """What a file holds, and the same steps on the real one, through handles that bypass pages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = bytearray()
        self.handles = [os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT) for _ in range(3)]

    def step(self, random: Random) -> None:
        handle = random.choice(self.handles)
        size = len(self.content)
        match random.choices(
            ("read", "write", "cut", "sync", "save", "reopen"), weights=(70, 8, 3, 8, 2, 4)
        )[0]:
            case "read":
                for _ in range(4):
                    offset, length = random.randrange(size + 2), random.randrange(1, 3 * BLOCK)
                    expected = self.content[offset : offset + length]
                    assert os.pread(handle, length, offset) == expected
            case "write":
                offset, data = (
                    random.randrange(size + 1),
                    random.randbytes(random.randrange(1, BLOCK)),
                )
                assert os.pwrite(handle, data, offset) == len(data)
                self.content[offset : offset + len(data)] = data
            case "cut":
                size = random.randrange(6 * BLOCK)
                os.ftruncate(handle, size)
                self.content = self.content[:size].ljust(size, b"\0")
            case "sync":
                os.fsync(handle)
            case "save":
                # As editors do; the old handles go on with the old file, so they are opened anew.
                self.content = bytearray(random.randbytes(random.randrange(6 * BLOCK)))
                new = self.path.with_name("new")
                new.write_bytes(self.content)
                new.rename(self.path)
                self.close()
                self.handles = [os.open(self.path, os.O_RDWR | os.O_DIRECT) for _ in range(3)]
            case "reopen":
                self.handles.remove(handle)
                os.close(handle)
                self.handles.append(os.open(self.path, os.O_RDWR | os.O_DIRECT))

    def close(self) -> None:
        for handle in self.handles:
            os.close(handle)


@pytest.mark.parametrize("seed", range(2))
def test_a_read_in_c_sees_what_was_written_before(node: Workstation, seed: int) -> None:
    node.mount()
    random = Random(seed)
    model = Model(node.mountpoint / "file")
    for _ in range(600):
        model.step(random)
    model.close()
    node.unmount()
    assert answered_in_c(node) > 30


def test_a_read_in_c_never_goes_back_behind_what_another_node_wrote(tmp_path: Path) -> None:
    with workstations(tmp_path, 2) as [here, there]:
        here.mount()
        there.mount()
        size = 2 * BLOCK
        file = here.mountpoint / "file"
        file.write_bytes(bytes(size))
        eventually(lambda: os.path.exists(there.mountpoint / "file"))
        eventually(lambda: (there.mountpoint / "file").read_bytes() == bytes(size))
        reader = os.open(file, os.O_RDONLY | os.O_DIRECT)
        with (there.mountpoint / "file").open("r+b", buffering=0) as writer:
            for version in range(1, 8):
                writer.seek(0)
                writer.write(bytes([version]) * size)
                os.fsync(writer)
                seen = version - 1
                while seen < version:
                    # Below the longest request: one request, one version.
                    content = os.pread(reader, size, 0)
                    assert len(content) == size
                    assert len(set(content)) == 1
                    assert content[0] in {seen, version}
                    seen = content[0]
                for _ in range(READS_OF_EACH):
                    assert os.pread(reader, size, 0) == bytes([version]) * size
        os.close(reader)
        here.unmount()
        assert answered_in_c(here) > 30


def test_reads_in_c_are_counted(node: Workstation) -> None:
    node.mount()
    file = node.mountpoint / "file"
    file.write_bytes(Random(3).randbytes(8 * BLOCK))
    node.unmount()
    node.mount()
    handle = os.open(file, os.O_RDONLY | os.O_DIRECT)
    for _ in range(10):
        for offset in range(0, 8 * BLOCK, 65536):
            assert len(os.pread(handle, 65536, offset)) == 65536
    os.close(handle)
    eventually(lambda: sum_read(node) == 10 * 8 * BLOCK)
    assert sum(node.stats().requests["read"].counts) == 10 * 8 * BLOCK // 65536
    node.unmount()
    assert answered_in_c(node) > 30


def sum_read(node: Workstation) -> int:
    stats = node.stats()
    return (
        stats.read_memory
        + stats.read_cache
        + stats.read_peer
        + stats.read_bucket
        + stats.read_unsent
    )


def test_a_block_that_rots_on_the_disk_is_fetched_again(node: Workstation) -> None:
    node.mount()
    content = Random(4).randbytes(4 * BLOCK)
    file = node.mountpoint / "file"
    file.write_bytes(content)
    eventually(lambda: os.getxattr(file, "user.lucid.state") == b"cloud")
    handle = os.open(file, os.O_RDONLY | os.O_DIRECT)
    for _ in range(3):
        assert os.pread(handle, len(content), 0) == content
    blocks = [path for path in node.blocks_dir.rglob("*") if path.is_file()]
    for path in blocks:
        with path.open("r+b") as block:
            block.seek(70_000)
            block.write(b"rotten")
    assert os.pread(handle, len(content), 0) == content
    os.close(handle)


def regions(path: Path) -> list[tuple[int, int]]:
    """Return [start, stop) of the data in a file, as `cp` and `tar` ask for it."""
    found: list[tuple[int, int]] = []
    handle = os.open(path, os.O_RDONLY)

    def ask() -> None:
        at = 0
        while True:
            start = os.lseek(handle, at, os.SEEK_DATA)
            at = os.lseek(handle, start, os.SEEK_HOLE)
            found.append((start, at))

    with pytest.raises(OSError, match="No such device or address"):
        ask()
    os.close(handle)
    return found


def test_holes_are_found_and_what_may_be_written_is_all_data(node: Workstation) -> None:
    node.mount()
    file = node.mountpoint / "file"
    far = 1 << 40
    handle = os.open(file, os.O_RDWR | os.O_CREAT)
    os.pwrite(handle, bytes(range(256)) * 1024, BLOCK)
    os.pwrite(handle, b"end", far)
    os.ftruncate(handle, far + BLOCK)
    assert regions(file) == [(0, far + BLOCK)]
    os.close(handle)
    assert regions(file) == [(BLOCK, 2 * BLOCK), (far, far + 3)]
    with file.open("rb") as held, pytest.raises(OSError, match="No such device or address"):
        os.lseek(held.fileno(), far + BLOCK, os.SEEK_HOLE)
    (node.mountpoint / "dense").write_bytes(b"x" * (3 * BLOCK + 5))
    assert regions(node.mountpoint / "dense") == [(0, 3 * BLOCK + 5)]
    (node.mountpoint / "empty").touch()
    assert regions(node.mountpoint / "empty") == []
    node.unmount()
    node.mount()
    assert regions(file) == [(BLOCK, 2 * BLOCK), (far, far + 3)]
    with file.open("rb") as held, pytest.raises(OSError, match="No such device or address"):
        os.lseek(held.fileno(), far + BLOCK, os.SEEK_HOLE)
    subprocess.run(["cp", file, node.home / "copy"], check=True)
    assert (node.home / "copy").stat().st_size == far + BLOCK
    with (node.home / "copy").open("rb") as copy:
        copy.seek(BLOCK)
        assert copy.read(BLOCK) == bytes(range(256)) * 1024
        copy.seek(far)
        assert copy.read(3) == b"end"


def kernel_release() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(re.sub(r"\D.*", "", minor))


def test_what_is_opened_to_append_is_mapped_and_written_in_place(node: Workstation) -> None:
    node.mount()
    file = node.mountpoint / "file"
    file.write_bytes(b"a" * 10_000)
    handle = os.open(file, os.O_RDWR | os.O_APPEND)
    if kernel_release() < (6, 6):
        with pytest.raises(OSError, match="No such device"):
            mmap.mmap(handle, 0)
        return
    with mmap.mmap(handle, 0) as mapped:
        mapped[5000:5003] = b"map"
        os.write(handle, b"end")
        mapped.flush()
        mapped[0:3] = b"map"
        mapped.flush()
        os.fsync(handle)
    expected = b"map" + b"a" * 4997 + b"map" + b"a" * 4997 + b"end"
    assert os.pread(handle, 20_000, 0) == expected
    fcntl.fcntl(handle, fcntl.F_SETFL, 0)
    os.pwrite(handle, b"seek", 100)
    expected = expected[:100] + b"seek" + expected[104:]
    assert os.pread(handle, 20_000, 0) == expected
    os.close(handle)
    assert file.read_bytes() == expected


def asked(node: Workstation, operation: str) -> int:
    """Return how many requests of one kind the mount has answered."""
    times = node.stats().requests.get(operation)
    return 0 if times is None else sum(times.counts)


def test_cp_shares_the_blocks_of_a_large_file(node: Workstation) -> None:
    node.mount()
    content = Random(5).randbytes(40 * BLOCK + 99)
    file, copy = node.mountpoint / "file", node.mountpoint / "copy"
    file.write_bytes(content)
    # What is counted here is told a second later: up to the end of this file.
    eventually(lambda: asked(node, "flush") == 1)
    before = {operation: asked(node, operation) for operation in ("read", "write")}
    subprocess.run(["cp", "--reflink=auto", "--sparse=auto", file, copy], check=True)
    eventually(lambda: asked(node, "flush") == 2)  # that of the source is answered in C
    assert asked(node, "copy_file_range") <= 4
    assert {operation: asked(node, operation) for operation in ("read", "write")} == before
    assert copy.read_bytes() == content
    with copy.open("r+b") as open_file:
        open_file.seek(BLOCK)
        open_file.write(b"only here")
    assert file.read_bytes() == content
    eventually(lambda: os.getxattr(copy, "user.lucid.state") == b"cloud")
    node.remount_empty()
    changed = content[:BLOCK] + b"only here" + content[BLOCK + 9 :]
    assert (file.read_bytes(), copy.read_bytes()) == (content, changed)


def test_fallocate_makes_files_longer_and_holes(node: Workstation) -> None:
    node.mount()
    file = node.mountpoint / "file"
    file.write_bytes(b"x" * (4 * BLOCK))
    handle = os.open(file, os.O_RDWR)
    with mmap.mmap(handle, 0) as mapped:
        mapped[BLOCK : BLOCK + 5] = b"dirty"
        fallocate(handle, KEEP_SIZE | PUNCH_HOLE, BLOCK + 2, 2 * BLOCK)
        assert mapped[BLOCK : BLOCK + 5] == b"di\0\0\0"
    os.posix_fallocate(handle, 4 * BLOCK, 1 << 40)
    assert os.fstat(handle).st_size == 4 * BLOCK + (1 << 40)
    fallocate(handle, KEEP_SIZE, 0, 1 << 50)
    os.ftruncate(handle, 4 * BLOCK)
    # FUSE knows no more modes than these.
    for mode in (0x08, 0x20):
        with pytest.raises(OSError, match="not supported"):
            fallocate(handle, mode, 0, BLOCK)
    with pytest.raises(OSError, match="too large"):
        fallocate(handle, 0, 1 << 53, 1)
    os.close(handle)
    expected = b"x" * BLOCK + b"di" + bytes(2 * BLOCK) + b"x" * (BLOCK - 2)
    assert file.read_bytes() == expected
    assert regions(file) == [(0, BLOCK + 2), (3 * BLOCK + 2, 4 * BLOCK)]
    eventually(lambda: file.stat().st_blocks * 512 <= 2 * BLOCK + 512)


def test_statx_knows_what_stat_knows_and_no_time_of_birth(node: Workstation) -> None:
    node.mount()
    file = node.mountpoint / "file"
    file.write_bytes(b"12345")
    said = subprocess.run(
        ["stat", "--format=%W %w %s %i", file], check=True, capture_output=True, text=True
    )
    assert said.stdout.split() == ["0", "-", "5", str(file.stat().st_ino)]


def test_a_listing_is_held_by_the_kernel_until_something_there_changes(tmp_path: Path) -> None:
    with workstations(tmp_path, 2) as [here, there]:
        here.mount()
        there.mount()
        folder, elsewhere = here.mountpoint / "folder", there.mountpoint / "folder"
        folder.mkdir()
        for name in ("gone", "kept", "moved"):
            (folder / name).touch()
        eventually(lambda: elsewhere.exists() and len(os.listdir(elsewhere)) == 3)
        assert os.listdir(folder) == ["gone", "kept", "moved"]

        def five_ask_nothing() -> bool:
            requests = here.requests()
            for _ in range(5):
                # The kernel asks anew if its OPENDIR comes before the RELEASEDIR of the last.
                here.requests()
                assert os.listdir(folder) == ["gone", "kept", "moved"]
            after = here.requests()
            assert after["opendir"] == requests["opendir"] + 5
            return after["readdir"] == requests["readdir"]

        # It is held for some seconds, in which a slow machine lists it less often.
        eventually(five_ask_nothing)
        (folder / "ours").touch()
        assert os.listdir(folder) == ["gone", "kept", "moved", "ours"]
        assert os.listdir(folder) == ["gone", "kept", "moved", "ours"]
        (elsewhere / "new").touch()
        (elsewhere / "gone").unlink()
        (elsewhere / "moved").rename(elsewhere / "here")
        eventually(lambda: os.listdir(folder) == ["here", "kept", "new", "ours"])
