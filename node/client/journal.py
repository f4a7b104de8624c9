"""What a daemon can tell about a journal entry without a key. Format 1 (docs/format.md).

An entry is a frame around a sealed body. All integers are big-endian.

    offset  bytes
         0      3  "LNJ"
         3      1  format, 1
         4      8  seq
        12     16  project id
        28     16  attempt: random, fresh for every entry made
        44     32  link to the entry before (its hash, or `empty_link`); zeros for seq 1
        76      4  epoch of the key that seals the body
        80     16  device id of the signer
        96     32  nonce
       128      n  body and its tag (lucidnode.fs.format.journal_entry)
     128+n     64  Ed25519 signature by the device over `signing_message`

The frame (everything but the body) is the same in every later format, so that a reader can tell
an entry of a newer version, which stops it, from garbage, which it skips.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from blake3 import blake3

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import MAX_SEQ, DeviceId, ProjectId, Seq
from lucidnode.node.client.public_keys import verify
from lucidnode.node.client.wire import MAX_JOURNAL_ENTRY_BYTES

FORMAT = 1

PADDING = 256
"""Bodies are padded to a multiple of this, so that a single rename and a single chmod look alike."""

HASH_SIZE = 32
ATTEMPT_SIZE = 16
NONCE_SIZE = 32
TAG_SIZE = 32
SIGNATURE_SIZE = 64

NO_ENTRY = bytes(HASH_SIZE)
"""The `previous` of entry 1."""

_MAGIC = b"LNJ"
_FIELDS = struct.Struct(f">3sBQ16s{ATTEMPT_SIZE}s{HASH_SIZE}sI16s{NONCE_SIZE}s")
_SIGNING_DOMAIN = b"lucidnode 2026 journal entry signature\0"
_EMPTY_DOMAIN = b"lucidnode 2026 journal empty entry\0"

HEADER_SIZE = _FIELDS.size
MIN_UNSIGNED = HEADER_SIZE + TAG_SIZE
MAX_UNSIGNED = MAX_JOURNAL_ENTRY_BYTES - SIGNATURE_SIZE


@dataclass(frozen=True, slots=True)
class EntryHeader:
    """The frame of an entry before its body. `parse(header.encode() + body)` gives it back."""

    format: int
    seq: Seq
    project: ProjectId
    attempt: bytes
    previous: bytes
    epoch: int
    device: DeviceId
    nonce: bytes

    def encode(self) -> bytes:
        """Return the HEADER_SIZE bytes an entry starts with."""
        return _FIELDS.pack(
            _MAGIC,
            self.format,
            self.seq,
            bytes.fromhex(self.project),
            self.attempt,
            self.previous,
            self.epoch,
            bytes.fromhex(self.device),
            self.nonce,
        )

    @classmethod
    def parse(cls, entry: bytes) -> EntryHeader:
        """Return the header of *entry*, signed or not; raises Malformed if it is no entry.

        Accepts any format number: only a verified signature makes a newer one believable.
        """
        if len(entry) < MIN_UNSIGNED:
            raise Malformed("journal entry: cut short")
        magic, number, seq, project, attempt, previous, epoch, device, nonce = _FIELDS.unpack_from(
            entry
        )
        if magic != _MAGIC or number < FORMAT:
            raise Malformed("journal entry: not one")
        if not 1 <= seq <= MAX_SEQ:
            raise Malformed("journal entry: sequence number")
        return cls(
            format=number,
            seq=Seq(seq),
            project=ProjectId(project.hex()),
            attempt=attempt,
            previous=previous,
            epoch=epoch,
            device=DeviceId(device.hex()),
            nonce=nonce,
        )


def signing_message(unsigned: bytes) -> bytes:
    """Return what the device signs for *unsigned*: a domain and the BLAKE3-256 of its bytes.

    Header and body are covered whole, so a signature holds for one project, slot and history.
    """
    return _SIGNING_DOMAIN + blake3(unsigned).digest()


def signed(unsigned: bytes, signature: bytes) -> bytes:
    """Return the finished entry; raises Malformed if the parts do not have an entry's sizes."""
    if len(signature) != SIGNATURE_SIZE or not MIN_UNSIGNED <= len(unsigned) <= MAX_UNSIGNED:
        raise Malformed("journal entry: size")
    return unsigned + signature


def split_signed(entry: bytes) -> tuple[bytes, bytes]:
    """Return (unsigned bytes, signature) of a finished entry; raises Malformed on a wrong size."""
    if not MIN_UNSIGNED + SIGNATURE_SIZE <= len(entry) <= MAX_JOURNAL_ENTRY_BYTES:
        raise Malformed("journal entry: size")
    return entry[:-SIGNATURE_SIZE], entry[-SIGNATURE_SIZE:]


def has_entry_size(size: int) -> bool:
    """Tell whether an entry of this version can have *size* bytes."""
    contents = size - MIN_UNSIGNED - SIGNATURE_SIZE
    return contents > 0 and size <= MAX_JOURNAL_ENTRY_BYTES and contents % PADDING == 0


def is_entry_of(project: ProjectId, seq: Seq, body: bytes) -> bool:
    """Tell whether *body* has the shape of entry *seq* of *project*, whoever made it."""
    try:
        header = EntryHeader.parse(split_signed(body)[0])
    except Malformed:
        return False
    return header.project == project and header.seq == seq


def is_sound(
    project: ProjectId, seq: Seq, entry: bytes, key_of: Callable[[DeviceId], bytes | None]
) -> bool:
    """Tell whether a device that *key_of* knows made *entry* for this place.

    All that can be told without the project's keys. *key_of* gives a device's Ed25519 key, or None
    if its entries are not meant.
    """
    if not is_entry_of(project, seq, entry):
        return False
    unsigned, signature = split_signed(entry)
    public = key_of(EntryHeader.parse(unsigned).device)
    return public is not None and verify(public, signing_message(unsigned), signature)


def entry_hash(entry: bytes) -> bytes:
    """Return BLAKE3-256 of the finished entry, valid or not."""
    return blake3(entry).digest()


def empty_link(hash_: bytes) -> bytes:
    """Return the `previous` of whoever counted the entry of this hash as empty.

    Whoever applied it puts the hash itself. So two nodes that judged one entry differently notice
    at the next one, unless that counted as empty for both: what is empty links to nothing.
    """
    return blake3(_EMPTY_DOMAIN + hash_).digest()


def follows(previous: bytes, hash_: bytes) -> bool:
    """Tell whether *previous* is a link to the entry of this hash, whatever was made of it."""
    return previous in (hash_, empty_link(hash_))


def epoch_of(entry: bytes) -> int:
    """Return the epoch in which *entry*, signed or not, was made. Raises Malformed if it is none."""
    return EntryHeader.parse(entry).epoch
