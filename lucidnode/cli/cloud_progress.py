"""How far files are on their way to the cloud, and what is amiss, while a command waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click

from lucidnode.cli.background import facts_if_running
from lucidnode.cli.output import alert_line
from lucidnode.cli.progress import bytes_left
from lucidnode.in_the_cloud import Waited
from lucidnode.node.client.errors import NodeError

_ASK_EVERY_S = 1.0
"""Seconds between two looks at what the daemon says."""

_ASK_FOR_FAULTS_EVERY_S = 3.0
"""The same where nobody sees a bar."""


@contextlib.contextmanager
def cloud_progress(home: Path) -> Iterator[Callable[[Waited], None]]:
    """Show what is left with rate and time left, on a terminal only, and once what is amiss; gives what hears of each look."""
    with bytes_left("on the way to the cloud") as show:
        is_seen = sys.stderr.isatty()
        every_s = _ASK_EVERY_S if is_seen else _ASK_FOR_FAULTS_EVERY_S
        ask_at = 0.0 if is_seen else _ASK_EVERY_S
        told: set[str] = set()

        def looked(waited: Waited) -> None:
            nonlocal ask_at
            if waited.waiting and waited.seconds >= ask_at:
                ask_at = waited.seconds + every_s
                with contextlib.suppress(NodeError):  # what it waits for goes on all the same
                    status = asyncio.run(facts_if_running(home, "status"))
                    show(still_to_go(waited.waiting, status))
                    for line in not_told(status, told):
                        click.echo(f"! {line}", err=True)

        yield looked


def not_told(status: dict[str, Any] | None, told: set[str]) -> Iterator[str]:
    """Yield what is amiss, as the daemon says on `status`, and is not among the *told* causes; it is from then on."""
    for alert in [] if status is None else status["alerts"]:
        if alert["cause"] not in told:
            told.add(alert["cause"])
            yield alert_line(alert)


def still_to_go(waiting: Iterable[Path], status: dict[str, Any] | None) -> int:
    """Return how many bytes of the files *waiting* are not in the cloud, as the daemon says on `status`.

    Of a file that it does not list, which has too many beside it, that is all of it.
    """
    listed = [] if status is None else status["on_their_way"]
    left = {Path(each["mountpoint"], each["path"]): each["bytes_left"] for each in listed}
    real = cache(Path.resolve)  # what is mounted is known by its real path
    return sum(_left(real(path.parent) / path.name, left) for path in waiting)


def _left(path: Path, left: dict[Path, int | None]) -> int:
    known = left.get(path)
    if known is not None:
        return known
    with contextlib.suppress(OSError):  # it may be deleted meanwhile
        return path.lstat().st_size
    return 0
