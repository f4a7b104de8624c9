"""Sizes and places inside a block, in both worlds. Format 1 (docs/format.md, "Blocks").

A block's plaintext is a whole number of pages; it is cut into segments of 64 KiB, the last one
shorter. Its ciphertext is a header, then each segment with its tag. "Plain" and "cipher" in a
name say in which world a number of bytes lives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lucidnode.fs.errors import BlockMisshapen

PAGE_BYTES = 4096
"""Plaintext is padded with zeros to a multiple of this, so exact sizes stay hidden."""

SEGMENT_BYTES = 65536
"""Plaintext bytes that one tag authenticates: the least that a read must decrypt."""

TAG_BYTES = 32
HEADER_BYTES = 40

MAX_PLAIN_BYTES = 16 * 1024 * 1024
"""The largest plaintext of one block."""


class SegmentRange(NamedTuple):
    """The plain bytes [start, stop) of one segment, counted from the segment's own start."""

    segment: int
    start: int
    stop: int


class CipherSpan(NamedTuple):
    """Where something lies in a block's ciphertext."""

    offset: int
    length: int


def padded_size(plain_bytes: int) -> int:
    """Return *plain_bytes* rounded up to whole pages."""
    return -(-plain_bytes // PAGE_BYTES) * PAGE_BYTES


def segment_count(plain_size: int) -> int:
    """Return how many segments hold *plain_size* bytes of plaintext."""
    return -(-plain_size // SEGMENT_BYTES)


def cipher_size(plain_size: int) -> int:
    """Return the size of the ciphertext of a block of *plain_size*; raises BlockMisshapen."""
    if not 0 < plain_size <= MAX_PLAIN_BYTES or plain_size % PAGE_BYTES:
        raise BlockMisshapen(f"no block has {plain_size} bytes of plaintext")
    return HEADER_BYTES + plain_size + TAG_BYTES * segment_count(plain_size)


def plain_size(cipher_bytes: int) -> int:
    """Return the padded plaintext size of a block of *cipher_bytes*; raises BlockMisshapen."""
    full, rest = divmod(cipher_bytes - HEADER_BYTES, SEGMENT_BYTES + TAG_BYTES)
    size = full * SEGMENT_BYTES + max(rest - TAG_BYTES, 0)
    if cipher_bytes <= HEADER_BYTES or cipher_size(size) != cipher_bytes:
        raise BlockMisshapen(f"no block has {cipher_bytes} bytes of ciphertext")
    return size


def segment_span(index: int, plain_size: int) -> CipherSpan:
    """Return where segment *index*, tag included, lies in a block of *plain_size*.

    Raises IndexError if the block has no such segment.
    """
    if not 0 <= index < segment_count(plain_size):
        raise IndexError(f"segment {index} of {segment_count(plain_size)}")
    plain = min(SEGMENT_BYTES, plain_size - index * SEGMENT_BYTES)
    return CipherSpan(HEADER_BYTES + index * (SEGMENT_BYTES + TAG_BYTES), plain + TAG_BYTES)


def segments(offset: int, length: int) -> Iterator[SegmentRange]:
    """Cut the plain range [offset, offset + length) at segment boundaries, in order, no gaps."""
    end = offset + length
    while offset < end:
        segment, start = divmod(offset, SEGMENT_BYTES)
        stop = min(SEGMENT_BYTES, start + end - offset)
        yield SegmentRange(segment, start, stop)
        offset += stop - start
