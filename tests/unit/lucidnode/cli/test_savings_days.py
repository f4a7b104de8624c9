"""Days as people write them after `savings --since`."""

from __future__ import annotations

from datetime import date

import pytest
from click.testing import CliRunner

from lucidnode.cli.savings import day_in, savings_command

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
