"""Reading JSON from outside: one place that knows all the ways it can fail."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from lucidnode.node.client.errors import Malformed

T = TypeVar("T")


def json_in(raw: bytes, kind: type[T]) -> T:
    """Return the *kind* that *raw* holds; raises Malformed, and nothing else."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # msgspec lets the last two through: text that is no UTF-8, and nesting without end.
        raise Malformed(f"not the JSON that is expected here: {error}") from error
