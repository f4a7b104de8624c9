"""What the rules for single rows find in rows, as they are asked of whole tables."""

from __future__ import annotations

from collections.abc import Iterable

import apsw

from lucidnode.fs.replica.sqlite.rows import Row
from lucidnode.fs.replica.sqlite.schema import SCHEMA
from lucidnode.fs.replica.tree.whole_rows import ROW_BREACHES


class RowTables:
    """The tables of a replica, in memory and without any checks of ranges."""

    def __init__(self) -> None:
        self._connection = apsw.Connection(":memory:")
        self._connection.execute(SCHEMA)
        self._connection.pragma("ignore_check_constraints", True)

    def breaches(self, table: str, rows: Iterable[Row]) -> list[str]:
        """Return what is found once *rows* are all that is in *table*."""
        self._connection.execute(f"DELETE FROM {table}")
        for row in rows:
            places = ", ".join("?" * len(row))
            self._connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({places})", row)
        return [
            breach
            for breach, query in ROW_BREACHES
            if f"FROM {table} " in query and self._connection.execute(query).fetchall()
        ]
