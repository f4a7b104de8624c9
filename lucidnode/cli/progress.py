"""Progress of long work, on a terminal only. rich is loaded when there is something to show."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lucidnode.cli.output import size
from lucidnode.cli.printable import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LABEL_SHARE = 3
"""Words have this part of the terminal at most: behind a long path there would be no room for figures."""


@contextlib.contextmanager
def spinner(doing: str) -> Iterator[Callable[[str], None] | None]:
    """Show *doing* while the block runs; gives what changes the words, None without a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415  # 50 ms that `status | jq` need not wait
    from rich.text import Text  # noqa: PLC0415  # as above

    # rich takes a string for markup, and a path may look like some.
    with Console(stderr=True).status(Text(printable(doing))) as status:
        yield lambda words: status.update(Text(printable(words)))


@contextlib.contextmanager
def bytes_left(doing: str) -> Iterator[Callable[[float], None]]:
    """Show a bar under *doing* with rate and time left; gives what is told the bytes that are left, of the most it heard."""
    if not sys.stderr.isatty():
        yield lambda _left: None
        return
    with _bar(doing, None) as (progress, task):
        most = 0.0

        def show(left: float) -> None:
            nonlocal most
            most = max(most, left)
            progress.update(task, total=most, completed=most - left, visible=most > 0)
            rate = progress.tasks[0].speed
            progress.update(
                task, figures=f"{size(left)} left" + (f", {size(rate)}/s" if rate else "")
            )

        yield show


@contextlib.contextmanager
def work_left(doing: str, total: int, *, in_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """Show a bar under *doing* with rate and time left; gives what is told what was done of *total*."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    with _bar(doing, total) as (progress, task):

        def show(done: int) -> None:
            progress.update(task, advance=done)
            current = progress.tasks[0]
            amount = [size(n) if in_bytes else f"{n:,.0f}" for n in (current.completed, total)]
            rate = current.speed or 0.0
            each = f"{size(rate)}/s" if in_bytes else f"{rate:,.0f}/s"
            progress.update(task, figures=f"{amount[0]} of {amount[1]}, {each}")

        yield show


@contextlib.contextmanager
def _bar(doing: str, total: int | None) -> Iterator[tuple[Progress, TaskID]]:
    """Show a bar with the field `figures`; of no *total* none yet."""
    from rich.console import Console  # noqa: PLC0415  # as above
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    console = Console(stderr=True)
    words = Column(no_wrap=True, overflow="ellipsis", max_width=console.width // _LABEL_SHARE)
    columns = (
        TextColumn("{task.description}", markup=False, table_column=words),
        BarColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield (
            progress,
            progress.add_task(printable(doing), total=total, figures="", visible=total is not None),
        )
