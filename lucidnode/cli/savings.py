"""`lucidnode savings`: what the office did not download, by day, month or since a date."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec

from lucidnode.cli.background import facts
from lucidnode.cli.output import as_json, show_json, show_table, size
from lucidnode.node.config import load_config
from lucidnode.node.prices import LISTS, PriceList
from lucidnode.node.savings import DayCounts, period

_BYTES = [
    ("the office: needed by programs, not on their disk", "office", "needed"),
    ("the office: downloaded from the cloud", "office", "downloaded"),
    ("the office: not downloaded, for a colleague had it", "office", "saved_by_office"),
    ("each for itself: not downloaded again, its cache had it", "office", "saved_by_cache"),
    ("this workstation: the same", "here", "saved_by_cache"),
    ("this workstation: got from colleagues", "here", "from_office"),
    ("fetched for nothing", "office", "wasted"),
    ("  of that not final: it may still be read", "office", "not_used_yet"),
]

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_BACK = re.compile(r"(?P<number>[0-9]{1,4}) ?(?P<unit>d|days?|w|weeks?)", re.ASCII)


class DayWord(click.ParamType[str]):
    """A day as people write it."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return *value* if it is one; which day it is, is said by the daemon's calendar."""
        if day_in(str(value), date(2000, 1, 31)) is None:
            self.fail(
                f"{value!r} is no day: write 2026-11-01, today, yesterday, monday (the last one), "
                "7d or 2w (so long ago), month or year (their first day)",
                param,
                ctx,
            )
        return str(value)


def day_in(text: str, today: date) -> date | None:
    """Return the day that *text* means on the day *today*, None if it is none."""
    word = text.strip().casefold()
    match word:
        case "today":
            return today
        case "yesterday":
            return today - timedelta(1)
        case "month":
            return today.replace(day=1)
        case "year":
            return today.replace(month=1, day=1)
        case _:
            pass
    if len(word) >= 3:
        for number, name in enumerate(_WEEKDAYS):
            if name.startswith(word):
                return today - timedelta((today.weekday() - number) % 7)
    if back := _BACK.fullmatch(word):
        return today - timedelta(int(back["number"]) * (7 if back["unit"][0] == "w" else 1))
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", word, re.ASCII):
        try:
            return date.fromisoformat(word)
        except ValueError:
            return None
    return None


@click.command("savings", short_help="Show what the office did not have to download.")
@click.option(
    "--since",
    type=DayWord(),
    help="Count from this day on: 2026-11-01, today, yesterday, monday, 7d, month. Without it: today, this month, and all that was counted.",
)
@as_json
@click.pass_obj
def savings_command(home: Path, since: str | None, wants_json: bool) -> None:
    """Show what this office did not download, for a colleague had it or the own cache.

    The two are counted apart, and what was written on a workstation and is read back there is in
    neither. Counts are kept by day; of other workstations, as far as they were met. Money is by the
    list prices of a provider, each of which can be set: `lucidnode config explain savings.prices`.

    \b
    Examples:
      lucidnode savings --since 2026-11-01
      lucidnode savings --since monday
      lucidnode savings --json | jq .periods.month.office.saved_by_office
    """
    load_config(home)
    if since is None:
        found = asyncio.run(facts(home, "savings"))
    else:
        found = _since(asyncio.run(facts(home, "savings-days")), since)
    if wants_json:
        show_json(found)
        return
    periods: dict[str, dict[str, Any]] = found["periods"]
    rows = [
        [text, *(size(each[who][name]) for each in periods.values())] for text, who, name in _BYTES
    ]
    rows.insert(2, _money(periods, "  in money, with the requests for blocks", "money_spent"))
    rows.insert(4, _money(periods, "  in money", "money_by_office"))
    rows.insert(6, _money(periods, "  in money", "money_by_cache"))
    rows.append(_requests(periods, "requests for blocks, both ways", "block_gets", "block_puts"))
    rows.append(
        _requests(
            periods, "requests saved by both, at least", "requests_by_office", "requests_by_cache"
        )
    )
    show_table(["", *(_called(name, each["since"]) for name, each in periods.items())], rows)
    if stored := found.get("storage"):
        click.echo(
            f"the mounted projects hold {size(stored['bytes'])} in files: "
            f"${stored['money_a_month']:.2f} a month, and what their history keeps"
        )
    click.echo(priced(found["prices"]), err=True)


def priced(prices: dict[str, Any]) -> str:
    """Return what was reckoned with, whose list that is and of when, and how it is made the studio's own."""
    reckoned = msgspec.convert(prices, PriceList)
    listed = LISTS[reckoned.provider]
    dated = f" of {listed.as_of}, {listed.source}" if listed.as_of else ""
    own = reckoned.above(listed)
    return (
        f"at ${reckoned.per_gb:g} for a gigabyte out, ${reckoned.per_1000_gets:g} and "
        f"${reckoned.per_1000_puts:g} for a thousand reads and writes, ${reckoned.per_gb_month:g} for a "
        f"gigabyte a month: list of {listed.provider}{dated}"
        + (f"; set here: {', '.join(own)}" if own else "")
        + ". What your contract says: `lucidnode config set savings.price-per-gb 0.05`"
    )


def _money(periods: Mapping[str, dict[str, Any]], words: str, name: str) -> list[str]:
    return [words, *(f"${each['office'][name]:.2f}" for each in periods.values())]


def _requests(periods: Mapping[str, dict[str, Any]], words: str, *names: str) -> list[str]:
    return [words, *(f"{sum(each['office'][n] for n in names):,}" for each in periods.values())]


def _called(name: str, since: str) -> str:
    return {"today": "today", "month": "this month"}.get(name, f"since {since}")


def _since(found: dict[str, Any], since: str) -> dict[str, Any]:
    first = day_in(since, date.fromisoformat(found["today"]))
    assert first is not None  # DayWord has seen to it
    here, office = (
        msgspec.convert(found[who], dict[date, DayCounts], strict=False)
        for who in ("here", "office")
    )
    prices = msgspec.convert(found["prices"], PriceList)
    chosen = period(here, office, first, prices, found["block_bytes"])
    return {"price_per_gb": prices.per_gb, "prices": found["prices"], "periods": {"chosen": chosen}}
