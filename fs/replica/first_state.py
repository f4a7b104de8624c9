"""The first state of a replica that stands on no entry yet: that of a later entry, brought as rows."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain

from lucidnode.fs.replica.changes import Head
from lucidnode.fs.replica.known_checkpoint import KnownCheckpoint
from lucidnode.fs.replica.pending.pending_journal import PendingJournal
from lucidnode.fs.replica.replica_ground import ReplicaGround
from lucidnode.fs.replica.sqlite.filled_copy import FilledCopy
from lucidnode.fs.replica.sqlite.rows import Row
from lucidnode.fs.replica.sqlite.schema import REPLICATED
from lucidnode.fs.replica.sqlite.unsynced import KEYS
from lucidnode.fs.replica.tree.whole_tree import check_whole_tree

_AHEAD = 1
"""Pieces that wait for the thread, so that it does not stand still."""

_IN_ONE = 50
"""Rows that one statement puts: less than half the work for each than with one."""

StateRows = tuple[str, Sequence[Row], Sequence[Row]]
"""A table, rows of it that are there, each behind the number of the table, and keys of others that are gone."""


class FirstState:
    """Fills one replica (`Replica.first_state`), which is to be closed and opened anew afterwards."""

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

    @contextlib.asynccontextmanager
    async def loading(self, head: Head) -> AsyncIterator[StateLoad]:
        """Within, put all rows; behind it the replica stands on *head*, once it is opened anew.

        All or nothing: whatever ends it early leaves the replica as it was. Raises ChangesetUnfit
        if the rows are no tree, NoSpace or a ReplicaError.
        """
        assert self.is_wanted()
        copy = FilledCopy.of(self._ground.database)
        try:
            # A thread that is at work is waited for, whatever ends this.
            with ThreadPoolExecutor(1, "first-state") as thread:
                load = StateLoad(copy, thread)
                try:
                    copy.change("DELETE FROM inode")
                    yield load
                    await load.done(lambda: PendingJournal(copy).set_head(head))
                    await load.done(lambda: _check(copy))
                    await load.done(lambda: copy.take_the_place_of(self._ground.database))
                finally:
                    await load.ended()
        finally:
            copy.discard()


class StateLoad:
    """A state that is being put into *copy*, in one *thread*, while what comes next is fetched.

    Rows are decoded and put in the same thread: in two they would wait for each other at every statement, for
    the lock of the interpreter.
    """

    def __init__(self, copy: FilledCopy, thread: ThreadPoolExecutor) -> None:
        self._copy = copy
        self._thread = thread
        self._under_way: deque[asyncio.Future[None]] = deque()

    async def put(self, rows: Callable[[], Iterable[StateRows]]) -> None:
        """Have what *rows* returns in the thread put there, behind what came before; little waits for it at once.

        A row takes the place of one with its key. Raises NoSpace, a ReplicaError, or what *rows* raises:
        for those before.
        """
        while len(self._under_way) > _AHEAD:
            await self._oldest()
        self._begin(lambda: self._put(rows()))

    async def has_parts(self) -> bool:
        """Tell whether of the content of some file more is to follow (its version is below zero).

        What that file was before is in no row: it cannot be shown as it was until the rest is here.
        """
        await self._ready()
        return self._copy.row("SELECT 1 FROM inode WHERE version < 0 LIMIT 1") is not None

    async def keep(self, head: Head, contents: bytes) -> None:
        """Have the checkpoint at *head* known to be true, and *contents* kept of it."""
        await self.done(lambda: KnownCheckpoint(self._copy).put(head.seq, contents))

    async def done(self, work: Callable[[], None]) -> None:
        """Return once *work* is done, behind all rows."""
        await self._ready()
        self._begin(work)
        await self._ready()

    async def ended(self) -> None:
        """Return once nothing is under way any more; if that fails, something else has ended this."""
        if self._under_way:
            await asyncio.wait(self._under_way)
            for work in self._under_way:
                work.exception()

    def _begin(self, work: Callable[[], None]) -> None:
        self._under_way.append(asyncio.get_running_loop().run_in_executor(self._thread, work))

    async def _ready(self) -> None:
        while self._under_way:
            await self._oldest()

    async def _oldest(self) -> None:
        # Whoever waits may be cancelled; the thread goes on.
        await asyncio.shield(self._under_way[0])
        _ = self._under_way.popleft()

    def _put(self, rows: Iterable[StateRows]) -> None:
        for table, there, gone in rows:
            width = len(REPLICATED[table])
            values = list(chain.from_iterable(there))
            del values[:: width + 1]  # the number of the table
            in_many = (len(there) - len(there) % _IN_ONE) * width
            for rows_in_one, begin, end in ((_IN_ONE, 0, in_many), (1, in_many, len(values))):
                step = rows_in_one * width
                self._copy.change_many(
                    _insertion(table, rows_in_one),
                    [values[at : at + step] for at in range(begin, end, step)],
                )
            wanted = " AND ".join(f"{column} = ?" for column in KEYS[table])
            self._copy.change_many(f"DELETE FROM {table} WHERE {wanted}", gone)  # noqa: S608  # ours


@cache
def _insertion(table: str, rows: int) -> str:
    """Return what puts so many rows."""
    row = f"({', '.join('?' * len(REPLICATED[table]))})"
    return f"INSERT OR REPLACE INTO {table} VALUES {', '.join([row] * rows)}"  # noqa: S608  # ours


def _check(copy: FilledCopy) -> None:
    copy.settle()
    with contextlib.closing(copy.reader()) as beside:
        check_whole_tree(copy, beside)
