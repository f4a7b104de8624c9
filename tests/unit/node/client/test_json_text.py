"""Whatever bytes come, reading them gives a value or Malformed."""

from __future__ import annotations

import msgspec
import pytest

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.json_text import json_in


class Lax(msgspec.Struct):
    """Fields it does not know are read over, whatever they hold."""

    name: str = ""


def test_what_is_json_of_its_kind_is_read() -> None:
    assert json_in(b'{"name": "Ada", "unknown": [1]}', Lax) == Lax("Ada")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"name": 1}', id="another type"),
        pytest.param(b'{"name": "\xff"}', id="value not UTF-8"),
        pytest.param(b'{"unknown": ' + b"[" * 100_000, id="unknown and nested"),
    ],
)
def test_what_breaks_a_decoder_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        json_in(raw, Lax)
