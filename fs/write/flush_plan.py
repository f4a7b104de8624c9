"""How bytes that no block holds yet are cut into blocks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lucidnode.fs.replica.inode import InodeNo

MAX_TAIL_BYTES = 256 * 1024
"""Bytes. Less than this is not worth a block of its own: it waits to share one."""


class Piece(NamedTuple):
    """Bytes that belong at *offset* of the file *ino*."""

    ino: InodeNo
    offset: int
    data: bytes

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


class FlushPlan(NamedTuple):
    """How pieces become durable: each pack as one block, the rest as tails of the replica."""

    packs: list[list[Piece]]
    tails: list[Piece]


def packs(pieces: Iterable[Piece], block_size: int) -> list[list[Piece]]:
    """Fill blocks with *pieces* in their order; none holds more than *block_size* bytes.

    A piece that crosses a multiple of *block_size* in its file is cut there, so that the same
    content written in other steps still gives the same blocks.
    """
    return shared((part for piece in pieces for part in _aligned(piece, block_size)), block_size)


def shared(pieces: Iterable[Piece], block_size: int) -> list[list[Piece]]:
    """Fill blocks with *pieces* in their order, each whole and none longer than *block_size*."""
    filled: list[list[Piece]] = []
    room = 0
    for piece in pieces:
        if len(piece.data) > room:
            filled.append([])
            room = block_size
        filled[-1].append(piece)
        room -= len(piece.data)
    return filled


def plan(pieces: Iterable[Piece], block_size: int) -> FlushPlan:
    """Decide what gets a block now. Only a last pack smaller than MAX_TAIL_BYTES becomes tails."""
    filled = packs(pieces, block_size)
    if filled and sum(len(piece.data) for piece in filled[-1]) < MAX_TAIL_BYTES:
        return FlushPlan(filled[:-1], filled[-1])
    return FlushPlan(filled, [])


def _aligned(piece: Piece, block_size: int) -> Iterator[Piece]:
    at = piece.offset
    while at < piece.end:
        stop = min(piece.end, (at // block_size + 1) * block_size)
        yield Piece(piece.ino, at, piece.data[at - piece.offset : stop - piece.offset])
        at = stop
