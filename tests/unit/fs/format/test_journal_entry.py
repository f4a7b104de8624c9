"""Journal entries: authentic, in their own slot, bounded, or not at all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import msgspec
import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.errors import (
    BadEntry,
    EntryForged,
    EntryMisplaced,
    EntryMisshapen,
    EntryUnannounced,
    EntryUnauthorised,
    Forged,
    KeyMissing,
)
from lucidnode.fs.format import journal_entry
from lucidnode.fs.format.journal_entry import MAX_CONTENT_BYTES, EntryBody, open_entry, seal_entry
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.format.padding import padded
from lucidnode.fs.format.sodium import aegis256_seal, sign, signing_public
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import MAX_SEQ, DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import (
    HEADER_SIZE,
    MAX_UNSIGNED,
    MIN_UNSIGNED,
    NO_ENTRY,
    PADDING,
    SIGNATURE_SIZE,
    TAG_SIZE,
    EntryHeader,
    entry_hash,
    signed,
    signing_message,
    split_signed,
)

FILM = ProjectId("0f" * 16)
OTHER = ProjectId("f0" * 16)
KEYS = ProjectKeys.of(FILM, {1: b"k" * 32})
SEED = b"s" * 32
DEVICE = DeviceId("d0" * 16)
PREVIOUS = b"p" * 32
SEQ = Seq(7)
CHANGE = EntryBody(wall_ns=1_700_000_000_000_000_000, changeset=b"INSERT " * 20)
ATTEMPT = b"a" * 16
NONCE = b"n" * 32


def writers(device: DeviceId) -> bytes | None:
    return signing_public(SEED) if device == DEVICE else None


def unsigned_entry(change: EntryBody = CHANGE, keys: ProjectKeys = KEYS, seq: Seq = SEQ) -> bytes:
    return seal_entry(keys, seq, PREVIOUS, DEVICE, change, attempt=ATTEMPT, nonce=NONCE)


def by_device(unsigned: bytes, seed: bytes = SEED) -> bytes:
    return signed(unsigned, sign(seed, signing_message(unsigned)))


def opened(entry: bytes, keys: ProjectKeys = KEYS, epochs: Collection[int] = (1,)) -> EntryBody:
    return open_entry(replace(keys, announced=epochs), entry, SEQ, PREVIOUS, writers)


def header_of(unsigned: bytes, **changes: object) -> bytes:
    fields = {name: getattr(EntryHeader.parse(unsigned), name) for name in EntryHeader.__slots__}
    return EntryHeader(**{**fields, **changes}).encode()


def with_body(body: bytes) -> bytes:
    """Return a signed entry of a hostile member: authentic, with any bytes sealed inside."""
    header = header_of(unsigned_entry())
    return by_device(header + aegis256_seal(KEYS.epoch(1).journal, NONCE, body, header))


# -- what goes in comes out ----------------------------------------------------------------------


@given(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=3000), st.integers(1, MAX_SEQ))
def test_an_entry_opens_to_its_change(wall_ns: int, changeset: bytes, number: int) -> None:
    change, seq = EntryBody(wall_ns, changeset), Seq(number)
    entry = by_device(unsigned_entry(change, seq=seq))
    assert open_entry(KEYS, entry, seq, PREVIOUS, writers) == change


def test_the_frame_can_be_read_without_a_key() -> None:
    header = EntryHeader.parse(by_device(unsigned_entry()))
    assert header == EntryHeader(1, SEQ, FILM, ATTEMPT, PREVIOUS, 1, DEVICE, NONCE)
    assert header.encode() == unsigned_entry()[:HEADER_SIZE]


def test_small_changes_of_different_length_look_alike() -> None:
    sizes = {len(unsigned_entry(EntryBody(0, blake3(b"x").digest(length=n)))) for n in range(180)}
    assert sizes == {HEADER_SIZE + PADDING + TAG_SIZE}


def test_signed_and_split_are_each_others_inverse() -> None:
    unsigned = unsigned_entry()
    entry = by_device(unsigned)
    assert split_signed(entry) == (unsigned, entry[-SIGNATURE_SIZE:])


def test_two_entries_of_the_same_change_differ_by_their_attempt() -> None:
    one = seal_entry(KEYS, SEQ, PREVIOUS, DEVICE, CHANGE, attempt=b"1" * 16, nonce=b"1" * 32)
    two = seal_entry(KEYS, SEQ, PREVIOUS, DEVICE, CHANGE, attempt=b"2" * 16, nonce=b"2" * 32)
    assert entry_hash(by_device(one)) != entry_hash(by_device(two))


# -- bad entries, each of its kind ---------------------------------------------------------------


def test_a_flipped_bit_anywhere_makes_a_bad_entry() -> None:
    entry = by_device(unsigned_entry())
    flipped = bytearray(entry)
    for position in range(len(entry)):
        for bit in range(8):
            flipped[position] ^= 1 << bit
            with pytest.raises(BadEntry):
                opened(bytes(flipped))
            flipped[position] ^= 1 << bit


def test_a_flipped_bit_is_found_even_if_the_device_signs_it() -> None:
    unsigned = unsigned_entry()
    flipped = bytearray(unsigned)
    for position in range(len(unsigned)):
        flipped[position] ^= 1 << position % 8
        with pytest.raises(BadEntry):
            opened(by_device(bytes(flipped)))
        flipped[position] ^= 1 << position % 8


def test_an_entry_cut_anywhere_is_a_bad_entry() -> None:
    entry = by_device(unsigned_entry())
    for length in range(len(entry)):
        with pytest.raises(BadEntry):
            opened(entry[:length])


@pytest.mark.parametrize("tail", [1, 16, PADDING, 4096])
def test_an_entry_with_more_behind_it_is_a_bad_entry(tail: int) -> None:
    with pytest.raises(BadEntry):
        opened(by_device(unsigned_entry()) + bytes(tail))


@pytest.mark.parametrize("garbage", [b"", b"\0", b"LNJ1", bytes(500), b"<html>" * 100])
def test_garbage_is_misshapen(garbage: bytes) -> None:
    with pytest.raises(EntryMisshapen):
        opened(garbage)


def test_an_entry_is_good_for_its_own_slot_only() -> None:
    entry = by_device(unsigned_entry())
    with pytest.raises(EntryMisplaced):
        open_entry(KEYS, entry, Seq(SEQ + 1), PREVIOUS, writers)
    with pytest.raises(EntryMisplaced):
        open_entry(KEYS, entry, SEQ, b"q" * 32, writers)
    with pytest.raises(EntryMisplaced):
        open_entry(KEYS, entry, SEQ, NO_ENTRY, writers)


def test_an_entry_is_good_for_its_own_project_only() -> None:
    entry = by_device(unsigned_entry())
    same_key = ProjectKeys.of(OTHER, {1: b"k" * 32})
    with pytest.raises(EntryMisplaced):
        opened(entry, same_key)
    moved = header_of(unsigned_entry(), project=OTHER) + unsigned_entry()[HEADER_SIZE:]
    with pytest.raises(EntryForged):
        opened(by_device(moved), same_key)


def test_a_body_cannot_move_to_another_slot_even_if_the_device_signs_it() -> None:
    body = unsigned_entry(seq=Seq(6))[HEADER_SIZE:]
    with pytest.raises(EntryForged) as caught:
        opened(by_device(header_of(unsigned_entry()) + body))
    assert isinstance(caught.value, Forged)


def test_a_device_that_may_not_write_is_unauthorised() -> None:
    unsigned = header_of(unsigned_entry(), device=DeviceId("ee" * 16))
    with pytest.raises(EntryUnauthorised):
        opened(by_device(unsigned + unsigned_entry()[HEADER_SIZE:]))


def test_another_devices_signature_is_forged() -> None:
    with pytest.raises(EntryForged):
        opened(by_device(unsigned_entry(), seed=b"t" * 32))


def test_a_signature_over_the_bytes_without_their_domain_is_forged() -> None:
    unsigned = unsigned_entry()
    for message in (unsigned, blake3(unsigned).digest()):
        with pytest.raises(EntryForged):
            opened(signed(unsigned, sign(SEED, message)))


def test_another_key_makes_a_forged_entry() -> None:
    with pytest.raises(EntryForged):
        opened(by_device(unsigned_entry()), ProjectKeys.of(FILM, {1: b"x" * 32}))


def test_an_announced_epoch_we_lack_the_key_of_never_counts_as_empty() -> None:
    later = ProjectKeys.of(FILM, {1: b"k" * 32, 2: b"l" * 32})
    entry = by_device(unsigned_entry(keys=later))
    with pytest.raises(KeyMissing) as caught:
        opened(entry, epochs={1, 2})
    assert not isinstance(caught.value, BadEntry)
    assert opened(entry, later, {1, 2}) == CHANGE


@pytest.mark.parametrize("epoch", [0, 2, 2**32 - 1])
def test_an_epoch_that_nobody_announced_counts_as_empty_with_or_without_its_key(epoch: int) -> None:
    strange = header_of(unsigned_entry(), epoch=epoch) + unsigned_entry()[HEADER_SIZE:]
    both = ProjectKeys.of(FILM, {1: b"k" * 32, 2: b"l" * 32})
    for keys in (KEYS, both):
        with pytest.raises(EntryUnannounced):
            opened(by_device(strange), keys)


def test_an_entry_relabelled_to_another_epoch_is_forged() -> None:
    later = ProjectKeys.of(FILM, {1: b"k" * 32, 2: b"l" * 32})
    relabelled = header_of(unsigned_entry(), epoch=2) + unsigned_entry()[HEADER_SIZE:]
    with pytest.raises(EntryForged):
        opened(by_device(relabelled), later, {1, 2})


@pytest.mark.parametrize("number", [2, 255])
def test_a_later_format_that_one_member_claims_counts_as_empty(number: int) -> None:
    later = header_of(unsigned_entry(), format=number) + b"what it means is not known here" * 9
    with pytest.raises(EntryUnannounced):
        opened(by_device(later))


def test_a_later_format_that_nobody_signed_is_only_garbage() -> None:
    later = header_of(unsigned_entry(), format=2) + b"what it means is not known here" * 9
    with pytest.raises(EntryForged):
        opened(by_device(later, seed=b"t" * 32))


# -- hostile members -----------------------------------------------------------------------------


def packed(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


GOOD = msgspec.msgpack.encode(CHANGE)


def test_the_hostile_members_tool_makes_good_entries_too() -> None:
    assert opened(with_body(padded(packed(GOOD), PADDING))) == CHANGE


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="no body"),
        pytest.param(padded(packed(b"\x81\xa2\xff\xff\x01"), PADDING), id="text not UTF-8"),
        pytest.param(padded(packed(b"\x91" * 50_000), PADDING), id="nested without end"),
        pytest.param(padded(b"", PADDING), id="no frame"),
        pytest.param(padded(GOOD, PADDING), id="not compressed"),
        pytest.param(padded(packed(GOOD), PADDING)[:-1], id="padding cut"),
        pytest.param(padded(packed(GOOD), PADDING) + bytes(PADDING), id="padding too long"),
        pytest.param(padded(packed(GOOD), PADDING)[:-1] + b"\1", id="padding not zero"),
        pytest.param(b"\xff\xff\xff\xff" + bytes(PADDING - 4), id="length past the end"),
        pytest.param(padded(packed(GOOD)[:-1], PADDING), id="frame cut"),
        pytest.param(padded(packed(GOOD) + b"\0", PADDING), id="something behind the frame"),
        pytest.param(padded(packed(GOOD) * 2, PADDING), id="two frames"),
        pytest.param(padded(packed(b"\xc1"), PADDING), id="not MessagePack"),
        pytest.param(padded(packed(GOOD + b"\0"), PADDING), id="something behind the change"),
        pytest.param(
            padded(packed(msgspec.msgpack.encode({"wall_ns": 1})), PADDING), id="field missing"
        ),
        pytest.param(
            padded(
                packed(msgspec.msgpack.encode({"wall_ns": 1, "changeset": b"", "more": 1})), PADDING
            ),
            id="unknown field",
        ),
        pytest.param(
            padded(packed(msgspec.msgpack.encode({"wall_ns": "1", "changeset": b""})), PADDING),
            id="wrong type",
        ),
        pytest.param(
            padded(zstandard.ZstdCompressor(write_content_size=False).compress(GOOD), PADDING),
            id="size not stated",
        ),
    ],
)
def test_a_hostile_member_makes_bad_entries_only(body: bytes) -> None:
    with pytest.raises(EntryMisshapen):
        opened(with_body(body))


def test_an_entry_that_unpacks_without_end_is_refused_before_memory_is_taken() -> None:
    bomb = packed(bytes(MAX_CONTENT_BYTES + 1))
    assert len(bomb) < MAX_CONTENT_BYTES // 1000
    with pytest.raises(EntryMisshapen, match="limit"):
        opened(with_body(padded(bomb, PADDING)))


@pytest.mark.parametrize("log", [20, 23, 24, 27, 31, 41])
def test_a_window_over_the_limit_is_refused_even_where_none_is_needed(log: int) -> None:
    # Magic, descriptor (size in 4 bytes), window, size; then one raw block, the last.
    size = len(GOOD).to_bytes(4, "little") + (len(GOOD) << 3 | 1).to_bytes(3, "little")
    frame = b"\x28\xb5\x2f\xfd\x80" + bytes([(log - 10) << 3]) + size + GOOD
    entry = with_body(padded(frame, PADDING))
    if log <= 23:
        assert opened(entry) == CHANGE
    else:
        with pytest.raises(EntryMisshapen):
            opened(entry)


def test_an_entry_that_lies_about_its_size_is_refused() -> None:
    frame = bytearray(packed(bytes(100_000)))
    # Single-segment frame: magic (4), descriptor (1), then the content size; here 4 bytes wide.
    assert zstandard.frame_content_size(bytes(frame)) == 100_000
    frame[5:9] = (50_000).to_bytes(4, "little")
    assert zstandard.frame_content_size(bytes(frame)) == 50_000
    with pytest.raises(EntryMisshapen):
        opened(with_body(padded(bytes(frame), PADDING)))


def test_a_change_too_large_for_an_entry_is_refused_where_it_is_made() -> None:
    noise = blake3(b"noise").digest(length=MAX_UNSIGNED)
    with pytest.raises(EntryMisshapen):
        unsigned_entry(EntryBody(0, noise))
    with pytest.raises(EntryMisshapen):
        unsigned_entry(EntryBody(0, bytes(MAX_CONTENT_BYTES)))


# -- the frame -----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 3, HEADER_SIZE, MIN_UNSIGNED - 1])
def test_a_header_needs_a_whole_frame(length: int) -> None:
    with pytest.raises(Malformed):
        EntryHeader.parse(unsigned_entry()[:length])


@pytest.mark.parametrize("number", [0, MAX_SEQ + 1, 2**64 - 1])
def test_a_header_has_a_possible_sequence_number(number: int) -> None:
    entry = bytearray(unsigned_entry())
    entry[4:12] = number.to_bytes(8, "big")
    with pytest.raises(Malformed):
        EntryHeader.parse(bytes(entry))


@pytest.mark.parametrize("length", [0, SIGNATURE_SIZE - 1, SIGNATURE_SIZE + 1])
def test_a_signature_has_one_size(length: int) -> None:
    with pytest.raises(Malformed):
        signed(unsigned_entry(), bytes(length))


def test_an_entry_over_the_limit_is_refused_by_its_size_alone() -> None:
    with pytest.raises(Malformed):
        signed(bytes(MAX_UNSIGNED + 1), bytes(SIGNATURE_SIZE))
    with pytest.raises(EntryMisshapen):
        opened(bytes(MAX_UNSIGNED + SIGNATURE_SIZE + 1))


def test_seal_levels_and_windows_stay_within_what_readers_accept() -> None:
    frame = packed(bytes(MAX_CONTENT_BYTES))
    assert zstandard.get_frame_parameters(frame).window_size <= journal_entry._MAX_WINDOW_BYTES
