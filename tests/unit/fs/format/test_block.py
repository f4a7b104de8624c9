"""Blocks: what goes in comes out, and nothing else ever does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.errors import (
    BlockError,
    BlockExtended,
    BlockForged,
    BlockMisnamed,
    BlockMisshapen,
    BlockTruncated,
    BlockWrongEpoch,
    Forged,
    KeyMissing,
)
from lucidnode.fs.format.block import BlockName, BlockOpener, open_block, seal
from lucidnode.fs.format.geometry import (
    HEADER_BYTES,
    MAX_PLAIN_BYTES,
    PAGE_BYTES,
    SEGMENT_BYTES,
    TAG_BYTES,
    segments,
)
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.node.client.ids import BlockId, ProjectId

FILM = ProjectId("0f" * 16)
OTHER = ProjectId("f0" * 16)
KEYS = ProjectKeys.of(FILM, {1: b"k" * 32})
TWO_EPOCHS = ProjectKeys.of(FILM, {1: b"k" * 32, 2: b"n" * 32})


def footage(size: int, seed: int = 0) -> bytes:
    """Return *size* bytes without any repetition."""
    return blake3(seed.to_bytes(8, "big")).digest(length=size)


def renamed(name: BlockName, ciphertext: bytes) -> BlockName:
    """Return *name* with the id of other bytes, as if metadata had been made for them."""
    return replace(name, id=BlockId(blake3(ciphertext).digest()))


def segment_bytes(opener: BlockOpener, ciphertext: bytes, index: int) -> bytes:
    span = opener.span(index)
    return ciphertext[span.offset : span.offset + span.length]


# -- what goes in comes out ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "size",
    [
        1,
        PAGE_BYTES - 1,
        PAGE_BYTES,
        PAGE_BYTES + 1,
        SEGMENT_BYTES - 1,
        SEGMENT_BYTES,
        SEGMENT_BYTES + 1,
        5 * SEGMENT_BYTES + 77,
        MAX_PLAIN_BYTES,
    ],
)
def test_a_block_opens_to_its_plaintext_and_zeros(size: int) -> None:
    plaintext = footage(size)
    name, ciphertext = seal(KEYS, plaintext)
    assert open_block(KEYS, name, ciphertext) == plaintext.ljust(name.size, b"\0")
    assert name.size - size < PAGE_BYTES
    assert name.id == blake3(ciphertext).digest()


@given(st.data())
def test_any_range_can_be_read_by_its_segments_alone(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 3 * SEGMENT_BYTES))
    plaintext = footage(size)
    name, ciphertext = seal(KEYS, plaintext)
    offset = data.draw(st.integers(0, name.size - 1))
    length = data.draw(st.integers(1, name.size - offset))
    opener = BlockOpener(KEYS, name)
    read = b"".join(
        opener.segment(index, segment_bytes(opener, ciphertext, index))[start:stop]
        for index, start, stop in segments(offset, length)
    )
    assert read == plaintext.ljust(name.size, b"\0")[offset : offset + length]


def test_equal_content_of_a_project_is_one_block() -> None:
    assert seal(KEYS, footage(9000)) == seal(KEYS, footage(9000))


def test_padding_the_plaintext_oneself_gives_the_same_block() -> None:
    assert seal(KEYS, b"frame") == seal(KEYS, b"frame".ljust(PAGE_BYTES, b"\0"))


def test_equal_content_of_two_projects_shares_nothing_even_under_one_key() -> None:
    mine = seal(KEYS, footage(PAGE_BYTES))
    theirs = seal(ProjectKeys.of(OTHER, {1: b"k" * 32}), footage(PAGE_BYTES))
    assert mine[0].id != theirs[0].id
    assert mine[0].nonce != theirs[0].nonce


def test_ciphertext_shows_nothing_of_repetitive_plaintext() -> None:
    _, ciphertext = seal(KEYS, bytes(4 * SEGMENT_BYTES))
    pages = [ciphertext[at : at + 16] for at in range(HEADER_BYTES, len(ciphertext) - 16, 16)]
    assert len(set(pages)) == len(pages)


def test_a_block_of_an_old_epoch_opens_after_a_new_one_began() -> None:
    name, ciphertext = seal(KEYS, footage(PAGE_BYTES))
    assert open_block(TWO_EPOCHS, name, ciphertext) == footage(PAGE_BYTES)
    assert seal(TWO_EPOCHS, footage(PAGE_BYTES))[0].epoch == 2


def test_a_segment_opens_from_a_view_without_a_copy_by_the_caller() -> None:
    name, ciphertext = seal(KEYS, footage(PAGE_BYTES))
    assert BlockOpener(KEYS, name).segment(0, memoryview(ciphertext)[HEADER_BYTES:]) == footage(
        PAGE_BYTES
    )


@pytest.mark.parametrize("size", [0, MAX_PLAIN_BYTES + 1])
def test_nothing_and_too_much_are_no_block(size: int) -> None:
    with pytest.raises(BlockMisshapen):
        seal(KEYS, bytes(size))


# -- nothing else does ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def block() -> tuple[BlockName, bytes]:
    """Return a block of one whole segment and a short one."""
    return seal(KEYS, footage(SEGMENT_BYTES + PAGE_BYTES))


def test_a_block_cut_anywhere_is_truncated(block: tuple[BlockName, bytes]) -> None:
    name, ciphertext = block
    for length in (
        *range(HEADER_BYTES + 70),
        HEADER_BYTES + SEGMENT_BYTES + TAG_BYTES,
        *range(69_000, len(ciphertext)),
    ):
        with pytest.raises(BlockTruncated):
            open_block(KEYS, name, ciphertext[:length])


@pytest.mark.parametrize(
    "tail", [1, TAG_BYTES, PAGE_BYTES, PAGE_BYTES + TAG_BYTES, SEGMENT_BYTES + TAG_BYTES]
)
def test_a_block_with_more_behind_it_is_extended(block: tuple[BlockName, bytes], tail: int) -> None:
    name, ciphertext = block
    with pytest.raises(BlockExtended):
        open_block(KEYS, name, ciphertext + bytes(tail))


def test_a_flipped_bit_at_any_byte_of_a_block_is_found() -> None:
    name, ciphertext = seal(KEYS, footage(PAGE_BYTES))
    flipped = bytearray(ciphertext)
    for position in range(len(flipped)):
        flipped[position] ^= 1 << position % 8
        with pytest.raises(BlockError):
            open_block(KEYS, name, bytes(flipped))
        flipped[position] = ciphertext[position]
    assert open_block(KEYS, name, bytes(flipped)) == footage(PAGE_BYTES)


def test_a_flipped_bit_is_found_without_the_hash_too() -> None:
    """As if the attacker could choose the id that metadata keeps."""
    name, ciphertext = seal(KEYS, footage(PAGE_BYTES))
    flipped = bytearray(ciphertext)
    for position in range(len(flipped)):
        flipped[position] ^= 1 << position % 8
        with pytest.raises(BlockError) as caught:
            open_block(KEYS, renamed(name, bytes(flipped)), bytes(flipped))
        assert not isinstance(caught.value, BlockMisnamed)
        flipped[position] = ciphertext[position]


def test_a_flipped_bit_at_any_byte_of_any_segment_is_forged(
    block: tuple[BlockName, bytes],
) -> None:
    name, ciphertext = block
    opener = BlockOpener(KEYS, name)
    for index in range(opener.count):
        sealed = bytearray(segment_bytes(opener, ciphertext, index))
        for position in range(len(sealed)):
            sealed[position] ^= 0x10
            with pytest.raises(BlockForged):
                opener.segment(index, memoryview(sealed))
            sealed[position] ^= 0x10


@pytest.mark.parametrize("bit", range(HEADER_BYTES * 8))
def test_each_bit_of_the_header_is_checked(bit: int, block: tuple[BlockName, bytes]) -> None:
    name, ciphertext = block
    flipped = bytearray(ciphertext)
    flipped[bit // 8] ^= 1 << bit % 8
    expected = BlockMisshapen if bit < 4 * 8 else BlockWrongEpoch if bit < 8 * 8 else BlockForged
    with pytest.raises(expected):
        open_block(KEYS, renamed(name, bytes(flipped)), bytes(flipped))


def test_swapped_segments_are_forged() -> None:
    name, ciphertext = seal(KEYS, footage(3 * SEGMENT_BYTES))
    opener = BlockOpener(KEYS, name)
    parts = [segment_bytes(opener, ciphertext, index) for index in range(3)]
    for first, second, third in [(1, 0, 2), (0, 2, 1), (2, 1, 0), (0, 0, 2), (1, 2, 0)]:
        swapped = ciphertext[:HEADER_BYTES] + parts[first] + parts[second] + parts[third]
        with pytest.raises(BlockForged):
            open_block(KEYS, renamed(name, swapped), swapped)
    for place in range(3):
        for source in {0, 1, 2} - {place}:
            with pytest.raises(BlockForged):
                opener.segment(place, parts[source])


def test_a_block_cannot_pass_as_a_shorter_one_even_if_metadata_says_so() -> None:
    name, ciphertext = seal(KEYS, footage(3 * SEGMENT_BYTES))
    shorter = ciphertext[: HEADER_BYTES + 2 * (SEGMENT_BYTES + TAG_BYTES)]
    with pytest.raises(BlockForged):
        open_block(KEYS, replace(renamed(name, shorter), size=2 * SEGMENT_BYTES), shorter)


def test_two_sound_blocks_of_a_project_cannot_stand_for_each_other() -> None:
    name, ciphertext = seal(KEYS, footage(PAGE_BYTES, 1))
    _, other = seal(KEYS, footage(PAGE_BYTES, 2))
    with pytest.raises(BlockForged):
        open_block(KEYS, name, other)
    with pytest.raises(BlockForged):
        BlockOpener(KEYS, name).segment(0, other[HEADER_BYTES:])
    with pytest.raises(BlockMisnamed):
        open_block(KEYS, renamed(name, other), ciphertext)


def test_another_project_cannot_open_a_block_even_under_the_same_key() -> None:
    name, ciphertext = seal(KEYS, footage(PAGE_BYTES))
    with pytest.raises(BlockForged) as caught:
        open_block(ProjectKeys.of(OTHER, {1: b"k" * 32}), name, ciphertext)
    assert isinstance(caught.value, Forged)


def test_another_key_cannot_open_a_block() -> None:
    name, ciphertext = seal(KEYS, footage(PAGE_BYTES))
    with pytest.raises(BlockForged):
        open_block(ProjectKeys.of(FILM, {1: b"x" * 32}), name, ciphertext)


def test_a_name_of_another_epoch_does_not_open_the_block() -> None:
    name, ciphertext = seal(KEYS, footage(PAGE_BYTES))
    wrong = replace(name, epoch=2)
    with pytest.raises(BlockWrongEpoch):
        open_block(TWO_EPOCHS, wrong, ciphertext)
    with pytest.raises(BlockForged):
        BlockOpener(TWO_EPOCHS, wrong).segment(0, ciphertext[HEADER_BYTES:])


def test_an_epoch_whose_key_we_lack_says_so() -> None:
    name, ciphertext = seal(TWO_EPOCHS, footage(PAGE_BYTES))
    with pytest.raises(KeyMissing):
        open_block(KEYS, name, ciphertext)
    with pytest.raises(KeyMissing):
        BlockOpener(KEYS, name)


def test_a_member_cannot_put_two_contents_under_one_name() -> None:
    """A nonce that is not the content's own would let two blocks share a key."""
    forged_keys = replace(
        KEYS, epochs={1: replace(KEYS.epoch(1), nonce=b"another key for the nonces only!")}
    )
    forged_name, forged = seal(forged_keys, footage(PAGE_BYTES))
    assert BlockOpener(KEYS, forged_name).segment(0, forged[HEADER_BYTES:]) == footage(PAGE_BYTES)
    with pytest.raises(BlockForged):
        open_block(KEYS, forged_name, forged)


