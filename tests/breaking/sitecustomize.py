"""Python runs this first in a server whose PYTHONPATH names this folder: SIGUSR2 breaks it.

Some supervised work then meets a broken invariant, as if an `assert` of its own had failed. All
else is the real command with its keeper.
"""

from __future__ import annotations

import asyncio
import signal

WORK = {
    "reporting what is read",  # of a mount
    "looking for lost entries",  # of a daemon
}
"""What sleeps most of the time."""


def _broken(*_: object) -> None:
    for task in asyncio.all_tasks():
        if task.get_name() in WORK:
            waits_for = task._fut_waiter  # type: ignore[attr-defined]  # what it sleeps in
            waits_for.set_exception(AssertionError("an invariant that a test broke"))


signal.signal(signal.SIGUSR2, _broken)
