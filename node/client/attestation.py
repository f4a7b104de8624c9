"""A device's word that a checkpoint is true, beside its manifest. Format 1 (docs/format.md, "Checkpoints").

All integers are big-endian.

    offset  bytes
         0      3  "LNW"
         3      1  format, 1
         4      8  seq
        12     16  project id
        28     16  device id of the signer, who is not the maker of the checkpoint
        44     32  BLAKE3-256 of the whole signed manifest
        76     64  Ed25519 signature by the device over a domain and the BLAKE3-256 of what is before it
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from blake3 import blake3

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import MAX_SEQ, DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import HASH_SIZE, SIGNATURE_SIZE
from lucidnode.node.client.public_keys import verify

ATTESTATION_FORMAT = 1

_MAGIC = b"LNW"
_FIELDS = struct.Struct(f">3sBQ16s16s{HASH_SIZE}s")
_SIGNING_DOMAIN = b"lucidnode 2026 checkpoint attestation\0"
_NAME = re.compile(r"(?P<seq>[0-9]{16})\.(?P<device>[0-9a-f]{32})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Attestation:
    """What *device* says: that the manifest of this hash, of entry *seq*, is true."""

    seq: Seq
    project: ProjectId
    device: DeviceId
    manifest: bytes
    """32 bytes: `manifest_hash`."""

    def encode(self) -> bytes:
        """Return the bytes that are signed, and stand before the signature."""
        return _FIELDS.pack(
            _MAGIC,
            ATTESTATION_FORMAT,
            self.seq,
            bytes.fromhex(self.project),
            bytes.fromhex(self.device),
            self.manifest,
        )


def manifest_hash(manifest: bytes) -> bytes:
    """Return what an attestation names a signed *manifest* by."""
    return blake3(manifest).digest()


def attestation_message(unsigned: bytes) -> bytes:
    """Return what the device signs for *unsigned*: a domain and the BLAKE3-256 of its bytes."""
    return _SIGNING_DOMAIN + blake3(unsigned).digest()


def attestation_name(seq: Seq, device: DeviceId) -> str:
    """Return what the object of *device*'s word on the checkpoint at *seq* is called in its folder."""
    return f"{seq:016d}.{device}"


def attestation_of(name: str) -> tuple[Seq, DeviceId] | None:
    """Return which checkpoint and whose word *name* is for; None if it is for none."""
    found = _NAME.fullmatch(name)
    if found is None or not 1 <= int(found["seq"]) <= MAX_SEQ:
        return None
    return Seq(int(found["seq"])), DeviceId(found["device"])


def opened_attestation(
    body: bytes,
    project: ProjectId,
    seq: Seq,
    device: DeviceId,
    device_public_of: Callable[[DeviceId], bytes | None],
) -> Attestation:
    """Return what the object of *device*'s word on the checkpoint at *seq* says. Raises Malformed.

    *device_public_of* gives the Ed25519 key of a device that may write, else None.
    """
    if len(body) != _FIELDS.size + SIGNATURE_SIZE:
        raise Malformed("attestation: size")
    unsigned, signature = body[:-SIGNATURE_SIZE], body[-SIGNATURE_SIZE:]
    magic, number, at, whose, signer, manifest = _FIELDS.unpack(unsigned)
    found = Attestation(Seq(at), ProjectId(whose.hex()), DeviceId(signer.hex()), manifest)
    if magic != _MAGIC or number != ATTESTATION_FORMAT:
        raise Malformed("attestation: not one")
    if (found.project, found.seq, found.device) != (project, seq, device):
        raise Malformed("attestation: of another place")
    public = device_public_of(device)
    if public is None or not verify(public, attestation_message(unsigned), signature):
        raise Malformed("attestation: signature")
    return found
