"""Mounts through the compiled channel, and without it."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest
from daemon_fixture import BLOCK, Workstation, eventually, workstations

from lucidnode.fs.kernel.mountpoint import mounted_at

pytestmark = pytest.mark.fuse

CHANNEL_THREADS = 6
"""Readers, and the two that serve the socket to pyfuse3."""


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
    assert file.read_bytes() == content[: BLOCK - 3] + b"middle" + content[BLOCK + 3 : 2 * BLOCK]


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
