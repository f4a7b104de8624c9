"""A program that locks files as it is told, one command on each line: see `lockers.py`."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import struct
import sys
from types import FrameType

_FLOCK = struct.Struct("hhqqi")
"""`struct flock` of 64 bit Linux: type, whence, start, length, process."""


class Locker:
    """Does each command to one file of each directory, and says what came of it."""

    def __init__(self, directories: list[str]) -> None:
        self._directories = directories
        self._open: dict[int, list[int]] = {}

    def open(self, slot: int, name: str) -> list[object]:
        return self._opened(slot, name, os.O_RDWR | os.O_CREAT)

    def open_to_read(self, slot: int, name: str) -> list[object]:
        return self._opened(slot, name, os.O_RDONLY)

    def _opened(self, slot: int, name: str, flags: int) -> list[object]:
        self._open[slot] = [
            os.open(f"{directory}/{name}", flags) for directory in self._directories
        ]
        return []

    def close(self, slot: int) -> list[object]:
        for file in self._open.pop(slot):
            os.close(file)
        return []

    def set(self, slot: int, kind: int, start: int, length: int) -> list[object]:
        return self._each(slot, fcntl.F_SETLK, kind, start, length)

    def wait(self, slot: int, kind: int, start: int, length: int) -> list[object]:
        return self._each(slot, fcntl.F_SETLKW, kind, start, length)

    def test(self, slot: int, kind: int, start: int, length: int) -> list[object]:
        return self._each(slot, fcntl.F_GETLK, kind, start, length)

    def ofd(self, slot: int, kind: int, start: int, length: int) -> list[object]:
        return self._each(slot, fcntl.F_OFD_SETLK, kind, start, length)

    def flock(self, slot: int, operation: int) -> list[object]:
        results: list[object] = []
        for file in self._open[slot]:
            try:
                fcntl.flock(file, operation)
            except OSError as error:
                results.append(error.errno)
            else:
                results.append(0)
        return results

    def handle_alarms(self) -> list[object]:
        """Have SIGALRM end a wait from now on, whoever sends it."""

        def ring(number: int, frame: FrameType | None) -> None:
            raise InterruptedError(errno.EINTR, "interrupted")

        signal.signal(signal.SIGALRM, ring)
        return []

    def wait_until(
        self, slot: int, kind: int, start: int, length: int, seconds: float
    ) -> list[object]:
        """Wait as `wait`, until a signal comes after *seconds*: that is EINTR, whenever it comes."""

        def ring(number: int, frame: FrameType | None) -> None:
            raise InterruptedError(errno.EINTR, "interrupted")

        signal.signal(signal.SIGALRM, ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            said = self._each(slot, fcntl.F_SETLKW, kind, start, length)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except InterruptedError as error:
            return [error.errno]
        return said

    def _each(self, slot: int, command: int, kind: int, start: int, length: int) -> list[object]:
        results: list[object] = []
        for file in self._open[slot]:
            wanted = _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)
            try:
                found = _FLOCK.unpack(fcntl.fcntl(file, command, wanted))
            except OSError as error:
                results.append(error.errno)
            else:
                results.append(list(found) if command == fcntl.F_GETLK else 0)
        return results


def main() -> None:
    """Serve until standard input ends."""
    locker = Locker(sys.argv[1:])
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        sys.stdout.write(json.dumps(getattr(locker, name)(*arguments)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
