"""Reading MessagePack from outside: one place that knows all the ways it can fail."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

import msgspec

from lucidnode.node.client.errors import Malformed

T = TypeVar("T")


class _Tagged(msgspec.Struct):
    """Any message of several kinds, in the form that msgspec gives them."""

    type: str


_TAGGED = msgspec.msgpack.Decoder(_Tagged)


def decoded(decoder: msgspec.msgpack.Decoder[T], raw: bytes) -> T:
    """Return what *decoder* reads in *raw*; raises Malformed, and nothing else."""
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # msgspec lets the last two through: text that is no UTF-8, and nesting without end.
        raise Malformed(f"not the MessagePack that is expected here: {error}") from error


def known(decoder: msgspec.msgpack.Decoder[T], raw: bytes, kinds: Collection[str]) -> T | None:
    """As `decoded`, for a message that is one of *kinds*, the tags of structs; None for one of another kind.

    A later release may have more of them, and has to do without an answer to those.
    """
    try:
        return decoded(decoder, raw)
    except Malformed:
        if decoded(_TAGGED, raw).type in kinds:
            raise
        return None
