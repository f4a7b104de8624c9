"""A process that others started: told things and waited for, whenever it ends."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path
from types import TracebackType
from typing import Self


class OtherProcess:
    """A hold on one process that never means another. What has ended hears nothing, without a fault."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        try:
            self._handle: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def tell(self, number: signal.Signals) -> None:
        """Send it the signal *number*."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def hangs_in_disk(self) -> bool:
        """Tell whether a thread of it waits for a disk just now, and so cannot even be killed (proc(5), state D)."""
        found = list(Path(f"/proc/{self._pid}/task").glob("*/stat"))
        if self.ends_within(0):
            return False  # what was found may be another's
        with contextlib.suppress(OSError):
            return any(each.read_bytes().rpartition(b") ")[2][:1] == b"D" for each in found)
        return False

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end; tell whether it has ended."""
        return self._handle is None or bool(select.select([self._handle], [], [], seconds)[0])
