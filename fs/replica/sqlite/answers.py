"""What questions to the tables found, remembered until any row changes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import apsw

MAX_ANSWERS = 4096
"""Of attributes, that is 1 MB."""

NOT_ASKED = object()
"""In the place of an answer that is not known."""


class Answers:
    """The answers of *connection*. Without *is_alone*, others change the file, and none is remembered.

    A program that opens, reads and closes a file asks for the same rows several times, and so does
    a rename, in all the places that have to know what has the new name. SQLite counts the rows that
    it changes once a statement has ended, and goes on counting where a transaction is undone: so none of
    ours both changes rows and gives them (RETURNING), and would have us ask in its midst. So an answer is right, also
    within a transaction, as long as that count is the same; but within one none is kept, for what
    it has changed may be undone behind it.
    """

    __slots__ = ("_connection", "_found", "_is_alone", "_state")

    def __init__(self, connection: apsw.Connection, *, is_alone: bool) -> None:
        self._connection = connection
        self._is_alone = is_alone
        self._found: dict[Hashable, Any] = {}
        self._state = -1

    def get(self, question: Hashable) -> Any:
        """Return the answer to *question*, NOT_ASKED if nobody has kept one since the last change."""
        if self._connection.total_changes() != self._state:
            return NOT_ASKED
        return self._found.get(question, NOT_ASKED)

    def keep(self, answers: Iterable[tuple[Hashable, object]]) -> None:
        """Remember *answers*, questions and what the tables have just given to them."""
        if self._connection.in_transaction or not self._is_alone:
            return
        state = self._connection.total_changes()
        if state != self._state or len(self._found) >= MAX_ANSWERS:
            self._found.clear()
            self._state = state
        self._found.update(answers)
