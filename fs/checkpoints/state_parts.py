"""What of the state goes into a checkpoint: all of it, or what changed since one that is known.

A base costs as much as the state is large. So one is made only when what was laid over the last has
become half as large; until then each checkpoint costs what changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lucidnode.fs.checkpoints.pieces import TABLES, RowKey, StateRow, pieces
from lucidnode.fs.checkpoints.touched_rows import TouchedRows
from lucidnode.fs.format.checkpoint import MAX_PARTS, CheckpointPart, CheckpointPiece
from lucidnode.fs.replica.sqlite.rows import KEY_COLUMNS
from lucidnode.fs.replica.sqlite.snapshot import Snapshot
from lucidnode.node.client.ids import Seq


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts that are there, and what the last one holds: *touched*, or with None everything."""

    before: tuple[CheckpointPart, ...]
    touched: Sequence[RowKey] | None

    @property
    def since(self) -> int:
        """The entry behind which the last part begins."""
        return self.before[-1].upto if self.before else 0

    def contents(self, snapshot: Snapshot) -> Iterator[bytes]:
        """Yield the contents of the pieces of the last part. Raises as `Snapshot`."""
        if self.touched is None:
            return pieces(_all_rows(snapshot), is_base=True)
        return pieces(_rows_of(snapshot, self.touched), is_base=False)


def plan(
    known: tuple[Seq, tuple[CheckpointPart, ...]] | None, touched: TouchedRows, seq: int
) -> Plan:
    """Return what a checkpoint at *seq* is made of where the one *known* is true."""
    if known is not None and not is_base_due(known[1]):
        keys = touched.between(known[0], seq)
        if keys is not None:
            return Plan(known[1], keys)
    return Plan((), None)


def is_base_due(parts: Sequence[CheckpointPart]) -> bool:
    """Tell whether another part would make too much to read behind the base."""
    base, *later = [sum(piece.size for piece in part.pieces) for part in parts]
    return len(parts) == MAX_PARTS or 2 * sum(later) > base


def by_digest(parts: Sequence[CheckpointPart]) -> dict[bytes, CheckpointPiece]:
    """Return the pieces of *parts* by the hash of their rows: none of them is sealed twice."""
    return {piece.digest: piece for part in parts for piece in part.pieces}


def _all_rows(snapshot: Snapshot) -> Iterator[StateRow]:
    for number, table in enumerate(TABLES):
        keys = KEY_COLUMNS[table]
        for row in snapshot.table(table):
            yield (number, *row[:keys]), row


def _rows_of(snapshot: Snapshot, touched: Sequence[RowKey]) -> Iterator[StateRow]:
    for key in touched:
        yield key, snapshot.row(TABLES[int(key[0])], key[1:])
