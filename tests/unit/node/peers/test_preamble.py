"""What is said before TLS: nothing to strangers, nothing twice, nothing for somebody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.peers.preamble import (
    MAX_HELLO_BYTES,
    OPENING_BYTES,
    RECORD_HEADER_BYTES,
    answer,
    answered,
    hello_rest,
    opened,
    opening,
    vouched,
    vouches,
)

KEY, OTHER = b"k" * 32, b"x" * 32
nonces = st.binary(min_size=32, max_size=32)
hellos = st.binary(max_size=100)


@given(nonces, nonces, hellos)
def test_members_understand_each_other(d: bytes, l: bytes, hello: bytes) -> None:  # noqa: E741
    assert opened(KEY, opening(KEY, d)) == d
    assert answered(KEY, d, answer(KEY, d, l)) == l
    assert vouches(KEY, d, l, hello, vouched(KEY, d, l, hello))
    assert len(opening(KEY, d)) == len(answer(KEY, d, l)) == OPENING_BYTES


@given(st.binary(max_size=200))
def test_whoever_has_no_key_opens_nothing(message: bytes) -> None:
    assert opened(KEY, message) is None
    assert answered(KEY, b"d" * 32, message) is None
    assert not vouches(KEY, b"d" * 32, b"l" * 32, b"hello", message)


@given(nonces, nonces)
def test_no_message_passes_for_another_or_for_another_studios(d: bytes, other: bytes) -> None:
    assert opened(OTHER, opening(KEY, d)) is None
    assert opened(KEY, answer(KEY, d, other)) is None  # sent back to where it came from
    assert answered(KEY, d, opening(KEY, d)) is None
    if other != d:
        assert answered(KEY, other, answer(KEY, d, b"l" * 32)) is None  # for another's question


@given(nonces, nonces, hellos, hellos)
def test_a_vouched_hello_is_good_for_one_connection_and_cannot_be_exchanged(
    d: bytes, other: bytes, hello: bytes, another: bytes
) -> None:
    mac = vouched(KEY, d, b"l" * 32, hello)
    if another != hello:
        assert not vouches(KEY, d, b"l" * 32, another, mac)
    if other != b"l" * 32:
        assert not vouches(KEY, d, other, hello, mac)
    assert not vouches(OTHER, d, b"l" * 32, hello, mac)


@pytest.mark.parametrize(
    ("header", "rest"),
    [
        (b"\x16\x03\x01\x01\x00", 256),
        (b"\x16\x03\x01\x00\x00", None),
        (b"\x16\x03\x01\xff\xff", None),
        (b"\x17\x03\x01\x01\x00", None),
        (b"GET /", None),
    ],
)
def test_only_a_hello_of_bounded_size_is_read(header: bytes, rest: int | None) -> None:
    assert hello_rest(header) == rest


def test_the_bound_of_a_hello_counts_its_header() -> None:
    most = MAX_HELLO_BYTES - RECORD_HEADER_BYTES
    assert hello_rest(b"\x16\x03\x01" + most.to_bytes(2)) == most
    assert hello_rest(b"\x16\x03\x01" + (most + 1).to_bytes(2)) is None
