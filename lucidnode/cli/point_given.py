"""What a person typed for a point in time."""

from __future__ import annotations

from typing import NamedTuple


class PointGiven(NamedTuple):
    """A point in time by its *text*, which is nothing but the name of a snapshot if *is_snapshot*."""

    text: str
    is_snapshot: bool
