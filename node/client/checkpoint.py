"""What can be told of a checkpoint without a key: the frame of its manifest. Format 1 (docs/format.md).

All integers are big-endian.

    offset  bytes
         0      3  "LNC"
         3      1  format, 1
         4      8  seq
        12     16  project id
        28     32  link to entry seq: the `previous` of the entry made after it
        60      4  epoch of the key that seals the body
        64     16  device id of the signer
        80     32  nonce
       112      n  body and its tag (lucidnode.fs.format.checkpoint)
     112+n     64  Ed25519 signature by the device over `checkpoint_message`
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from blake3 import blake3

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import MAX_SEQ, DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import HASH_SIZE, NONCE_SIZE, SIGNATURE_SIZE, TAG_SIZE
from lucidnode.node.client.wire import MAX_JOURNAL_ENTRY_BYTES

CHECKPOINT_FORMAT = 1

MAX_MANIFEST_BYTES = MAX_JOURNAL_ENTRY_BYTES
"""Bytes. No reader allocates more for one manifest: room for some 120,000 pieces."""

_MAGIC = b"LNC"
_FIELDS = struct.Struct(f">3sBQ16s{HASH_SIZE}sI16s{NONCE_SIZE}s")
_SIGNING_DOMAIN = b"lucidnode 2026 checkpoint signature\0"

CHECKPOINT_HEADER_SIZE = _FIELDS.size


@dataclass(frozen=True, slots=True)
class CheckpointHeader:
    """The frame of a manifest before its body. `parse(header.encode() + body)` gives it back."""

    seq: Seq
    project: ProjectId
    link: bytes
    epoch: int
    device: DeviceId
    nonce: bytes

    def encode(self) -> bytes:
        """Return the CHECKPOINT_HEADER_SIZE bytes a manifest starts with."""
        return _FIELDS.pack(
            _MAGIC,
            CHECKPOINT_FORMAT,
            self.seq,
            bytes.fromhex(self.project),
            self.link,
            self.epoch,
            bytes.fromhex(self.device),
            self.nonce,
        )

    @classmethod
    def parse(cls, manifest: bytes) -> CheckpointHeader:
        """Return the header of *manifest*, signed or not; raises Malformed if it is none."""
        if not CHECKPOINT_HEADER_SIZE + TAG_SIZE <= len(manifest) <= MAX_MANIFEST_BYTES:
            raise Malformed("checkpoint: size")
        magic, number, seq, project, link, epoch, device, nonce = _FIELDS.unpack_from(manifest)
        if magic != _MAGIC or number != CHECKPOINT_FORMAT or not 1 <= seq <= MAX_SEQ:
            raise Malformed("checkpoint: not one")
        return cls(Seq(seq), ProjectId(project.hex()), link, epoch, DeviceId(device.hex()), nonce)


def checkpoint_message(unsigned: bytes) -> bytes:
    """Return what the device signs for *unsigned*: a domain and the BLAKE3-256 of its bytes."""
    return _SIGNING_DOMAIN + blake3(unsigned).digest()


def split_manifest(manifest: bytes) -> tuple[bytes, bytes]:
    """Return (unsigned bytes, signature) of a finished manifest; raises Malformed on a wrong size."""
    if (
        not CHECKPOINT_HEADER_SIZE + TAG_SIZE + SIGNATURE_SIZE
        <= len(manifest)
        <= MAX_MANIFEST_BYTES
    ):
        raise Malformed("checkpoint: size")
    return manifest[:-SIGNATURE_SIZE], manifest[-SIGNATURE_SIZE:]
