"""The ids that cross planes, each with its one parser. Format 1 (docs/format.md, "Ids")."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NewType

from lucidnode.node.client.errors import Malformed

BlockId = NewType("BlockId", bytes)
"""BLAKE3-256 of a block's whole ciphertext, 32 bytes; lower-case hex in keys and file names."""

ProjectId = NewType("ProjectId", str)
"""16 random bytes as 32 lower-case hex digits."""

DeviceId = NewType("DeviceId", str)
"""The first 16 bytes of BLAKE3-256 of the device's raw Ed25519 public key, as 32 hex digits."""

Seq = NewType("Seq", int)
"""A journal or roster position. The first entry is 1; 0 means "before any entry"."""

_HEX64 = re.compile(r"[0-9a-f]{64}")
_HEX32 = re.compile(r"[0-9a-f]{32}")

MAX_SEQ = 2**53 - 1
"""Exact in every JSON reader; at ten entries a second it lasts 28 million years."""


def parse_block_id(text: str) -> BlockId:
    """Return the block id written as 64 lower-case hex digits, else raise Malformed."""
    if not _HEX64.fullmatch(text):
        raise Malformed("block id")
    return BlockId(bytes.fromhex(text))


def parse_project_id(text: str) -> ProjectId:
    """Return the project id written as 32 lower-case hex digits, else raise Malformed."""
    if not _HEX32.fullmatch(text):
        raise Malformed("project id")
    return ProjectId(text)


def parse_device_id(text: str) -> DeviceId:
    """Return the device id written as 32 lower-case hex digits, else raise Malformed."""
    if not _HEX32.fullmatch(text):
        raise Malformed("device id")
    return DeviceId(text)


def parse_seq(text: str) -> Seq:
    """Return a sequence number from 1 to MAX_SEQ in plain decimal, else raise Malformed."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 16):
        raise Malformed("sequence number")
    number = int(text)
    if not 1 <= number <= MAX_SEQ:
        raise Malformed("sequence number")
    return Seq(number)


def block_ids(raw: Iterable[bytes]) -> list[BlockId]:
    """Return *raw* as ids. Raises Malformed if one of them has not the size of an id."""
    ids = [BlockId(block) for block in raw]
    if any(len(block) != 32 for block in ids):
        raise Malformed("block id")
    return ids
