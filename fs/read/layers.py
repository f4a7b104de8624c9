"""Which layer of a file shows at which bytes, where several lie over each other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Laid(NamedTuple, Generic[T]):
    """Bytes [start, stop) of a file, as *source* has them."""

    start: int
    stop: int
    source: T


def visible(layers: Sequence[Laid[T]], start: int, stop: int) -> list[Laid[T]]:
    """Return the parts of *layers*, each over those before it, that show within [start, stop).

    In the order of the file, without overlaps. What no layer covers is in none of them.
    """
    shown: list[Laid[T]] = []
    gaps = [(start, stop)]
    for layer in reversed(layers):
        left = []
        for low, high in gaps:
            first, last = max(low, layer.start), min(high, layer.stop)
            if first >= last:
                left.append((low, high))
                continue
            shown.append(Laid(first, last, layer.source))
            left += [gap for gap in ((low, first), (last, high)) if gap[0] < gap[1]]
        gaps = left
        if not gaps:
            break
    return sorted(shown, key=lambda part: part.start)
