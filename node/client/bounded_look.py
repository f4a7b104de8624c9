"""One look at a disk that may hang, for who cannot go on without its answer."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 10.0
"""A hard disk that sleeps needs most of that to start."""


def answer_of(directory: Path, look: Callable[[Path], T], *, within_s: float | None = None) -> T:
    """Return what *look*, which blocks on the disk of *directory*, says of that. Blocking.

    Raises what it raises, and TimeoutError, with the directory, if the disk does not answer: in *within_s*, or else PATIENCE_S.
    The thread in which it looks keeps no process from ending.
    """
    within_s = PATIENCE_S if within_s is None else within_s
    said: list[T] = []
    faults: list[BaseException] = []

    def work() -> None:
        try:
            said.append(look(directory))
        except BaseException as fault:  # noqa: BLE001  # raised where it is waited for
            faults.append(fault)

    thread = threading.Thread(target=work, name="disk-answer", daemon=True)
    thread.start()
    thread.join(within_s)
    if faults:
        raise faults[0]
    if not said:
        raise OSError(
            errno.ETIMEDOUT, f"its disk does not answer (for {within_s:g} s)", str(directory)
        )
    return said[0]
