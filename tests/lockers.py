"""Processes that lock the same files in several directories, and what each says came of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PROGRAM = Path(__file__).with_name("locker.py")


class LockProcess:
    """One of them."""

    def __init__(self, directories: list[Path]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", PROGRAM, *map(str, directories)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, command: str, *arguments: object) -> None:
        """Have it do something that may take until somebody else lets it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([command, *arguments]) + "\n")
        self.process.stdin.flush()

    def end(self) -> list[object]:
        """Return what came of what `begin` began, in each directory: an errno, or what was found."""
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        assert answer, "the process has died"
        results: list[object] = json.loads(answer)
        return results

    def do(self, command: str, *arguments: object) -> list[object]:
        """Return what came of a command."""
        self.begin(command, *arguments)
        return self.end()

    def waits(self) -> bool:
        """Tell whether it waits for an answer of a file system in user space."""
        return "request_wait_answer" in Path(f"/proc/{self.process.pid}/wchan").read_text()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def lock_processes(count: int, *directories: Path) -> Iterator[list[LockProcess]]:
    """Yield *count* processes that lock files in *directories*."""
    processes = [LockProcess(list(directories)) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.close()
