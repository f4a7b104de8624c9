"""Days as people write them after `savings --since`."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest
from click.testing import CliRunner

from lucidnode.cli.savings import day_in, priced, savings_command
from lucidnode.node.prices import LISTS

THURSDAY = date(2026, 11, 26)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-01", date(2026, 11, 1)),
        ("today", THURSDAY),
        (" Yesterday ", date(2026, 11, 25)),
        ("thursday", THURSDAY),
        ("Monday", date(2026, 11, 23)),
        ("fri", date(2026, 11, 20)),
        ("7d", date(2026, 11, 19)),
        ("30 days", date(2026, 10, 27)),
        ("2w", date(2026, 11, 12)),
        ("month", date(2026, 11, 1)),
        ("year", date(2026, 1, 1)),
        ("2026-02-30", None),
        ("20261101", None),
        ("1.11.2026", None),
        ("tomorrow", None),
        ("d", None),
        ("mo", None),
        ("99999d", None),
        ("\u0667d", None),
        ("", None),
    ],
)
def test_a_day_is_understood_or_none(text: str, day: date | None) -> None:
    assert day_in(text, THURSDAY) == day


def test_what_is_no_day_is_told_what_is() -> None:
    done = CliRunner().invoke(savings_command, ["--since", "last spring"])
    assert done.exit_code == 2
    for words in ("2026-11-01", "yesterday", "monday", "7d", "month"):
        assert words in done.output


def test_money_is_said_with_whose_list_of_when_and_what_was_set_above_it() -> None:
    listed = LISTS["cloudflare-r2"]
    said = priced(msgspec.to_builtins(listed))
    assert (
        "list of cloudflare-r2 of 2026-08, https://developers.cloudflare.com/r2/pricing/." in said
    )
    assert "set here" not in said
    own = listed.changed({"per_gb": 0.05, "per_gb_month": 0.01})
    assert "; set here: savings.price-per-gb, savings.price-per-gb-month." in priced(
        msgspec.to_builtins(own)
    )
