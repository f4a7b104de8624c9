"""`lucidnode savings`: what the office did not download, by day, month or since a date."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from lucidnode.cli.background import facts
from lucidnode.cli.output import as_json, show_json, show_table, size
from lucidnode.node.config import load_config
from lucidnode.node.savings import DayCounts, period

_BYTES = [
    ("the office: needed by programs, not on their disk", "office", "needed"),
    ("the office: downloaded from the cloud", "office", "downloaded"),
    ("the office: not downloaded, for a colleague had it", "office", "saved_by_office"),
    ("each for itself: not downloaded again, its cache had it", "office", "saved_by_cache"),
    ("this workstation: the same", "here", "saved_by_cache"),
    ("this workstation: got from colleagues", "here", "from_office"),
    ("fetched for nothing", "office", "wasted"),
]


@click.command("savings", short_help="Show what the office did not have to download.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Count from this day on. Without it: today, this month, and all that was counted.",
)
@as_json
@click.pass_obj
def savings_command(home: Path, since: datetime | None, wants_json: bool) -> None:
    """Show what this office did not download, for a colleague had it or the own cache.

    The two are counted apart, and what was written on a workstation and is read back there is in
    neither. Counts are kept by day; of other workstations, as far as they were met.

    \b
    Examples:
      lucidnode savings --since 2026-11-01
      lucidnode savings --json | jq .periods.month.office.saved_by_office
    """
    load_config(home)
    if since is None:
        found = asyncio.run(facts(home, "savings"))
    else:
        found = _since(asyncio.run(facts(home, "savings-days")), since.date())
    if wants_json:
        show_json(found)
        return
    periods: dict[str, dict[str, Any]] = found["periods"]
    rows = [
        [text, *(size(each[who][name]) for each in periods.values())] for text, who, name in _BYTES
    ]
    rows.insert(3, _money(periods, "money_by_office"))
    rows.insert(5, _money(periods, "money_by_cache"))
    show_table(["", *(_called(name, each["since"]) for name, each in periods.items())], rows)
    click.echo(f"at ${found['price_per_gb']:g} for a gigabyte (savings.price-per-gb)", err=True)


def _money(periods: Mapping[str, dict[str, Any]], name: str) -> list[str]:
    return ["  in money", *(f"${each['office'][name]:.2f}" for each in periods.values())]


def _called(name: str, since: str) -> str:
    return {"today": "today", "month": "this month"}.get(name, f"since {since}")


def _since(found: dict[str, Any], first: date) -> dict[str, Any]:
    here, office = (
        msgspec.convert(found[who], dict[date, DayCounts], strict=False)
        for who in ("here", "office")
    )
    price = found["price_per_gb"]
    return {"price_per_gb": price, "periods": {"chosen": period(here, office, first, price)}}
