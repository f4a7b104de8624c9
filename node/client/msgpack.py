"""Reading MessagePack from outside: one place that knows all the ways it can fail."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from lucidnode.node.client.errors import Malformed

T = TypeVar("T")


def decoded(decoder: msgspec.msgpack.Decoder[T], raw: bytes) -> T:
    """Return what *decoder* reads in *raw*; raises Malformed, and nothing else."""
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # msgspec lets the last two through: text that is no UTF-8, and nesting without end.
        raise Malformed(f"not the MessagePack that is expected here: {error}") from error
