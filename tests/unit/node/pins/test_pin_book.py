"""What is pinned is known after a restart, and a damaged book begins anew."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from disk_fixture import PROJECT, make_block, small_disk

from lucidnode.node.client.ids import ProjectId
from lucidnode.node.pins.book import PINS_FILE, PinBook

OTHER = ProjectId("f" * 32)


def test_what_was_noted_is_there_after_a_restart(tmp_path: Path) -> None:
    (one, _), (two, _), (three, _) = make_block(), make_block(), make_block()
    with contextlib.closing(PinBook(tmp_path / PINS_FILE)) as book:
        assert book.all() == {}
        book.change(PROJECT, {one: 10, two: 20}, frozenset())
        book.change(OTHER, {one: 10}, frozenset())
        book.change(PROJECT, {three: 30}, {two})
    with contextlib.closing(PinBook(tmp_path / PINS_FILE)) as book:
        assert book.all() == {PROJECT: {one: 10, three: 30}, OTHER: {one: 10}}
    assert (tmp_path / PINS_FILE).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", [b"no database at all" * 100, None])
def test_a_damaged_book_begins_anew(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / PINS_FILE
    with contextlib.closing(PinBook(path)) as book:
        book.change(PROJECT, {make_block()[0]: 1 for _ in range(500)}, frozenset())
    if damage is None:
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(8192))
    else:
        path.write_bytes(damage)
    with contextlib.closing(PinBook(path)) as book:
        assert book.all() == {}
        book.change(PROJECT, {make_block()[0]: 1}, frozenset())
        assert len(book.all()[PROJECT]) == 1


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    kept = make_block()[0]
    with (
        small_disk(tmp_path / "small", "1m") as disk,
        contextlib.closing(PinBook(disk / PINS_FILE)) as book,
    ):
        book.change(PROJECT, {kept: 1}, frozenset())
        with pytest.raises(OSError, match="full"):
            book.change(PROJECT, {make_block(32)[0]: 1 for _ in range(40_000)}, {kept})
        assert book.all() == {PROJECT: {kept: 1}}
