"""Progress of long work, on a terminal only. rich is loaded when there is something to show."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from lucidnode.cli.output import size


@contextlib.contextmanager
def spinner(doing: str) -> Iterator[Callable[[str], None] | None]:
    """Show *doing* while the block runs; gives what changes the words, None without a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415  # 50 ms that `status | jq` need not wait

    with Console(stderr=True).status(doing) as status:
        yield status.update


@contextlib.contextmanager
def transferred(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar under *doing* with the rate and the time left; gives what is told bytes that came."""
    if not sys.stderr.isatty():
        yield lambda _came: None
        return
    from rich.console import Console  # noqa: PLC0415  # as above
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda came: progress.update(task, advance=came)


@contextlib.contextmanager
def bytes_left(doing: str) -> Iterator[Callable[[float], None]]:
    """Show a bar under *doing* with rate and time left; gives what is told the bytes that are left, of the most it heard."""
    if not sys.stderr.isatty():
        yield lambda _left: None
        return
    from rich.console import Console  # noqa: PLC0415  # as above
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[left]} left"),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=None, left="", visible=False)
        most = 0.0

        def show(left: float) -> None:
            nonlocal most
            most = max(most, left)
            progress.update(
                task, total=most, completed=most - left, left=size(left), visible=most > 0
            )

        yield show


@contextlib.contextmanager
def work_left(doing: str, total: int, *, in_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """Show a bar under *doing* with rate and time left; gives what is told what was done of *total*."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console  # noqa: PLC0415  # as above
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=total, words="")

        def show(done: int) -> None:
            progress.update(task, advance=done)
            current = progress.tasks[0]
            amount = [size(n) if in_bytes else f"{n:,.0f}" for n in (current.completed, total)]
            rate = current.speed or 0.0
            each = f"{size(rate)}/s" if in_bytes else f"{rate:,.0f}/s"
            progress.update(task, words=f"{amount[0]} of {amount[1]}, {each}")

        yield show
