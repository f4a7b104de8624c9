"""The first state of a replica that stands on no entry yet: that of a later entry, brought as rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import chain

from lucidnode.fs.replica.changes import Head
from lucidnode.fs.replica.replica_ground import ReplicaGround
from lucidnode.fs.replica.sqlite.rows import Row
from lucidnode.fs.replica.sqlite.schema import REPLICATED
from lucidnode.fs.replica.sqlite.unsynced import KEYS
from lucidnode.fs.replica.tree.whole_tree import check_whole_tree

_IN_ONE = 50
"""Rows that one statement puts: a quarter less work for each than with one."""


class FirstState:
    """Fills one replica (`Replica.first_state`), which is to be opened anew afterwards."""

    def __init__(self, ground: ReplicaGround) -> None:
        self._ground = ground

    def is_wanted(self) -> bool:
        """Tell whether the replica stands on no entry, and holds no work of ours."""
        return (
            self._ground.journal.head().seq == 0
            and self._ground.journal.oldest() is None
            and not self._ground.tails.ends
            and self._ground.journal.in_flight() is None
        )

    @contextlib.contextmanager
    def loading(self, head: Head) -> Iterator[None]:
        """Within, `put` all rows; behind it the replica stands on *head*.

        All or nothing: whatever ends it early leaves the replica as it was. Raises ChangesetUnfit
        if the rows are no tree, NoSpace or a ReplicaError.
        """
        assert self.is_wanted()
        with self._ground.database.unwatched():
            self._ground.database.change("DELETE FROM inode")
            yield
            check_whole_tree(self._ground.database)
            self._ground.journal.set_head(head)

    def has_parts(self) -> bool:
        """Tell whether of the content of some file more is to follow (its version is below zero).

        What that file was before is in no row: it cannot be shown as it was until the rest is here.
        """
        row = self._ground.database.row("SELECT 1 FROM inode WHERE version < 0 LIMIT 1")
        return row is not None

    def put(self, table: str, rows: Sequence[Row]) -> None:
        """Add *rows* to *table*, or put them in the place of those with their keys. Raises NoSpace."""
        columns = len(REPLICATED[table])
        row = f"({', '.join('?' * columns)})"
        statement = f"INSERT OR REPLACE INTO {table} VALUES "  # noqa: S608  # ours
        many = len(rows) - len(rows) % _IN_ONE
        values = list(chain.from_iterable(rows[:many]))
        self._ground.database.change_many(
            statement + ", ".join([row] * _IN_ONE),
            [
                values[at : at + _IN_ONE * columns]
                for at in range(0, len(values), _IN_ONE * columns)
            ],
        )
        self._ground.database.change_many(statement + row, rows[many:])

    def take_out(self, table: str, keys: Sequence[Row]) -> None:
        """Remove the rows of *table* under *keys*, if they are there. Raises NoSpace."""
        wanted = " AND ".join(f"{column} = ?" for column in KEYS[table])
        self._ground.database.change_many(f"DELETE FROM {table} WHERE {wanted}", keys)  # noqa: S608  # ours
