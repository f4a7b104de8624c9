"""What the rules for single rows find in rows that no entry brought."""

from __future__ import annotations

from collections.abc import Iterable

import apsw
import msgspec

from lucidnode.fs.replica.sqlite.rows import Row
from lucidnode.fs.replica.sqlite.schema import SCHEMA
from lucidnode.fs.replica.tree.whole_rows import BROKEN_IF, COLUMN_TYPES


class RowTables:
    """The tables of a replica, in memory and without any checks of ranges."""

    def __init__(self) -> None:
        self._connection = apsw.Connection(":memory:")
        self._connection.execute(SCHEMA)
        self._connection.pragma("ignore_check_constraints", True)

    def breaches(self, table: str, rows: Iterable[Row]) -> list[str]:
        """Return what is found once *rows* were read, and are all that is in *table*."""
        found = []
        self._connection.execute(f"DELETE FROM {table}")
        for row in rows:
            try:
                msgspec.convert(row, tuple.__class_getitem__(COLUMN_TYPES[table]))
            except msgspec.ValidationError as error:
                found.append(str(error))
            places = ", ".join("?" * len(row))
            self._connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({places})", row)
        broken = BROKEN_IF.get(table)
        if broken and self._connection.execute(f"SELECT 1 FROM {table} WHERE {broken}").fetchall():
            found.append(broken)
        return found
