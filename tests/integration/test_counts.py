"""How often the kernel asks a mount: no more than docs/benchmarks/counts.md records."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from counts_record import recorded
from daemon_fixture import eventually, workstations

pytestmark = pytest.mark.fuse

ROUNDS = 10

READ_FILES = 60

CALLED = 100


def work(folder: Path) -> None:
    """Do what the page says, ROUNDS times each."""
    folder.mkdir()
    files = [folder / f"{number:02}" for number in range(ROUNDS)]
    for file in files:
        file.write_bytes(b"x" * 4096)
    for file in files:
        with file.open("ab") as opened:
            opened.write(b"line\n")
    for file in files:
        assert len(file.read_bytes()) == 4101
    for file in files:
        new = file.with_suffix(".new")
        new.write_bytes(b"y" * 4096)
        new.replace(file)
    for file in files:
        file.rename(file.with_suffix(".old"))
    for number in range(ROUNDS):
        (folder / f"directory {number:02}").mkdir()
    for _ in range(ROUNDS):
        for entry in os.scandir(folder):
            entry.stat()
            for name in ("security.capability", "system.posix_acl_access"):
                with pytest.raises(OSError, match="not supported"):
                    os.getxattr(entry.path, name)
    for file in files:
        file.with_suffix(".old").unlink()


def fill(folder: Path) -> None:
    """Have the kernel know a directory of files that it has not read."""
    folder.mkdir()
    for number in range(READ_FILES):
        (folder / f"{number:02}").write_bytes(b"z" * 4096)
    walk(folder)


def walk(folder: Path) -> None:
    for name in os.listdir(folder):
        (folder / name).stat()


def use_a_known_tree(folder: Path) -> None:
    """Do what the page says of a tree that is known."""
    walk(folder)
    for file in folder.iterdir():
        handle = os.open(file, os.O_RDONLY | os.O_DIRECT)
        assert len(os.read(handle, 4096)) == 4096
        os.close(handle)
    for _ in range(2):
        walk(folder)


def test_the_kernel_asks_no_more_often_than_is_recorded(tmp_path: Path) -> None:
    with workstations(tmp_path) as [node]:
        node.mount()
        work(node.mountpoint / "folder")
        asked = node.requests()
        check(asked, "Requests of the kernel")
        fill(node.mountpoint / "known")
        before = node.requests()
        use_a_known_tree(node.mountpoint / "known")
        after = node.requests()
    walked = {kind: count - before.get(kind, 0) for kind, count in after.items()}
    check(walked, "A tree that is known")


def test_a_mount_makes_no_more_system_calls_than_are_recorded(tmp_path: Path) -> None:
    with workstations(tmp_path) as [node]:
        pid = node.mount()
        folder = node.mountpoint / "folder"
        folder.mkdir()
        names = [folder / f"{number:03}" for number in range(CALLED)]
        for name in names:
            name.with_suffix(".read").write_bytes(b"x" * 4096)

        def missing(name: Path) -> None:
            assert not name.with_suffix(".none").exists()

        def read(name: Path) -> None:
            assert len(name.with_suffix(".read").read_bytes()) == 4096

        operations: dict[str, Callable[[Path], object]] = {
            "look up a name that is not there": missing,
            "mkdir": Path.mkdir,
            "rename": lambda name: name.rename(name.with_suffix(".new")),
            "rmdir": lambda name: name.with_suffix(".new").rmdir(),
            "open, read 4 KiB and close": read,
        }
        calls = {
            what: calls_of(pid, tmp_path / "calls", names, operation)
            for what, operation in operations.items()
        }
    check(calls, "System calls")


def calls_of(pid: int, log: Path, names: list[Path], operation: Callable[[Path], object]) -> int:
    """Return the system calls of all threads of *pid* for one *operation*, done with each of *names*."""
    tasks = Path(f"/proc/{pid}/task")
    with subprocess.Popen(
        ["strace", "-f", "-c", "-p", str(pid), "-o", log], stderr=subprocess.DEVNULL
    ) as tracing:
        untraced = re.compile("^TracerPid:\t0$", re.MULTILINE)
        eventually(
            lambda: (
                not any(untraced.search((task / "status").read_text()) for task in tasks.iterdir())
            )
        )
        for name in names:
            operation(name)
        tracing.send_signal(signal.SIGINT)
    total = re.search(
        r"^100\.00 +[0-9.]+ +[0-9]+ +([0-9]+).* total$", log.read_text(), re.MULTILINE
    )
    assert total is not None, log.read_text()
    return math.ceil(int(total[1]) / len(names))


def check(asked: dict[str, int], heading: str) -> None:
    bounds = recorded(heading)
    grown = {kind: count for kind, count in asked.items() if count > bounds.get(kind, 0)}
    assert not grown, f"more than docs/benchmarks/counts.md records: {grown}"
