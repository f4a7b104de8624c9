"""A ticket on the terminal as a camera reads it."""

from __future__ import annotations

import pytest
import segno

from lucidnode.cli.qr_code import drawn
from lucidnode.fs.membership.ticket_text import read, written

TICKET = written(bytes(range(256)) * 2)
_ROWS = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}
"""Which halves of a character are light: the terminal's ground is dark."""


def test_what_is_drawn_is_the_code_of_the_ticket_in_capitals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code = drawn(TICKET)
    assert code is not None
    lines = [line for line in code.split("\n") if line]
    light = [
        [_ROWS[letter][half] for letter in line if letter in _ROWS]
        for line in lines
        for half in (0, 1)
    ]
    wanted = segno.make_qr(TICKET.upper(), error="l").matrix_iter(border=2)
    for row, dark in zip(light, wanted, strict=False):
        assert row == [1 - each for each in dark]
    assert read(TICKET.upper()) == read(TICKET)


def test_a_narrow_terminal_gets_none_and_too_long_a_text_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert drawn(TICKET) is None
    with pytest.raises(ValueError, match="too large"):
        drawn("A" * 5000)
