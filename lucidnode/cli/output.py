"""How the command line shows facts: tables for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from lucidnode.cli.printable import printable
from lucidnode.node.client.alerts import BUCKET
from lucidnode.node.client.guarded_disk import TOPIC as CACHE_DISK

if TYPE_CHECKING:
    from rich.table import Table

as_json = click.option("--json", "wants_json", is_flag=True, help="Print JSON for scripts.")


_PIPE_WIDTH = 1 << 20
"""Characters: more than any path, and what is said beside it, has."""

JSON_VERSION = 1
"""Of all that `--json` prints (docs/json.md): another number where a field goes or means something else, none
where one comes."""


def show_json(facts: Any) -> None:
    """Print *facts* as indented JSON on standard output."""
    try:
        click.echo(msgspec.json.format(msgspec.json.encode(facts)).decode())
    except UnicodeEncodeError:  # a name that is no text: its odd bytes are told as \udc80 to \udcff
        click.echo(json.dumps(msgspec.to_builtins(facts), indent=2))


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print one line for each name and its value."""
    table = _table(header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, printable(str(value)))
    _show(table)


def show_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print *rows* under *columns*; figures are aligned to the right."""
    table = _table(header=True)
    listed = [list(row) for row in rows]
    for index, column in enumerate(columns):
        figures = bool(listed) and all(_is_figure(row[index]) for row in listed)
        table.add_column(column, justify="right" if figures else "left", overflow="fold")
    for row in listed:
        table.add_row(*(printable(str(value)) for value in row))
    _show(table)


def show_line(words: str, *, err: bool = False) -> None:
    """Print *words*, which tell of names that others chose, as one line of standard output or error."""
    click.echo(printable(words), err=err)


def size(count: float) -> str:
    """Return bytes in the powers of ten in which storage and bandwidth are sold."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        shown = f"{value:.0f}" if unit == "B" else f"{value:.1f}"
        if abs(float(shown)) < 1000:
            return f"{shown} {unit}"
        value /= 1000
    return f"{value:.1f} PB"


def duration(seconds: float) -> str:
    """Return a length of time as people say it: `40 s`, `12 min`, `3 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.0f} h"


def moment(seconds: float) -> str:
    """Return a time, in seconds since 1970, in the zone of this machine."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"


def local_time(form: str, at_ns: int | None) -> str:
    """Return *at_ns*, nanoseconds since 1970, in local time by the *form* of `strftime`; "" for None."""
    if at_ns is None:
        return ""
    try:
        return time.strftime(form, time.localtime(at_ns // 10**9))
    except (OverflowError, ValueError, OSError):  # somebody else wrote it
        return "(no time)"


def day_of(at_ns: int | None) -> str:
    """Return the local date of *at_ns*, nanoseconds since 1970; "" for None."""
    return local_time("%Y-%m-%d", at_ns)


def minute_of(at_ns: int | None) -> str:
    """Return the local date and time of *at_ns*, nanoseconds since 1970; "" for None."""
    return local_time("%Y-%m-%d %H:%M", at_ns)


def counted(count: int, one: str) -> str:
    """Return *count* with its noun: `1 block`, `2 blocks`."""
    return f"{count:,} {one if count == 1 else one + 's'}"


def in_blocks(count: int, blocks: int) -> str:
    """Return bytes and the blocks they are in, or `nothing`."""
    return f"{size(count)} in {counted(blocks, 'block')}" if blocks else "nothing"


def _is_figure(value: object) -> bool:
    return not isinstance(value, str) or value[:1].isdigit() or value.startswith("$")


def _table(*, header: bool) -> Table:
    from rich.table import Table  # noqa: PLC0415  # 50 ms that `status --json` need not wait

    return Table(box=None, pad_edge=False, header_style="bold", show_header=header)


def _show(table: Table) -> None:
    from rich.console import Console  # noqa: PLC0415  # as above

    # Paths and addresses are to be copied, so a pipe gets each of them whole on its line.
    # What looks like markup or the name of an emoji is a part of somebody's file name.
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH, markup=False, emoji=False)
    console.print(table)


def alert_line(alert: dict[str, Any]) -> str:
    """Return what is amiss, what helps, and since when."""
    parts = [f"{alert['mountpoint']}:"] if alert["mountpoint"] else []
    parts += [alert["cause"], alert["remedy"]]
    if alert["since"] is not None:
        since = datetime.fromtimestamp(alert["since"]).astimezone()
        times = f", {alert['count']} times" if alert["count"] > 1 else ""
        parts.append(f"(since {since:%Y-%m-%d %H:%M}{times})")
    return " ".join(part for part in parts if part)


def is_cache_missing(status: dict[str, Any]) -> bool:
    """Return whether the daemon says that it cannot use its cache's disk now."""
    return any(alert["topic"] == CACHE_DISK for alert in status["alerts"])


def is_bucket_amiss(status: dict[str, Any]) -> bool:
    """Return whether the daemon says that it cannot use the bucket now."""
    return any(alert["topic"] == BUCKET for alert in status["alerts"])


def confirm(question: str, *, yes: bool) -> None:
    """Ask *question* unless it was answered with *yes*. Raises Abort, and UsageError without a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is no terminal to ask on: say --yes to do it")
    click.confirm(question, abort=True, err=True)
