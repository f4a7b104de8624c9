"""From the ciphertext of a block, or from its plaintext, to consecutive segments of it."""

from __future__ import annotations

from lucidnode.fs.format.block import BlockOpener
from lucidnode.fs.format.geometry import SEGMENT_BYTES
from lucidnode.fs.read.block_files import OpenBlock


def cut(plaintext: bytes, first: int, count: int) -> list[bytes]:
    """Return segments [first, first + count) of a block's *plaintext*."""
    return [
        plaintext[index * SEGMENT_BYTES : (index + 1) * SEGMENT_BYTES]
        for index in range(first, first + count)
    ]


def cipher_range(opener: BlockOpener, first: int, count: int) -> tuple[int, int]:
    """Return where in a block's ciphertext segments [first, first + count) begin and end."""
    last = opener.span(first + count - 1)
    return opener.span(first).offset, last.offset + last.length


def decrypted_from_file(block: OpenBlock, first: int, count: int) -> list[bytes]:
    """Return segments [first, first + count) from the file of *block*. Raises BlockError, OSError."""
    start, stop = cipher_range(block.opener, first, count)
    return decrypted(block.opener, block.file.read(start, stop - start), first, count, base=start)


def decrypted(
    opener: BlockOpener, ciphertext: bytes | memoryview, first: int, count: int, base: int = 0
) -> list[bytes]:
    """Return segments from *ciphertext*, which starts at *base* of the block. Raises BlockError."""
    view = memoryview(ciphertext)
    spans = (opener.span(index) for index in range(first, first + count))
    return [
        opener.segment(index, view[span.offset - base : span.offset - base + span.length])
        for index, span in enumerate(spans, first)
    ]
