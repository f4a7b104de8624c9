"""Which rows journal entries have touched since the last checkpoints, as this mount saw them pass."""

from __future__ import annotations

from collections.abc import Iterable

from lucidnode.fs.checkpoints.pieces import TABLES, RowKey
from lucidnode.fs.replica.sqlite.changesets import keys_in

MOST_KEYS = 200_000
"""Keys that are kept, some 30 MB. With more, what is oldest is forgotten, and a base is made instead."""

_NUMBERS: dict[int | bytes | str, int] = {table: number for number, table in enumerate(TABLES)}


def keys_of(changeset: bytes) -> set[RowKey]:
    """Return the keys of the rows that an applied *changeset* touched."""
    found: set[RowKey] = set()
    for table, *key in keys_in(changeset):
        found.add((_NUMBERS[table], *(part for part in key if not isinstance(part, str))))
    return found


class TouchedRows:
    """The keys of all rows touched behind entry *at*, in stretches that can be forgotten."""

    def __init__(self, at: int) -> None:
        self._stretches: dict[int, set[RowKey]] = {at: set()}

    def note(self, keys: Iterable[RowKey]) -> None:
        """Take note of what the next entry touched."""
        newest = self._stretches[max(self._stretches)]
        newest.update(keys)
        while sum(map(len, self._stretches.values())) > MOST_KEYS:
            oldest = min(self._stretches)
            del self._stretches[oldest]
            if not self._stretches:
                # What this stretch began with is not known any more; the next begins with `mark`.
                self._stretches[-1] = set()

    def mark(self, seq: int) -> None:
        """Begin a stretch behind entry *seq*, the newest."""
        self._stretches.setdefault(seq, set())

    def remember(self, since: int, keys: set[RowKey]) -> None:
        """Put a stretch before all others: behind *since*, up to where they begin."""
        self._stretches[since] = keys | self._stretches.get(since, set())

    def between(self, since: int, upto: int) -> list[RowKey] | None:
        """Return what entries behind *since* up to *upto* touched, in order; None if it is not known.

        Both are where a stretch begins.
        """
        if since not in self._stretches or upto not in self._stretches:
            return None
        found: set[RowKey] = set()
        for begin, keys in self._stretches.items():
            if since <= begin < upto:
                found |= keys
        return sorted(found)

    def forget(self, upto: int) -> None:
        """Forget all up to entry *upto*, where a stretch begins."""
        for begin in [begin for begin in self._stretches if begin < upto]:
            if len(self._stretches) > 1:
                del self._stretches[begin]
