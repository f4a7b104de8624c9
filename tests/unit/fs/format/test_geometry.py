"""Sizes and places in blocks: exhaustive where it is cheap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.errors import BlockMisshapen
from lucidnode.fs.format import geometry
from lucidnode.fs.format.geometry import (
    HEADER_BYTES,
    MAX_PLAIN_BYTES,
    PAGE_BYTES,
    SEGMENT_BYTES,
    TAG_BYTES,
)

PLAIN_SIZES = range(PAGE_BYTES, MAX_PLAIN_BYTES + 1, PAGE_BYTES)


def test_cipher_and_plain_sizes_are_each_others_inverse_for_every_block() -> None:
    for size in PLAIN_SIZES:
        assert geometry.plain_size(geometry.cipher_size(size)) == size


def test_every_other_size_of_ciphertext_is_misshapen() -> None:
    blocks = {geometry.cipher_size(size) for size in PLAIN_SIZES}
    around = {
        size + off
        for size in blocks
        for off in (-PAGE_BYTES + 1, -TAG_BYTES, -1, 1, TAG_BYTES, TAG_BYTES + 1)
    }
    for size in (
        around | set(range(-1, 2 * SEGMENT_BYTES + 200)) | {HEADER_BYTES + MAX_PLAIN_BYTES * 2}
    ) - blocks:
        with pytest.raises(BlockMisshapen):
            geometry.plain_size(size)


@pytest.mark.parametrize(
    "size", [-PAGE_BYTES, 0, 1, PAGE_BYTES - 1, PAGE_BYTES + 1, MAX_PLAIN_BYTES + PAGE_BYTES]
)
def test_no_block_has_a_plaintext_of_part_pages_none_or_too_many(size: int) -> None:
    with pytest.raises(BlockMisshapen):
        geometry.cipher_size(size)


def test_segments_of_every_block_tile_its_ciphertext() -> None:
    for size in (*PLAIN_SIZES[:64], *PLAIN_SIZES[-40:]):
        end = HEADER_BYTES
        for index in range(geometry.segment_count(size)):
            span = geometry.segment_span(index, size)
            assert span.offset == end
            assert TAG_BYTES < span.length <= SEGMENT_BYTES + TAG_BYTES
            end += span.length
        assert end == geometry.cipher_size(size)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_block_has_no_segment_outside_it(index: int) -> None:
    with pytest.raises(IndexError):
        geometry.segment_span(index, 2 * SEGMENT_BYTES)


@given(st.integers(0, MAX_PLAIN_BYTES))
def test_padding_is_the_least_that_fills_pages(size: int) -> None:
    padded = geometry.padded_size(size)
    assert padded % PAGE_BYTES == 0
    assert 0 <= padded - size < PAGE_BYTES


@given(st.integers(0, MAX_PLAIN_BYTES), st.integers(0, 5 * SEGMENT_BYTES))
def test_segment_ranges_are_the_range(offset: int, length: int) -> None:
    position = offset
    for segment, start, stop in geometry.segments(offset, length):
        assert 0 <= start < stop <= SEGMENT_BYTES
        assert segment * SEGMENT_BYTES + start == position
        position += stop - start
    assert position == offset + length
