"""Whatever bytes come, reading them gives a value or Malformed."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.msgpack import decoded


class Lax(msgspec.Struct):
    """Fields it does not know are read over, whatever they hold."""

    name: str = ""
    anything: Any = None


LAX = msgspec.msgpack.Decoder(Lax)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(decoded(LAX, raw), Lax)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x81\xa4name\xa2\xff\xff", id="value not UTF-8"),
        pytest.param(b"\x81\xa8anything\x81\xa2\xff\xff\x01", id="key not UTF-8"),
        pytest.param(b"\x81\xa8anything" + b"\x91" * 100_000, id="nested without end"),
        pytest.param(b"\x81\xa7unknown" + b"\x91" * 100_000, id="unknown and nested"),
        pytest.param(b"\x81\xa8anything\xdd\xff\xff\xff\xff", id="a length past the end"),
        pytest.param(b"\x80\x80", id="something behind it"),
    ],
)
def test_what_breaks_a_decoder_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decoded(LAX, raw)
