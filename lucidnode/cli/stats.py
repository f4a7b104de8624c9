"""`lucidnode stats`: what goes on here, interval by interval, as `iostat` shows a disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import count as counting
from pathlib import Path
from typing import Any

import click
import msgspec

from lucidnode.cli.background import facts
from lucidnode.cli.output import as_json, size
from lucidnode.node.config import load_config

_RATES = (
    ("read", ("read_memory", "read_cache", "read_peer", "read_bucket", "read_unsent")),
    ("memory", ("read_memory",)),
    ("cache", ("read_cache",)),
    ("peers", ("read_peer",)),
    ("cloud", ("read_bucket",)),
    ("unsent", ("read_unsent",)),
    ("written", ("written",)),
    ("uploaded", ("uploaded",)),
    ("downloaded", ("downloaded",)),
    ("served", ("served",)),
)
"""What is shown in bytes a second, and the totals that it is made of."""

_HEADER_EVERY = 20
"""Lines below one header."""


@click.command("stats", short_help="Show what goes on here, live.")
@click.argument("interval", type=click.FloatRange(0.1, 86400.0), default=1.0)
@click.argument("count", type=click.IntRange(1), required=False)
@click.option("--operations", is_flag=True, help="One line for each operation of programs.")
@as_json
@click.pass_obj
def stats_command(
    home: Path, interval: float, count: int | None, operations: bool, wants_json: bool
) -> None:
    """Show what goes on on this workstation each INTERVAL seconds (1), COUNT times or until Ctrl-C.

    Requests of programs to all drives here, and how long they took on average; what was read, in
    all and by where it came from, written, uploaded, downloaded and given to other workstations, in
    bytes a second; and what waits to be uploaded. With --operations: how many requests a second,
    failed ones, milliseconds on average, and those that 99 of 100 do not exceed. --json prints one
    line of JSON for each interval, with everything.

    \b
    Examples:
      lucidnode stats
      lucidnode stats --operations 5
      lucidnode stats --json 1 10 | jq .bytes_per_second.cloud
    """
    load_config(home)
    for number, found in enumerate(_reports(home, interval, count)):
        if wants_json:
            click.echo(msgspec.json.encode(found).decode())
        elif operations:
            _show_operations(found)
        else:
            _show(found, header=number % _HEADER_EVERY == 0)


def _reports(home: Path, interval_s: float, most: int | None) -> Iterator[dict[str, Any]]:
    before = asyncio.run(facts(home, "stats"))
    for _ in counting() if most is None else range(most):
        time.sleep(interval_s)  # noqa: TID251  # a command of its own, no loop
        now = asyncio.run(facts(home, "stats"))
        yield between(before, now)
        before = now


def between(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return what went on between two answers on the topic `stats`, by the second.

    A daemon that was started anew in between counts from nothing.
    """
    seconds = max(now["at"] - before["at"], 1e-9)
    operations = {
        operation: _of_operation(before["operations"].get(operation), times, now, seconds)
        for operation, times in now["operations"].items()
    }
    operations = {name: each for name, each in operations.items() if each["requests"]}
    requests = sum(each["requests"] for each in operations.values())
    spent = sum(each["requests"] * each["ms"] for each in operations.values())
    return {
        "seconds": round(seconds, 3),
        "requests_per_second": round(requests / seconds, 1),
        "failed_per_second": round(sum(e["failed"] for e in operations.values()) / seconds, 1),
        "ms": round(spent / requests, 3) if requests else 0.0,
        "bytes_per_second": {
            name: round(sum(_grown(before[total], now[total]) for total in totals) / seconds)
            for name, totals in _RATES
        },
        "waiting": now["waiting"],
        "operations": operations,
    }


def _of_operation(
    before: dict[str, Any] | None, now: dict[str, Any], facts: dict[str, Any], seconds: float
) -> dict[str, Any]:
    if before is None or before["requests"] > now["requests"]:
        before = {"requests": 0, "failed": 0, "seconds": 0.0, "within": [0] * len(now["within"])}
    requests = now["requests"] - before["requests"]
    took = now["seconds"] - before["seconds"]
    within = [last - first for first, last in zip(before["within"], now["within"], strict=True)]
    p99_s = next(
        (
            bound
            for bound, number in zip(facts["buckets_s"], within, strict=True)
            if number >= 0.99 * requests
        ),
        None,
    )
    return {
        "requests": requests,
        "per_second": round(requests / seconds, 1),
        "failed": now["failed"] - before["failed"],
        "ms": round(1000 * took / requests, 3) if requests else 0.0,
        "p99_ms_at_most": None if p99_s is None else 1000 * p99_s,
    }


def _grown(before: int, now: int) -> int:
    return now - before if now >= before else now


def _show(found: dict[str, Any], *, header: bool) -> None:
    names = [name for name, _ in _RATES]
    if header:
        columns = "".join(f"{name:>11}" for name in names)
        click.echo(f"{'requests':>9}{'ms':>9}{columns}{'waiting':>10}")
    rates = "".join(f"{size(found['bytes_per_second'][name]):>11}" for name in names)
    click.echo(
        f"{found['requests_per_second']:>9,.0f}{found['ms']:>9.3f}{rates}{size(found['waiting']):>10}"
    )


def _show_operations(found: dict[str, Any]) -> None:
    click.echo(f"{'operation':<12}{'a second':>10}{'failed':>8}{'ms':>10}{'99 %, ms':>10}")
    for operation, each in sorted(
        found["operations"].items(), key=lambda item: -item[1]["requests"]
    ):
        most = each["p99_ms_at_most"]
        p99 = "over 30 s" if most is None else f"< {most:g}"
        click.echo(
            f"{operation:<12}{each['per_second']:>10,.1f}{each['failed']:>8}"
            f"{each['ms']:>10.3f}{p99:>10}"
        )
    click.echo()
