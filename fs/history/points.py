"""Which entry a point in time is. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from lucidnode.fs.errors import NoSuchPoint
from lucidnode.node.client.ids import Seq

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_AGO = re.compile(r"(\d{1,4})([mhdw])")


def point(text: str, times: Sequence[int], now: datetime) -> Seq:
    """Return the entry that *text* means, of those that were made at *times* (wall nanoseconds).

    It is the number of an entry, a length of time before *now* (`15m`, `2h`, `3d`, `1w`), or a date
    and time in ISO 8601, in the zone of *now* where it names none. 0 is the empty project.
    Raises NoSuchPoint.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        if len(text) > 18 or int(text) > len(times):
            raise NoSuchPoint(f"there is no version {text}: the newest is {len(times)}")
        return Seq(int(text))
    if ago := _AGO.fullmatch(text):
        return seq_at(times, now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}))
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise NoSuchPoint(
            f"'{text}' is no point in time: give the number of a version, 2026-03-01, "
            "'2026-03-01 14:30', or how long ago, as 15m, 2h, 3d or 1w"
        ) from None
    return seq_at(times, when if when.tzinfo else when.replace(tzinfo=now.tzinfo))


def is_like_a_point(text: str) -> bool:
    """Tell whether `point` would read *text* as a version, a time or a length of time."""
    if (text.isascii() and text.isdigit()) or _AGO.fullmatch(text):
        return True
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def seq_at(times: Sequence[int], when: datetime) -> Seq:
    """Return the newest entry of the state that the project had at *when*.

    Entries are in order, their clocks need not be. So it is the cut that leaves the fewest entries
    on the wrong side of *when*, the earliest of such: a few clocks that are wrong by years move
    nothing, whichever way they are wrong.
    """
    limit = int(when.timestamp() * 1_000_000) * 1000
    best = at = wrong = 0
    for number, wall_ns in enumerate(times, 1):
        wrong += 1 if wall_ns > limit else -1
        if wrong < best:
            best, at = wrong, number
    return Seq(at)
