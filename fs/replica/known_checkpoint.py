"""The newest checkpoint that this node knows to be true: made, checked or loaded here."""

from __future__ import annotations

from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.node.client.ids import Seq


class KnownCheckpoint:
    """One row of one replica (`Replica.known_checkpoint`). Raises as `Database.rows`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self) -> tuple[Seq, bytes] | None:
        """Return its entry and what was kept of it, or None."""
        row = self._database.row("SELECT seq, contents FROM checkpoint")
        return None if row is None else (Seq(row[0]), row[1])

    def keep(self, seq: Seq, contents: bytes) -> None:
        """Keep *contents* of the one at entry *seq*, in a transaction of its own."""
        with self._database.transaction():
            self.put(seq, contents)

    def put(self, seq: Seq, contents: bytes) -> None:
        """Do as `keep`, inside the caller's transaction."""
        self._database.change("INSERT OR REPLACE INTO checkpoint VALUES (1, ?, ?)", (seq, contents))
