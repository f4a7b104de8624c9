"""What two mounts of one project tell each other over the links of their office (docs/format.md).

    epoch     4, big-endian
    nonce     32, random
    sealed    AEGIS-256 under the epoch's office key, with "project || from || to || epoch" (16, 16, 16, 4) as
              associated data, over MessagePack, padded to a multiple of 256 (lucidnode.fs.format.padding)

The daemons between them know who talks to whom, and nothing else. Nobody is bound to what is said: it can be
repeated, held back, or made by any member with the project's keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from lucidnode.fs.errors import FormatError
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.format.padding import padded, unpadded
from lucidnode.fs.format.sodium import AEGIS_NONCE_SIZE, aegis256_open, aegis256_seal
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.msgpack import decoded

ASKING_SIZE = 16
"""Bytes of the number that who asks makes up."""

_PADDING = 256
_EPOCH_SIZE = 4
_MAX_FENCE = 2**53 - 1
_MAX_INO = 2**63 - 1

AskingNumber = Annotated[bytes, Meta(min_length=ASKING_SIZE, max_length=ASKING_SIZE)]


class LeaseRecall(msgspec.Struct, frozen=True, tag="recall", forbid_unknown_fields=True):
    """The sender wants what the row *lease* of *ino* is for; it has *fence*, 0 if there is no such row."""

    lease: Annotated[bytes, Meta(min_length=1, max_length=64)]
    ino: Annotated[int, Meta(ge=1, le=_MAX_INO)]
    fence: Annotated[int, Meta(ge=0, le=_MAX_FENCE)]
    asking: AskingNumber


class LeaseAnswer(msgspec.Struct, frozen=True, tag="answer", forbid_unknown_fields=True):
    """*asking* was heard. *busy*: what it asks for is in use, and is given when it is not any more."""

    asking: AskingNumber
    busy: bool


MOST_RANGES = 8
"""Locks in one message: as many as fit into what a daemon hands on."""

PROGRAM_BYTES = 15
"""Of a process's name, as the kernel keeps it."""


class HeldRange(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A lock of the bytes from *start* to *last* of file *ino*, and who has it: a process of the sender."""

    ino: Annotated[int, Meta(ge=1, le=_MAX_INO)]
    exclusive: bool
    start: Annotated[int, Meta(ge=0, le=_MAX_INO)]
    last: Annotated[int, Meta(ge=0, le=_MAX_INO)]
    pid: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    program: Annotated[str, Meta(max_length=PROGRAM_BYTES)]


class LocksQuery(msgspec.Struct, frozen=True, tag="locks", forbid_unknown_fields=True):
    """Somebody there wants to see who has locks here."""

    asking: AskingNumber


class LocksReply(msgspec.Struct, frozen=True, tag="locked", forbid_unknown_fields=True):
    """The first of the sender's locks."""

    asking: AskingNumber
    ranges: Annotated[list[HeldRange], Meta(max_length=MOST_RANGES)]


MOST_FILES = 16
"""Files in one message about their way to the bucket: as many as fit into what a daemon hands on."""

_Ino = Annotated[int, Meta(ge=1, le=_MAX_INO)]
_Amount = Annotated[int, Meta(ge=0, le=_MAX_INO)]


class FileProgress(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How far file *ino* of the sender is on its way to the bucket: its size, what is left, bytes a second."""

    ino: _Ino
    size: _Amount
    left: _Amount
    rate: _Amount


class ProgressQuery(msgspec.Struct, frozen=True, tag="progress", forbid_unknown_fields=True):
    """Somebody there wants to see how far these files are, which are on their way from here."""

    asking: AskingNumber
    inos: Annotated[list[_Ino], Meta(max_length=MOST_FILES)]


class ProgressReply(msgspec.Struct, frozen=True, tag="going", forbid_unknown_fields=True):
    """Those of the files that are on their way from the sender."""

    asking: AskingNumber
    files: Annotated[list[FileProgress], Meta(max_length=MOST_FILES)]


Question = LocksQuery | ProgressQuery
Reply = LocksReply | ProgressReply
Word = LeaseRecall | LeaseAnswer | Question | Reply

_DECODER: msgspec.msgpack.Decoder[Word] = msgspec.msgpack.Decoder(Word)


def seal_word(
    keys: ProjectKeys,
    sender: DeviceId,
    receiver: DeviceId,
    word: Word,
    random_bytes: Callable[[int], bytes],
) -> bytes:
    """Return *word* as it goes from one mount to the other."""
    epoch, nonce = keys.current, random_bytes(AEGIS_NONCE_SIZE)
    number = epoch.to_bytes(_EPOCH_SIZE, "big")
    contents = padded(msgspec.msgpack.encode(word), _PADDING)
    about = _about(keys, sender, receiver, number)
    return number + nonce + aegis256_seal(keys.epoch(epoch).office, nonce, contents, about)


def open_word(keys: ProjectKeys, sender: DeviceId, receiver: DeviceId, sealed: bytes) -> Word:
    """Return what *sender* said to *receiver*. Raises FormatError, or Malformed for what is no word."""
    begin = _EPOCH_SIZE + AEGIS_NONCE_SIZE
    number, nonce = sealed[:_EPOCH_SIZE], sealed[_EPOCH_SIZE:begin]
    if len(sealed) < begin:
        raise FormatError("an office message: size")
    key = keys.epoch(int.from_bytes(number, "big")).office
    about = _about(keys, sender, receiver, number)
    return decoded(_DECODER, unpadded(aegis256_open(key, nonce, sealed[begin:], about), _PADDING))


def _about(keys: ProjectKeys, sender: DeviceId, receiver: DeviceId, epoch: bytes) -> bytes:
    return bytes.fromhex(keys.project + sender + receiver) + epoch
