"""Control messages: whole and in bounds, or Malformed."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.client.errors import Malformed
from lucidnode.node.peers.messages import (
    HandshakeRequest,
    HandshakeResponse,
    Heads,
    Message,
    PeerSummary,
    PeerTotals,
    Push,
    decode,
    encode,
)

SUMMARY = PeerSummary(
    version="0.1.0",
    up_s=60,
    cache_bytes=1,
    cache_limit=2,
    disk_free=3,
    waiting_bytes=0,
    waiting_s=0,
    drives=1,
    alerts={"cache-disk": 1_790_000_000},
    sources={"0f" * 16: 7},
)
GOOD: list[Message] = [
    HandshakeRequest(1, b"i" * 16, 4433, 16),
    HandshakeResponse(1, b"i" * 16, 16, 4434, b"s" * 16, b"k" * 32),
    Push("0f" * 16, 7),
    Heads({"0f" * 16: [(7, b"h" * 32)]}),
    Heads({}, (3, b"r" * 32)),
    PeerTotals({"served": 5}),
    SUMMARY,
]


@pytest.mark.parametrize("message", GOOD, ids=repr)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.sampled_from(GOOD), st.data())
def test_a_message_cut_or_extended_is_malformed(message: Message, data: st.DataObject) -> None:
    raw = encode(message)
    cut = data.draw(st.integers(0, len(raw) - 1))
    for broken in (raw[:cut], raw + b"\0"):
        with pytest.raises(Malformed):
            decode(broken)


def test_text_that_is_no_text_is_malformed() -> None:
    for raw in (
        b"\x81\xa4type\xa4h\xd9lo",
        encode(PeerTotals({"served": 5})).replace(b"served", b"\xffrved"),
    ):
        with pytest.raises(Malformed):
            decode(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(raw: bytes) -> None:
    with contextlib.suppress(Malformed):
        decode(raw)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "hello", "protocol": 1, "instance": b"i" * 15, "control_port": 1, "weight": 1},
        {"type": "hello", "protocol": 1, "instance": b"i" * 16, "control_port": 0, "weight": 1},
        {"type": "hello", "protocol": 1, "instance": b"i" * 16, "control_port": 1, "weight": 65},
        {"type": "push", "project": "0F" * 16, "seq": 1, "body": b""},
        {"type": "push", "project": "0f" * 16, "seq": 0, "body": b""},
        {"type": "push", "project": "0f" * 16 + "\n", "seq": 1, "body": b""},
        {"type": "heads", "heads": {"0f" * 16: [1, b"h" * 31]}},
        {"type": "heads", "heads": {f"{n:032x}": [1, b"h" * 32] for n in range(4097)}},
        {"type": "heads", "heads": {}, "roster": [0, b"h" * 32]},
        {"type": "heads", "heads": {}, "roster": [1, b"h" * 31]},
        {"type": "totals", "totals": {"x" * 65: 1}},
        {"type": "totals", "totals": {str(n): 1 for n in range(65)}},
        {"type": "totals", "totals": {}, "more": 1},
        {"type": "unknown"},
    ],
)
def test_a_field_out_of_bounds_makes_it_malformed(fields: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        decode(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize(
    "field",
    [
        {"version": "0.1\n"},
        {"version": "v" * 33},
        {"up_s": -1},
        {"cache_bytes": 2**63},
        {"drives": 100_001},
        {"alerts": {"shots/secret.mov": 1}},
        {"alerts": {"Reel 4": 1}},
        {"alerts": {"x" * 41: 1}},
        {"alerts": {f"t-{n}": 1 for n in range(17)}},
        {"sources": {"0F" * 16: 1}},
        {"sources": {f"{n:032x}": 1 for n in range(65)}},
        {"path": "shots/secret.mov"},
    ],
)
def test_a_summary_has_no_room_for_a_name(field: dict[str, object]) -> None:
    fields = msgspec.to_builtins(SUMMARY) | field
    with pytest.raises(Malformed):
        decode(msgspec.msgpack.encode(fields))


def test_nesting_without_end_is_malformed() -> None:
    with pytest.raises(Malformed):
        decode(b"\x91" * 1_000_000)
