"""Blocks: sealed, named by their hash, opened segment by segment. Format 1 (docs/format.md).

    offset  bytes
         0      4  "LNB1"
         4      4  epoch, big-endian
         8     32  nonce: BLAKE3 of the padded plaintext, keyed with the epoch's nonce key
        40         segments: AEGIS-256 of up to 64 KiB of plaintext, each with its 32-byte tag

The key of a block is BLAKE3(project id || nonce) keyed with the epoch's content key: content
decides it, so equal plaintext in one project gives the equal block. Each segment's nonce is its
place (index and whether it is the last), and the header, project and place are authenticated
with it: a segment opens at its own place in its own block only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from blake3 import blake3

from lucidnode.fs.errors import (
    BlockExtended,
    BlockForged,
    BlockMisnamed,
    BlockMisshapen,
    BlockTruncated,
    BlockWrongEpoch,
    Forged,
)
from lucidnode.fs.format.geometry import (
    HEADER_BYTES,
    SEGMENT_BYTES,
    CipherSpan,
    cipher_size,
    padded_size,
    segment_count,
    segment_span,
)
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.format.sodium import AEGIS_NONCE_SIZE, aegis256_open, aegis256_seal
from lucidnode.node.client.ids import BlockId

_MAGIC = b"LNB1"
_HEADER = struct.Struct(">4sI32s")
_PLACE = struct.Struct(">I?")
_PLACE_PADDING = bytes(AEGIS_NONCE_SIZE - _PLACE.size)

assert _HEADER.size == HEADER_BYTES


@dataclass(frozen=True, slots=True)
class BlockName:
    """What metadata keeps of a block: enough to find it, to open it and to know it is right."""

    id: BlockId
    epoch: int
    nonce: bytes
    size: int
    """Padded plaintext bytes."""


def seal(
    keys: ProjectKeys, plaintext: bytes | memoryview, epoch: int | None = None
) -> tuple[BlockName, bytes]:
    """Return the name and the ciphertext of *plaintext* in *epoch*, in the current one if it is None.

    1 to MAX_PLAIN_BYTES bytes, padded here with zeros to whole pages; raises BlockMisshapen on any other
    size, KeyMissing for an epoch that is not ours. Deterministic: the same content in the same project and epoch gives the same block.
    """
    size = padded_size(len(plaintext))
    capacity = cipher_size(size)
    if len(plaintext) != size:
        plaintext = bytes(plaintext).ljust(size, b"\0")
    if epoch is None:
        epoch = keys.current
    nonce = _content_nonce(keys, epoch, plaintext)
    cipher = _Cipher(keys, epoch, nonce, segment_count(size))
    sealed = b"".join(
        [
            _HEADER.pack(_MAGIC, epoch, nonce),
            *(
                cipher.seal(
                    index, bytes(plaintext[index * SEGMENT_BYTES : (index + 1) * SEGMENT_BYTES])
                )
                for index in range(cipher.count)
            ),
        ]
    )
    assert len(sealed) == capacity
    return BlockName(BlockId(blake3(sealed).digest()), epoch, nonce, size), sealed


def open_block(keys: ProjectKeys, name: BlockName, ciphertext: bytes) -> bytes:
    """Return the padded plaintext of *name*, everything about it checked.

    Raises a BlockError if *ciphertext* is anything else than that block, KeyMissing if its epoch
    is not ours.
    """
    opener = BlockOpener(keys, name)
    _check_length(len(ciphertext), cipher_size(name.size))
    magic, epoch, nonce = _HEADER.unpack_from(ciphertext)
    if magic != _MAGIC:
        raise BlockMisshapen(f"block {name.id.hex()}: header")
    if epoch != name.epoch:
        raise BlockWrongEpoch(f"block {name.id.hex()}: epoch {epoch}, not {name.epoch}")
    if nonce != name.nonce:
        raise BlockForged(f"block {name.id.hex()}: nonce")
    if blake3(ciphertext).digest() != name.id:
        raise BlockMisnamed(f"block {name.id.hex()}: hash")
    view = memoryview(ciphertext)
    plaintext = b"".join(
        [
            opener.segment(index, view[span.offset : span.offset + span.length])
            for index, span in enumerate(map(opener.span, range(opener.count)))
        ]
    )
    if _content_nonce(keys, name.epoch, plaintext) != name.nonce:
        # Only a member could make this: two contents under one key and nonce.
        raise BlockForged(f"block {name.id.hex()}: nonce is not of this content")
    return plaintext


class BlockOpener:
    """Opens single segments of the block *name* from any copy of it.

    The key comes from the name that metadata keeps, never from the copy's own header: another
    block in its place, even a sound one of the same project, does not open. Raises KeyMissing if
    the block's epoch is not ours, BlockMisshapen if no block can have such a size.
    """

    __slots__ = ("_cipher", "count", "name")

    def __init__(self, keys: ProjectKeys, name: BlockName) -> None:
        cipher_size(name.size)
        self.name = name
        self.count = segment_count(name.size)
        self._cipher = _Cipher(keys, name.epoch, name.nonce, self.count)

    def span(self, index: int) -> CipherSpan:
        """Return where segment *index* lies in the ciphertext; raises IndexError past the end."""
        return segment_span(index, self.name.size)

    def cipher(self) -> tuple[bytes, bytes]:
        """Return the block's key, and the associated data of each segment but for its place."""
        return self._cipher.key, self._cipher.associated

    def segment(self, index: int, sealed: bytes | memoryview) -> bytes:
        """Return the plaintext of segment *index* from the bytes at its span.

        Raises BlockTruncated or BlockExtended on a wrong length, else BlockForged if these bytes
        are not that segment.
        """
        _check_length(len(sealed), self.span(index).length)
        try:
            return self._cipher.open(index, bytes(sealed))
        except Forged as error:
            raise BlockForged(f"block {self.name.id.hex()}: segment {index}") from error


class _Cipher:
    """One block's key, and the nonce and associated data of each of its segments."""

    __slots__ = ("associated", "count", "key")

    def __init__(self, keys: ProjectKeys, epoch: int, nonce: bytes, count: int) -> None:
        project = bytes.fromhex(keys.project)
        self.key = blake3(project + nonce, key=keys.epoch(epoch).content).digest()
        self.associated = _HEADER.pack(_MAGIC, epoch, nonce) + project
        self.count = count

    def seal(self, index: int, plain: bytes) -> bytes:
        place = _PLACE.pack(index, index == self.count - 1)
        return aegis256_seal(self.key, place + _PLACE_PADDING, plain, self.associated + place)

    def open(self, index: int, sealed: bytes) -> bytes:
        place = _PLACE.pack(index, index == self.count - 1)
        return aegis256_open(self.key, place + _PLACE_PADDING, sealed, self.associated + place)


def _content_nonce(keys: ProjectKeys, epoch: int, padded: bytes | memoryview) -> bytes:
    return blake3(padded, key=keys.epoch(epoch).nonce).digest()


def _check_length(actual: int, expected: int) -> None:
    if actual < expected:
        raise BlockTruncated(f"{actual} bytes of {expected}")
    if actual > expected:
        raise BlockExtended(f"{actual} bytes for {expected}")
