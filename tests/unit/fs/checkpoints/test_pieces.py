"""Rows as pieces and back: what stays the same gives the same pieces, what is false is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from checkpoint_fixture import state_rows
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.checkpoints.pieces import (
    TABLES,
    StateRow,
    digest_of,
    pieces,
    plaintext_of,
    rows_in,
)
from lucidnode.fs.errors import BadCheckpoint
from lucidnode.fs.format.checkpoint import MAX_PIECE_BYTES


def inode(ino: int, mtime: int = 0) -> StateRow:
    return (0, ino), (ino, 8, 0o644, 1000, 1000, 0, 1, 0, mtime, 0, 0, b"", 5)


def read(made: list[bytes], *, is_base: bool) -> list[StateRow]:
    found: list[StateRow] = []
    for content in made:
        after = found[-1][0] if found else None
        rows, last = rows_in(
            plaintext_of(content), digest_of(content), is_base=is_base, after=after
        )
        found += state_rows(rows)
        assert found[-1][0] == last
    return found


keys = st.lists(st.integers(1, 2**62 - 1), unique=True, min_size=1, max_size=30).map(sorted)


@given(keys, st.integers(-(2**63), 2**63 - 1))
def test_rows_come_back_as_they_were(numbers: list[int], time: int) -> None:
    rows = [inode(number, time) for number in numbers]
    assert read(list(pieces(rows, is_base=True)), is_base=True) == rows
    gone: list[StateRow] = [
        (key, row if number % 2 else None) for (key, row), number in zip(rows, numbers, strict=True)
    ]
    assert read(list(pieces(gone, is_base=False)), is_base=False) == gone


def test_a_changed_row_changes_one_piece_of_a_base() -> None:
    rows = [inode(number) for number in range(1, 60_000)]
    before = list(pieces(rows, is_base=True))
    rows[30_000] = inode(30_001, 7)
    del rows[100]
    after = list(pieces(rows, is_base=True))
    assert len(before) > 4
    assert len(set(after) - set(before)) <= 2


def test_no_piece_is_larger_than_a_reader_takes() -> None:
    rows: list[StateRow] = [
        ((4, 2, b"%d" % number), (2, b"%d" % number, bytes(65_536))) for number in range(10, 60)
    ]
    made = list(pieces(rows, is_base=True))
    assert max(len(plaintext_of(content)) for content in made) <= MAX_PIECE_BYTES
    assert read(made, is_base=True) == rows


def refused(content: bytes, *, is_base: bool = True, after: Any = None) -> str:
    with pytest.raises(BadCheckpoint) as refusal:
        rows_in(plaintext_of(content), digest_of(content), is_base=is_base, after=after)
    return str(refusal.value)


def encoded(*records: Any) -> bytes:
    return msgspec.msgpack.encode(records)


def test_what_no_checkpoint_holds_is_refused() -> None:
    row = inode(7)[1]
    assert row is not None
    assert "piece" in refused(b"\xc1")
    assert "piece" in refused(msgspec.msgpack.encode({"a": 1}))
    assert "spelling" in refused(b"\xdd\x00\x00\x00\x01" + encoded((0, *row))[1:])
    assert "spelling" in refused(encoded())
    assert "no table" in refused(encoded((len(TABLES), 1)))
    assert "no table" in refused(encoded((b"inode", 1)))
    assert "no table" in refused(encoded(()))
    assert "columns" in refused(encoded((0, *row[:-1])))
    assert "columns" in refused(encoded((0, *row, 1)))
    assert "columns" in refused(encoded((0, b"7", *row[1:])))
    assert "columns" in refused(encoded((0, 7)), is_base=True)
    assert "columns" in refused(encoded((0, *row[:7], 2**63, *row[8:])))
    assert "columns" in refused(encoded((0, 7), (0, 2**63)), is_base=False)
    assert "order" in refused(encoded((0, *row), (0, *row)))
    assert "order" in refused(encoded((0, *row)), after=(0, 7))
    assert "order" in refused(encoded((0, *row)), after=(1, 1, b"a"))


def test_another_piece_in_the_place_of_one_is_refused() -> None:
    [one] = pieces([inode(7)], is_base=True)
    [other] = pieces([inode(8)], is_base=True)
    with pytest.raises(BadCheckpoint, match="other rows"):
        rows_in(plaintext_of(one), digest_of(other), is_base=True, after=None)
    with pytest.raises(BadCheckpoint, match="none"):
        rows_in(plaintext_of(one)[:-1], digest_of(one), is_base=True, after=None)


def test_the_numbers_of_the_tables_stay() -> None:
    assert TABLES == ("inode", "name", "extent", "block", "xattr")
