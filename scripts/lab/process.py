"""A process that outlives the command that started it, known by more than its pid."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import AnyStr

import msgspec

from lab.errors import LabError


class Process(msgspec.Struct, frozen=True):
    """Names one process for ever: a pid is used again, a pid with its start in one boot is not."""

    pid: int
    started: int
    """Clock ticks after boot (proc(5), stat, field 22)."""
    boot: str

    @staticmethod
    def start(argv: Sequence[str], *, log: Path, env: Mapping[str, str]) -> Process:
        """Start *argv* in / and in a session of its own, its output appended to *log*.

        It has no controlling terminal: Ctrl-C in the shell that made the lab does not reach it.
        Raises LabError when there is no such program.
        """
        if shutil.which(argv[0], path=env.get("PATH")) is None:
            raise LabError(f"{argv[0]} is not installed; run scripts/setup")
        appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        pid = os.posix_spawn(
            "/usr/bin/env",
            # posix_spawn cannot change the directory; the caller's may have to be unmounted.
            ["env", "-C", "/", *argv],
            dict(env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), appending, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        # Ours until we wait for it, so this is its entry even if it ended already.
        return Process(pid, _stat(pid)[1], _this_boot())

    @staticmethod
    def of(pid: int) -> Process:
        """Return the process that has *pid* now. Raises ProcessLookupError when there is none."""
        return Process(pid, _stat(pid)[1], _this_boot())

    def alive(self) -> bool:
        """Return whether this very process still runs (a zombie does not)."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return self._is_current()

    def signal(self, number: signal.Signals) -> bool:
        """Send it a signal; returns False when it has gone. Never reaches another process."""
        with self._pinned() as handle:
            if handle is None:
                return False
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
                return True
            return False

    def ended(self, within: float) -> bool:
        """Wait for its end; returns False when it still runs after *within* seconds."""
        with self._pinned() as handle:
            if handle is not None:
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                poll.poll(max(0, round(within * 1000)))
        return not self.alive()

    def end(self, patience: float) -> None:
        """Ask it to end, then make it: SIGTERM, and SIGKILL after *patience* seconds."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if not self.ended(patience):
            self.kill()

    def kill(self) -> None:
        """Kill it and wait until it has gone."""
        self.signal(signal.SIGKILL)
        # A FUSE process dies only once its last request is aborted; seconds are plenty.
        if not self.ended(10):
            raise LabError(f"process {self.pid} does not die; see /proc/{self.pid}/stack")

    def _is_current(self) -> bool:
        try:
            state, started = _stat(self.pid)
        except ProcessLookupError:
            return False
        return state not in "ZX" and started == self.started and _this_boot() == self.boot

    @contextlib.contextmanager
    def _pinned(self) -> Iterator[int | None]:
        """Yield a pidfd of this process, or None. While it is open the pid means nobody else."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield None
            return
        try:
            yield handle if self._is_current() else None
        finally:
            os.close(handle)


@contextlib.contextmanager
def ending(process: subprocess.Popen[AnyStr]) -> Iterator[subprocess.Popen[AnyStr]]:
    """Kill the child *process* at the end of the block, unless it has ended, and wait for it."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def _stat(pid: int) -> tuple[str, int]:
    """Return state letter and start of *pid*. Raises ProcessLookupError when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    # The name in brackets may hold anything, brackets too: fields count from the last one.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _this_boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
