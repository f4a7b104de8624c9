"""How the command line shows facts: tables for people, JSON for scripts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table


def show_json(facts: Any) -> None:
    """Print *facts* as indented JSON on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(facts)).decode())


def show_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print *rows* under *columns*; numbers are aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    listed = [list(row) for row in rows]
    for index, column in enumerate(columns):
        numeric = bool(listed) and all(isinstance(row[index], int | float) for row in listed)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        table.add_row(*(str(value) for value in row))
    Console().print(table)


def size(count: float) -> str:
    """Return bytes in the powers of ten in which storage and bandwidth are sold."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} PB"
