"""The sealed body of a checkpoint's manifest: which blocks hold the state. Format 1 (docs/format.md).

The frame around it, which needs no key, is lucidnode.node.client.checkpoint.

    body      AEGIS-256 under the epoch's journal key, the frame's nonce and the whole header as
              associated data, over:
    padded    the contents, framed and padded to a multiple of 256 (lucidnode.fs.format.padding)
    contents  MessagePack of CheckpointContents, in the shortest encoding
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lucidnode.fs.errors import BadCheckpoint, BlockMisshapen, Forged, FormatError
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.format.geometry import cipher_size
from lucidnode.fs.format.keys import MAX_EPOCH, ProjectKeys
from lucidnode.fs.format.padding import padded, unpadded
from lucidnode.fs.format.sodium import aegis256_open, aegis256_seal
from lucidnode.node.client.checkpoint import (
    CHECKPOINT_HEADER_SIZE,
    MAX_MANIFEST_BYTES,
    CheckpointHeader,
    checkpoint_message,
    split_manifest,
)
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import BlockId, DeviceId, Seq
from lucidnode.node.client.journal import HASH_SIZE, PADDING, SIGNATURE_SIZE
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.public_keys import verify

MAX_PIECE_BYTES = 1 << 20
"""Padded plaintext bytes of a piece: a reader holds one at a time."""

MAX_PARTS = 64
"""Parts of a checkpoint: each is at least one request of a newcomer."""


class CheckpointPiece(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One block of a checkpoint, and the hash of the rows in it, which no key and no epoch changes."""

    id: bytes
    epoch: int
    nonce: bytes
    size: int
    digest: bytes

    @property
    def block(self) -> BlockName:
        """The block's name."""
        return BlockName(BlockId(self.id), self.epoch, self.nonce, self.size)


class CheckpointPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows that entries behind *since* up to *upto* have left; *since* 0 is the base, which has all."""

    since: int
    upto: int
    pieces: tuple[CheckpointPiece, ...]


class CheckpointContents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state as its parts, each to be laid over those before."""

    parts: tuple[CheckpointPart, ...]


_CONTENTS = msgspec.msgpack.Decoder(CheckpointContents)


def seal_checkpoint(
    keys: ProjectKeys,
    seq: Seq,
    link: bytes,
    device: DeviceId,
    contents: CheckpointContents,
    nonce: bytes,
) -> bytes:
    """Return an unsigned manifest in the current epoch; *nonce* is 32 random bytes.

    Raises BadCheckpoint if *contents* are more than one can carry.
    """
    epoch = keys.current
    header = CheckpointHeader(seq, keys.project, link, epoch, device, nonce).encode()
    packed = padded(msgspec.msgpack.encode(contents), PADDING)
    unsigned = header + aegis256_seal(keys.epoch(epoch).journal, nonce, packed, header)
    if len(unsigned) > MAX_MANIFEST_BYTES - SIGNATURE_SIZE:
        raise BadCheckpoint(f"a checkpoint of {len(unsigned)} bytes is over the limit")
    return unsigned


def open_checkpoint(
    keys: ProjectKeys,
    manifest: bytes,
    seq: Seq,
    device_public_of: Callable[[DeviceId], bytes | None],
) -> tuple[CheckpointHeader, CheckpointContents]:
    """Return what the signed *manifest* of entry *seq* says. Raises BadCheckpoint, KeyMissing.

    *device_public_of* gives the Ed25519 key of a device that may write, else None.
    """
    try:
        unsigned, signature = split_manifest(manifest)
        header = CheckpointHeader.parse(unsigned)
    except Malformed as error:
        raise BadCheckpoint(str(error)) from error
    if header.project != keys.project or header.seq != seq:
        raise BadCheckpoint("it belongs to another place")
    public = device_public_of(header.device)
    if public is None:
        raise BadCheckpoint(f"device {header.device} may not write")
    if not verify(public, checkpoint_message(unsigned), signature):
        raise BadCheckpoint(f"signature of device {header.device}")
    if not 1 <= header.epoch <= MAX_EPOCH:
        raise BadCheckpoint("an epoch that cannot be")
    journal_key = keys.epoch(header.epoch).journal
    try:
        packed = aegis256_open(
            journal_key,
            header.nonce,
            unsigned[CHECKPOINT_HEADER_SIZE:],
            unsigned[:CHECKPOINT_HEADER_SIZE],
        )
        content = unpadded(packed, PADDING)
        contents = decoded(_CONTENTS, content)
    except Forged as error:
        raise BadCheckpoint("seal") from error
    except (FormatError, Malformed) as error:
        raise BadCheckpoint(f"contents: {error}") from error
    if msgspec.msgpack.encode(contents) != content:
        raise BadCheckpoint("contents in another spelling")
    _check(contents, seq)
    return header, contents


def _check(contents: CheckpointContents, seq: Seq) -> None:
    at = 0
    if not 1 <= len(contents.parts) <= MAX_PARTS:
        raise BadCheckpoint("a number of parts that cannot be")
    for part in contents.parts:
        if part.since != at or part.upto <= at:
            raise BadCheckpoint("parts that do not follow each other")
        at = part.upto
        for piece in part.pieces:
            _check_piece(piece)
    if at != seq:
        raise BadCheckpoint("parts that lead to another entry")


def _check_piece(piece: CheckpointPiece) -> None:
    if (
        len(piece.id) != HASH_SIZE
        or len(piece.nonce) != HASH_SIZE
        or len(piece.digest) != HASH_SIZE
    ):
        raise BadCheckpoint("a piece without a name")
    if not 1 <= piece.epoch <= MAX_EPOCH or piece.size > MAX_PIECE_BYTES:
        raise BadCheckpoint("a piece that cannot be")
    try:
        cipher_size(piece.size)
    except BlockMisshapen as error:
        raise BadCheckpoint("a piece of a size that no block has") from error
