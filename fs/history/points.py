"""Which entry a point in time is. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from lucidnode.fs.errors import NoSuchPoint
from lucidnode.node.client.ids import Seq

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_AGO = re.compile(r"(\d{1,4})([mhdw])")


def parsed(text: str, newest: Seq, now: datetime) -> Seq | datetime:
    """Return the entry, or the moment, that *text* means; the *newest* entry is the highest there is.

    It is the number of an entry, a length of time before *now* (`15m`, `2h`, `3d`, `1w`), or a date
    and time in ISO 8601, in the zone of *now* where it names none. 0 is the empty project.
    Raises NoSuchPoint.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        if len(text) > 18 or int(text) > newest:
            raise NoSuchPoint(f"there is no version {text}: the newest is {newest}")
        return Seq(int(text))
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise NoSuchPoint(
            f"'{text}' is no point in time: give the number of a version, 2026-03-01, "
            "'2026-03-01 14:30', or how long ago, as 15m, 2h, 3d or 1w"
        ) from None
    return when if when.tzinfo else when.replace(tzinfo=now.tzinfo)


def is_like_a_point(text: str) -> bool:
    """Tell whether `point` would read *text* as a version, a time or a length of time."""
    if (text.isascii() and text.isdigit()) or _AGO.fullmatch(text):
        return True
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def wall_ns(when: datetime) -> int:
    """Return *when* as clocks in entries say it, in nanoseconds."""
    return int(when.timestamp() * 1_000_000) * 1000


def cut(times: Sequence[int], limit_ns: int) -> int:
    """Return how many of entries in a row, made at *times*, the state had at *limit_ns*.

    Entries are in order, their clocks need not be. So it is the cut that leaves the fewest entries
    on the wrong side, the earliest of such: a few clocks that are wrong by years move nothing,
    whichever way they are wrong.
    """
    best = at = wrong = 0
    for number, made_ns in enumerate(times, 1):
        wrong += 1 if made_ns > limit_ns else -1
        if wrong < best:
            best, at = wrong, number
    return at
