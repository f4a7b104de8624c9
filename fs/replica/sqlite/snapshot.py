"""The replicated tables as the newest journal entry left them, read beside the work that goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import apsw

from lucidnode.fs.replica.sqlite import rows
from lucidnode.fs.replica.sqlite.connection import connected
from lucidnode.fs.replica.sqlite.error_mapping import mapped
from lucidnode.fs.replica.sqlite.rows import KEY_COLUMNS, Row, RowChange, key_of, net
from lucidnode.fs.replica.sqlite.unsynced import KEYS

Base = Mapping[tuple[int | bytes | str, ...], Row | None]
"""What the journal has of rows that pending work changed, by table and key; None for a new row."""


class Snapshot:
    """One state of a replica, whatever is written to it meanwhile. `close` it soon.

    Rows are of the journal alone: what pending work made of them is taken back as they are read.
    One thread at a time; raises NoSpace or a ReplicaError.
    """

    def __init__(self, path: Path, key: bytes, closed: Callable[[], None]) -> None:
        """Stand on the state as it is now. *closed* is called once it is closed."""
        self._closed = closed
        self._turn = threading.Lock()
        self._connection = connected(path, key)
        try:
            self._rows("BEGIN")
            [(self.seq, self.link)] = self._rows("SELECT seq, link FROM head")
            waiting: list[RowChange] = [
                change
                for (encoded,) in self._rows("SELECT changes FROM pending ORDER BY id")
                for change in rows.decode(encoded)
            ]
        except BaseException:
            self.close()
            raise
        self._base: Base = {key_of(change): change[1] for change in net(waiting)}

    def close(self) -> None:
        """Stand on it no longer; waits for a question that another thread is at."""
        with self._turn:
            self._connection.close()
            self._closed()

    def table(self, table: str) -> Iterator[Row]:
        """Yield all rows of *table* in the order of their keys."""
        keys = KEY_COLUMNS[table]
        order = ", ".join(str(place + 1) for place in range(keys))
        found = iter(self._stream(f"SELECT * FROM {table} ORDER BY {order}"))  # noqa: S608  # ours
        base = {key[1:]: row for key, row in self._base.items() if key[0] == table}
        return laid_over(found, base, keys)

    def row(self, table: str, key: tuple[int | bytes, ...]) -> Row | None:
        """Return the row of *table* under *key*, None if there is none."""
        named = (table, *key)
        if named in self._base:
            return self._base[named]
        wanted = " AND ".join(f"{column} = ?" for column in KEYS[table])
        found = self._rows(f"SELECT * FROM {table} WHERE {wanted}", key)  # noqa: S608  # ours
        return found[0] if found else None

    def _rows(self, sql: str, bindings: tuple[int | bytes, ...] = ()) -> list[Any]:
        return list(self._stream(sql, bindings))

    def _stream(self, sql: str, bindings: tuple[int | bytes, ...] = ()) -> Iterator[Any]:
        try:
            with self._turn:
                cursor = iter(self._connection.execute(sql, bindings))
            while True:
                with self._turn:
                    batch = list(islice(cursor, _BATCH))
                if not batch:
                    return
                yield from batch
        except apsw.Error as error:
            raise mapped(error, self._connection) from error


_BATCH = 1024
"""Rows that are read in one turn: so long does `close` wait at most."""


def laid_over(
    found: Iterator[Row], base: Mapping[tuple[Any, ...], Row | None], keys: int
) -> Iterator[Row]:
    """Yield the rows *found*, in the order of their first *keys* columns, as *base* has them. Pure."""
    waiting = sorted(base)
    at = 0
    for row in found:
        key = row[:keys]
        while at < len(waiting) and waiting[at] < key:
            if (other := base[waiting[at]]) is not None:
                yield other
            at += 1
        if at < len(waiting) and waiting[at] == key:
            if (other := base[waiting[at]]) is not None:
                yield other
            at += 1
        else:
            yield row
    for key in waiting[at:]:
        if (other := base[key]) is not None:
            yield other
