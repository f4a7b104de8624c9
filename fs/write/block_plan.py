"""How bytes that no block holds yet are cut into blocks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import NewExtent
from lucidnode.node.client.ids import BlockId

MAX_TAIL_BYTES = 256 * 1024
"""Bytes. Less than this is not worth a block of its own: it waits to share one."""


class Piece(NamedTuple):
    """Bytes that belong at *offset* of the file *ino*."""

    ino: InodeNo
    offset: int
    data: bytes | memoryview

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


class BlockPlan(NamedTuple):
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


def plan(pieces: Iterable[Piece], block_size: int) -> BlockPlan:
    """Decide what gets a block now. Only a last pack smaller than MAX_TAIL_BYTES becomes tails."""
    filled = packs(pieces, block_size)
    if filled and sum(len(piece.data) for piece in filled[-1]) < MAX_TAIL_BYTES:
        return BlockPlan(filled[:-1], filled[-1])
    return BlockPlan(filled, [])


def extents_of(pieces: Iterable[Piece], block: BlockId) -> dict[InodeNo, list[NewExtent]]:
    """Return the extents of each file among *pieces*, which lie in *block* one after the other."""
    extents: dict[InodeNo, list[NewExtent]] = {}
    at = 0
    for piece in pieces:
        found = extents.setdefault(piece.ino, [])
        last = found[-1] if found else None
        size = len(piece.data)
        if last and (last.offset, last.block_offset) == (
            piece.offset - last.length,
            at - last.length,
        ):
            # A log that was synced line by line is one extent in its pack, not a thousand.
            found[-1] = NewExtent(last.offset, last.length + size, block, last.block_offset)
        else:
            found.append(NewExtent(piece.offset, size, block, at))
        at += size
    return extents


def _aligned(piece: Piece, block_size: int) -> Iterator[Piece]:
    at = piece.offset
    if (at // block_size + 1) * block_size >= piece.end:
        yield piece
        return
    while at < piece.end:
        stop = min(piece.end, (at // block_size + 1) * block_size)
        yield Piece(piece.ino, at, bytes(piece.data[at - piece.offset : stop - piece.offset]))
        at = stop