@pytest.mark.parametrize("length", [0, 1, PAGE_BYTES + TAG_BYTES - 1, PAGE_BYTES + TAG_BYTES + 1])
def test_a_segment_of_a_wrong_length_is_not_tried(length: int) -> None:
    name, _ = seal(KEYS, footage(PAGE_BYTES))
    expected = BlockTruncated if length < PAGE_BYTES + TAG_BYTES else BlockExtended
    with pytest.raises(expected):
        BlockOpener(KEYS, name).segment(0, bytes(length))


@pytest.mark.parametrize("index", [-1, 1])
def test_a_block_has_no_segment_past_its_end(index: int) -> None:
    name, _ = seal(KEYS, footage(PAGE_BYTES))
    with pytest.raises(IndexError):
        BlockOpener(KEYS, name).segment(index, bytes(PAGE_BYTES + TAG_BYTES))


@pytest.mark.parametrize("size", [0, -PAGE_BYTES, 1, PAGE_BYTES + 1, MAX_PLAIN_BYTES + PAGE_BYTES])
def test_a_name_with_an_impossible_size_is_misshapen(size: int) -> None:
    name, ciphertext = seal(KEYS, footage(PAGE_BYTES))
    with pytest.raises(BlockMisshapen):
        open_block(KEYS, replace(name, size=size), ciphertext)
    with pytest.raises(BlockMisshapen):
        BlockOpener(KEYS, replace(name, size=size))
