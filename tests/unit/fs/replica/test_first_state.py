"""A first state takes the place of an empty replica whole, or leaves it as it was."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from replica_fixture import KEY, Blocks, rows_of
from simulated_node import SimulatedNode

from lucidnode.fs.errors import ReplicaError
from lucidnode.fs.replica.changes import Head
from lucidnode.fs.replica.first_state import StateLoad, StateRows
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.pin_table import PinRow
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import Seq

HEAD = Head(Seq(7), bytes(range(32)), 3)


def state(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return rows that fill more than one statement, and some over."""
    node = SimulatedNode(path / "maker.db", "maker", Blocks(), 3)
    for number in range(60):
        node.create(b"made %d" % number)
        node.act()
    rows = rows_of(node.replica)
    node.close()
    return rows


def pieces(rows: dict[str, list[tuple[Any, ...]]]) -> Iterable[list[StateRows]]:
    for number, (table, found) in enumerate(rows.items()):
        yield [(table, [(number, *row) for row in found], [])]


def opened(path: Path) -> Replica:
    return Replica.open(path / "newcomer.db", KEY, "newcomer")


def files(path: Path) -> set[str]:
    return {file.name for file in path.iterdir() if file.name.startswith("newcomer")}


async def load(
    path: Path,
    rows: dict[str, list[tuple[Any, ...]]],
    meanwhile: Callable[[StateLoad], Awaitable[object]] | None = None,
) -> None:
    replica = opened(path)
    try:
        async with replica.first_state.loading(HEAD) as loading:
            for piece in pieces(rows):
                await loading.put(partial(list, piece))
            if meanwhile is not None:
                await meanwhile(loading)
            await loading.keep(HEAD, b"contents")
    finally:
        replica.close()


def stands_on_nothing(path: Path) -> bool:
    replica = opened(path)
    try:
        assert [row[0] for row in rows_of(replica)["inode"]] == [1], "nothing but the root"
        return replica.first_state.is_wanted() and replica.known_checkpoint.get() is None
    finally:
        replica.close()


async def test_a_replica_has_the_rows_and_stands_on_their_entry(tmp_path: Path) -> None:
    rows = state(tmp_path)
    assert 50 < len(rows["inode"]) < 100
    await load(tmp_path, rows)
    replica = opened(tmp_path)
    assert rows_of(replica) == rows
    assert replica.pending.head() == HEAD
    assert replica.known_checkpoint.get() == (HEAD.seq, b"contents")
    indexes = replica._database.rows("SELECT name FROM sqlite_schema WHERE type = 'index'")
    assert {("name_ino",), ("tail_ino",), ("lease",)} <= set(indexes)
    with pytest.raises(ReplicaError):
        replica._database.rows("UPDATE inode SET mode = -1")
    replica.close()
    assert files(tmp_path) == {"newcomer.db", "newcomer.db-lock"}


async def test_what_else_the_replica_holds_stays(tmp_path: Path) -> None:
    replica = opened(tmp_path)
    pinned = [PinRow(ROOT, b"shots", InodeNo(2))]
    replica.pins.replace([], pinned)
    replica.close()
    await load(tmp_path, state(tmp_path))
    replica = opened(tmp_path)
    assert replica.pins.all() == pinned
    replica.close()


async def test_a_row_in_the_place_of_one_and_one_that_is_gone(tmp_path: Path) -> None:
    rows = state(tmp_path)

    async def more(loading: StateLoad) -> None:
        await loading.put(
            lambda: [("xattr", [(4, 1, b"user.one", b"a"), (4, 1, b"user.two", b"a")], [])]
        )
        await loading.put(lambda: [("xattr", [(4, 1, b"user.one", b"b")], [(1, b"user.two")])])

    await load(tmp_path, rows, more)
    replica = opened(tmp_path)
    assert rows_of(replica)["xattr"] == sorted([*rows["xattr"], (1, b"user.one", b"b")])
    replica.close()


@pytest.mark.parametrize(
    ("table", "place", "value"), [("inode", 1, 3), ("inode", 6, 9), ("extent", 4, 2**24)]
)
async def test_rows_that_break_a_rule_leave_it_as_it_was(
    tmp_path: Path, table: str, place: int, value: int
) -> None:
    rows = state(tmp_path)
    row = rows[table][-1]
    rows[table][-1] = (*row[:place], value, *row[place + 1 :])
    with pytest.raises(ChangesetUnfit):
        await load(tmp_path, rows)
    assert stands_on_nothing(tmp_path)
    assert files(tmp_path) == {"newcomer.db", "newcomer.db-lock"}


async def test_what_ends_it_early_leaves_it_as_it_was(tmp_path: Path) -> None:
    rows = state(tmp_path)
    reached = asyncio.Event()

    async def stuck(_: StateLoad) -> None:
        reached.set()
        await asyncio.Event().wait()

    async def refused(loading: StateLoad) -> None:
        await loading.put(lambda: [("inode", [(0, 1)], [])])

    loading = asyncio.ensure_future(load(tmp_path, rows, stuck))
    await reached.wait()
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert stands_on_nothing(tmp_path)
    with pytest.raises(ReplicaError):
        await load(tmp_path, rows, refused)
    assert stands_on_nothing(tmp_path)
    await load(tmp_path, rows)
    replica = opened(tmp_path)
    assert not replica.first_state.is_wanted()
    replica.close()


async def test_a_cancelled_load_waits_for_its_thread_and_holds_up_nobody(tmp_path: Path) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    waited: list[bool] = []

    def slow() -> Iterator[StateRows]:
        begun.set()
        waited.append(goes_on.wait(5))
        yield from ()

    async def put_slowly(loading: StateLoad) -> None:
        await loading.put(slow)

    loading = asyncio.ensure_future(load(tmp_path, {}, put_slowly))
    while not begun.is_set():
        await asyncio.sleep(0)
    loading.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not loading.done(), "the copy is still written to"
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert waited == [True]
    assert stands_on_nothing(tmp_path)


async def test_of_two_failures_at_once_the_one_that_ends_it_is_told(tmp_path: Path) -> None:
    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: unheard.append(told))
    begun = threading.Event()

    def broken() -> Iterator[StateRows]:
        begun.set()
        yield from ()
        raise ChangesetUnfit("no row")

    async def both(loading: StateLoad) -> None:
        await loading.put(broken)
        begun.wait()
        raise Unavailable("no block")

    with pytest.raises(Unavailable):
        await load(tmp_path, {}, both)
    for _ in range(10):
        await asyncio.sleep(0)
    gc.collect()
    assert unheard == []
    assert stands_on_nothing(tmp_path)


async def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"newcomer.db-filled{suffix}").write_bytes(b"half of one")
    rows = state(tmp_path)
    await load(tmp_path, rows)
    replica = opened(tmp_path)
    assert rows_of(replica) == rows
    replica.close()
    assert files(tmp_path) == {"newcomer.db", "newcomer.db-lock"}
