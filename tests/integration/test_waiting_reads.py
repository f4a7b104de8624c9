"""Programs that wait for the network through a real mount: whom they hold up, and how they end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest
from daemon_fixture import BLOCK, Workstation, eventually, workstations

pytestmark = pytest.mark.fuse

READERS = 100
"""Many more than the twelve reads that the kernel lets a mount have under way by itself."""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Workstation]:
    with workstations(tmp_path) as [only]:
        only.mount()
        yield only


def make_cold(node: Workstation, blocks: int) -> None:
    """Leave `cold`, which only the network has, and `warm`, which lies on this disk."""
    cold = node.mountpoint / "cold"
    cold.write_bytes(Random(1).randbytes(blocks * BLOCK))
    eventually(lambda: os.getxattr(cold, "user.lucid.state") == b"cloud")
    node.unmount()
    node.evict()
    node.mount()
    (node.mountpoint / "warm").write_bytes(Random(2).randbytes(BLOCK))


@contextlib.contextmanager
def waiting(node: Workstation, *programs: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield *programs*, run in the mount, once they wait for blocks of `cold`, which do not come."""
    node.bucket.frozen = True
    readers = [
        subprocess.Popen(program, cwd=node.mountpoint, stdout=subprocess.DEVNULL)
        for program in programs
    ]
    try:
        eventually(lambda: all(waits(reader.pid) for reader in readers))
        yield readers
    finally:
        node.bucket.frozen = False
        for reader in readers:
            reader.wait()


def waits(pid: int) -> bool:
    """Tell whether the program has `cold` open, and waits for a page of it."""
    held: list[str] = []
    with contextlib.suppress(FileNotFoundError):  # what it closes, or it, while this looks
        held.extend(file.readlink().name for file in Path(f"/proc/{pid}/fd").iterdir())
    if "cold" not in held:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "SD"


def test_what_needs_no_network_does_not_wait_behind_reads_that_do(node: Workstation) -> None:
    make_cold(node, READERS)
    programs = [
        ["dd", "if=cold", "bs=64k", "count=1", f"skip={4 * number}", "status=none"]
        for number in range(READERS)
    ]
    with waiting(node, *programs) as readers:
        subprocess.run(
            ["sh", "-c", "ls -l && stat warm && touch new && cat warm"],
            cwd=node.mountpoint,
            stdout=subprocess.DEVNULL,
            timeout=40,
            check=True,
        )
        assert all(reader.poll() is None for reader in readers)
    assert [reader.returncode for reader in readers] == [0] * READERS


SAVING = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
saved = os.open("saved", os.O_WRONLY | os.O_CREAT)
os.write(saved, bytes(5000))
os.fsync(saved)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_a_program_that_waits_for_its_bytes_to_be_in_the_cloud(
    tmp_path: Path, number: signal.Signals
) -> None:
    with workstations(tmp_path) as [node]:
        node.mount(durability="cloud")
        node.bucket.cut = True
        saved = node.mountpoint / "saved"
        with subprocess.Popen([sys.executable, "-c", SAVING], cwd=node.mountpoint) as writer:
            try:
                eventually(lambda: saved.exists() and saved.stat().st_size == 5000)
                wchan = Path(f"/proc/{writer.pid}/wchan")
                eventually(lambda: wchan.read_text() == "request_wait_answer")
                writer.send_signal(number)
                assert writer.wait(40) == -number
            finally:
                node.bucket.cut = False
        eventually(lambda: os.getxattr(saved, "user.lucid.state") == b"cloud")
        assert saved.read_bytes() == bytes(5000)


MAPPED = """
import mmap, os, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
mmap.mmap(os.open("cold", os.O_RDONLY), 0, prot=mmap.PROT_READ)[0]
"""


def ends(program: subprocess.Popen[bytes]) -> int:
    """Wait for the end of *program*, and return how it ended; else say what holds it up."""
    try:
        return program.wait(30)
    except subprocess.TimeoutExpired:
        threads = Path(f"/proc/{program.pid}/task").iterdir()
        where = [
            f"{file}: {(thread / file).read_text()}"
            for thread in threads
            for file in ("stack", "syscall")
        ]
        pytest.fail(f"it does not end: {where}")


def test_a_signal_ends_a_program_that_waits_for_the_network_at_once(node: Workstation) -> None:
    make_cold(node, 1)
    programs = {
        # Whoever runs the tests may have them ignore signals (`nohup`).
        "read": ["env", "--default-signal", "cat", "cold"],
        "a page fault": ["env", "--default-signal", sys.executable, "-c", MAPPED],
    }
    ended: dict[str, float] = {}
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        for how, program in programs.items():
            with waiting(node, program) as [reader]:
                began = time.monotonic()
                reader.send_signal(number)
                assert ends(reader) == -number, how
                ended[f"{how}, {number.name}"] = time.monotonic() - began
    assert max(ended.values()) < 20, ended  # the network does not answer at all
