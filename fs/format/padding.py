"""Padding that hides lengths: length (4, big-endian) || contents || zeros to a multiple."""

from __future__ import annotations

import struct

from lucidnode.fs.errors import FormatError

_LENGTH = struct.Struct(">I")


def padded(contents: bytes, multiple: int) -> bytes:
    """Return *contents* framed and padded to the next multiple of *multiple* bytes."""
    size = _LENGTH.size + len(contents)
    return _LENGTH.pack(len(contents)) + contents + bytes(-size % multiple)


def unpadded(framed: bytes, multiple: int) -> bytes:
    """Return the contents; raises FormatError on anything that `padded` would not have made."""
    if len(framed) < _LENGTH.size or len(framed) % multiple:
        raise FormatError("padding: size")
    (length,) = _LENGTH.unpack_from(framed)
    end = _LENGTH.size + length
    if not 0 <= len(framed) - end < multiple or any(framed[end:]):
        raise FormatError("padding: contents")
    return framed[_LENGTH.size : end]
