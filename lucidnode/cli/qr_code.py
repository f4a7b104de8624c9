"""A code that a camera reads, drawn on the terminal. The door to segno."""

from __future__ import annotations

import io
import shutil

import segno

_BORDER = 2


def drawn(text: str) -> str | None:
    """Return *text* as a QR code of half blocks, None where the terminal is too narrow for it.

    In capitals it is a third smaller, so *text* is to be one in which case means nothing. Raises
    ValueError for more than 4,296 letters and figures.
    """
    code = segno.make_qr(text.upper(), error="l")
    columns, _ = code.symbol_size(border=_BORDER)
    if columns > shutil.get_terminal_size().columns:
        return None
    lines = io.StringIO()
    code.terminal(lines, border=_BORDER, compact=True)
    return lines.getvalue()
