"""Another block for the same content, where the one that it makes by itself may not be named again.

A block's name follows from its plaintext. So the plaintext gets one more page, which no extent
lies in: what was at an offset is there again.
"""

from __future__ import annotations

from collections.abc import Callable

from lucidnode.fs.format.block import BlockName, seal
from lucidnode.fs.format.geometry import MAX_PLAIN_BYTES, PAGE_BYTES, padded_size
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.node.client.ids import BlockId

MAX_OTHERS = 16
"""Blocks that one content has besides its own. One whose own is so large that it has fewer is never
collected (fs/collection/rules.py)."""

_PAGE = b"another block of the same content".ljust(PAGE_BYTES, b".")


def other_plaintext(plaintext: bytes) -> bytes | None:
    """Return *plaintext* with a page more, None if no block has room for it."""
    size = padded_size(len(plaintext))
    if size + PAGE_BYTES > MAX_PLAIN_BYTES:
        return None
    return plaintext.ljust(size, b"\0") + _PAGE


def seal_nameable(
    keys: ProjectKeys, plaintext: bytes, is_listed: Callable[[BlockId], bool]
) -> tuple[bytes, BlockName, bytes]:
    """Return *plaintext*, or what begins with it, with name and ciphertext of a block that may be named.

    Where none has room for it, of its own: the sender holds that back, and tells.
    """
    name, ciphertext = seal(keys, plaintext)
    while is_listed(name.id) and (other := other_plaintext(plaintext)) is not None:
        plaintext = other
        name, ciphertext = seal(keys, plaintext)
    return plaintext, name, ciphertext
