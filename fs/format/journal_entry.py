"""The sealed body of a journal entry. Format 1 (docs/format.md, "Journal entries").

The frame around it, which needs no key, is lucidnode.node.client.journal.

    body      AEGIS-256 under the epoch's journal key, the frame's nonce and the whole header as
              associated data, over:
    padded    the packed bytes, framed and padded to a multiple of 256 (lucidnode.fs.format.padding)
    packed    one zstd frame that states its content size
    content   MessagePack of Change
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import zstandard

from lucidnode.fs.errors import (
    EntryForged,
    EntryMisplaced,
    EntryMisshapen,
    EntryUnannounced,
    EntryUnauthorised,
    Forged,
    FormatError,
)
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.format.padding import padded, unpadded
from lucidnode.fs.format.sodium import aegis256_open, aegis256_seal
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, Seq
from lucidnode.node.client.journal import (
    FORMAT,
    HEADER_SIZE,
    MAX_UNSIGNED,
    PADDING,
    EntryHeader,
    signing_message,
    split_signed,
)
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.public_keys import verify

MAX_CONTENT_BYTES = 8 * 1024 * 1024
"""Bytes of MessagePack that an entry may unpack to."""

_ZSTD_LEVEL = 3
_MAX_WINDOW_BYTES = MAX_CONTENT_BYTES
"""Bytes that zstd looks back at most; a frame that wants more is refused, not allocated."""


class EntryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one entry does: an SQLite changeset over the replicated tables, and when it was made."""

    wall_ns: int
    changeset: bytes


_CHANGE = msgspec.msgpack.Decoder(EntryBody)


def seal_entry(
    keys: ProjectKeys,
    seq: Seq,
    previous: bytes,
    device: DeviceId,
    change: EntryBody,
    *,
    attempt: bytes,
    nonce: bytes,
) -> bytes:
    """Return an unsigned entry in the current epoch; *attempt* (16) and *nonce* (32) are random.

    Raises EntryMisshapen if *change* is more than one entry can carry: cut the batch smaller.
    """
    epoch = keys.current
    header = EntryHeader(
        format=FORMAT,
        seq=seq,
        project=keys.project,
        attempt=attempt,
        previous=previous,
        epoch=epoch,
        device=device,
        nonce=nonce,
    ).encode()
    unsigned = header + aegis256_seal(keys.epoch(epoch).journal, nonce, _packed(change), header)
    if len(unsigned) > MAX_UNSIGNED:
        raise EntryMisshapen(f"an entry of {len(unsigned)} bytes is over the limit")
    return unsigned


def open_entry(
    keys: ProjectKeys,
    entry: bytes,
    seq: Seq,
    previous: bytes,
    device_public_of: Callable[[DeviceId], bytes | None],
) -> EntryBody:
    """Return what the signed *entry* in slot *seq*, after the entry hashed *previous*, does.

    *device_public_of* gives the Ed25519 key of a device that may write in the entry's epoch, else
    None; *keys* know the epochs that the roster announces. Raises:
    BadEntry: the entry counts as empty (EntryUnauthorised and EntryUnannounced only after the
    roster was read anew);
    KeyMissing: the entry is authentic, and the key of its announced epoch is not ours yet; never
    counts as empty.
    """
    try:
        unsigned, signature = split_signed(entry)
        header = EntryHeader.parse(unsigned)
    except Malformed as error:
        raise EntryMisshapen(str(error)) from error
    if header.project != keys.project:
        raise EntryMisplaced(f"entry {seq}: of project {header.project}")
    if header.seq != seq:
        raise EntryMisplaced(f"entry {seq}: says it is {header.seq}")
    if header.previous != previous:
        raise EntryMisplaced(f"entry {seq}: follows another entry")
    public = device_public_of(header.device)
    if public is None:
        raise EntryUnauthorised(f"entry {seq}: device {header.device} may not write")
    if not verify(public, signing_message(unsigned), signature):
        raise EntryForged(f"entry {seq}: signature of device {header.device}")
    if header.format != FORMAT:
        raise EntryUnannounced(f"entry {seq}: nobody announced format {header.format}")
    if header.epoch not in keys.announced:
        raise EntryUnannounced(f"entry {seq}: nobody announced epoch {header.epoch}")
    journal_key = keys.epoch(header.epoch).journal
    try:
        body = aegis256_open(
            journal_key, header.nonce, unsigned[HEADER_SIZE:], unsigned[:HEADER_SIZE]
        )
    except Forged as error:
        raise EntryForged(f"entry {seq}: seal") from error
    try:
        return _unpacked(body)
    except (FormatError, zstandard.ZstdError, Malformed) as error:
        raise EntryMisshapen(f"entry {seq}: contents: {error}") from error


def _packed(change: EntryBody) -> bytes:
    content = msgspec.msgpack.encode(change)
    if len(content) > MAX_CONTENT_BYTES:
        raise EntryMisshapen(f"a change of {len(content)} bytes is over the limit")
    return padded(zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(content), PADDING)


def _unpacked(body: bytes) -> EntryBody:
    # The signer is a member, yet even a hostile one gets no more memory than MAX_CONTENT_BYTES. The
    # library trusts a stated content size over any limit it is given, so look at that first; a
    # frame that states none reads as 2**64 - 1.
    packed = unpadded(body, PADDING)
    frame = zstandard.get_frame_parameters(packed)
    if not 0 < frame.content_size <= MAX_CONTENT_BYTES:
        raise EntryMisshapen("contents over the limit")
    # Unpacking in one go takes no window, so the library lets any pass that it could have.
    if frame.window_size > _MAX_WINDOW_BYTES:
        raise EntryMisshapen("a window over the limit")
    content = zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    return decoded(_CHANGE, content)
