"""Names that others chose, as a terminal may be given them. Pure."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return *text* with what is not to be printed as an escape: names are others' to choose.

    A control character in a file's name would steer the terminal.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
