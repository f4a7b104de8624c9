"""What travels over the control channel: msgspec structs as MessagePack, one per WebSocket message.

The one who dials speaks first: Hello, answered by Welcome. Then either side sends Push, Heads,
PeerTotals, PeerDays, PeerSummary and MountWord whenever it has some. Every field is bounded here; a message out of bounds ends the link.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from lucidnode.discovery.ring import MAX_WEIGHT
from lucidnode.node.client.ids import MAX_SEQ
from lucidnode.node.client.msgpack import decoded

PROTOCOL = 4
"""Raised with every change of what two nodes say to each other, the preamble included."""

MAX_MESSAGE_BYTES = 256 * 1024
"""Bytes: more than heads of MAX_PROJECTS take. Nothing larger is said on a link, so that what half
a message can make us hold is small however many links there are."""

MAX_PROJECTS = 512
"""Projects of whose journals one message says where they are."""

Port = Annotated[int, Meta(ge=1, le=65535)]
Weight = Annotated[int, Meta(ge=1, le=MAX_WEIGHT)]
Bytes16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Project = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Number = Annotated[int, Meta(ge=1, le=MAX_SEQ)]
Name = Annotated[str, Meta(max_length=64)]


class HandshakeRequest(msgspec.Struct, frozen=True, tag="hello", forbid_unknown_fields=True):
    """First words of the one who dials.

    *instance* is of this start of the daemon: its time, in ns since 1970 (8 bytes), and random bytes.
    """

    protocol: int
    instance: Bytes16
    control_port: Port
    weight: Weight


class HandshakeResponse(
    msgspec.Struct, frozen=True, tag="welcome", forbid_unknown_fields=True, omit_defaults=True
):
    """What the other answers: where block bodies are to be had, and the secret that opens them.

    *session* and *secret* are good for as long as this link lives. *encrypted*: bodies are to be had
    within TLS, and not otherwise; releases that do not know the word make no link to who says it.
    """

    protocol: int
    instance: Bytes16
    weight: Weight
    body_port: Port
    session: Bytes16
    secret: Bytes32
    encrypted: bool = False


class Push(msgspec.Struct, frozen=True, tag="push", forbid_unknown_fields=True):
    """A journal entry was just committed: look for it. A hint, so the number is all it needs."""

    project: Project
    seq: Number


MAX_CLAIMS = 8
"""Entries that are said of a project, so that there is one that both know."""

Claims = Annotated[list[tuple[Number, Bytes32]], Meta(min_length=1, max_length=MAX_CLAIMS)]


class Heads(msgspec.Struct, frozen=True, tag="heads", forbid_unknown_fields=True):
    """What the sender has read of the logs: numbers and hashes.

    *heads* are the highest journal entries seen of each project, highest last, *roster* the newest
    item of the log of members.
    """

    heads: Annotated[dict[Project, Claims], Meta(max_length=MAX_PROJECTS)]
    roster: tuple[Number, Bytes32] | None = None


class PeerTotals(msgspec.Struct, frozen=True, tag="totals", forbid_unknown_fields=True):
    """Counters of the sender, for the office's view on the dashboard."""

    totals: Annotated[dict[Name, int], Meta(max_length=64)]


MAX_TOLD_DAYS = 512
"""Days that one message tells of."""

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Day = Annotated[str, Meta(pattern=r"\A\d{4}-\d\d-\d\d\Z")]


class PeerDays(msgspec.Struct, frozen=True, tag="days", forbid_unknown_fields=True):
    """What the sender counted on each of some days, for the savings of the office.

    The counts are those of `savings.DayCounts`, in order.
    """

    days: Annotated[
        dict[Day, Annotated[list[Count], Meta(max_length=32)]], Meta(max_length=MAX_TOLD_DAYS)
    ]


MAX_SUMMARY_ALERTS = 16
MAX_SUMMARY_SOURCES = 64

Device = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Topic = Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,40}\Z")]
Moment = Annotated[int, Meta(ge=0, le=2**40)]
Version = Annotated[str, Meta(pattern=r"\A[0-9A-Za-z.+-]{1,32}\Z")]


class PeerSummary(msgspec.Struct, frozen=True, tag="summary", forbid_unknown_fields=True):
    """How the sender is, for a page about it: figures and words of the program, and no name of anything.

    Sizes are bytes. *alerts* are the topics of what is amiss there, each with its beginning, in
    seconds since 1970; *sources* what it got from each device since its daemon started.
    """

    version: Version
    up_s: Moment
    cache_bytes: Count
    cache_limit: Count
    disk_free: Count
    waiting_bytes: Count
    waiting_s: Moment
    """For how long the oldest of these waits for its upload."""
    drives: Annotated[int, Meta(ge=0, le=100_000)]
    alerts: Annotated[dict[Topic, Moment], Meta(max_length=MAX_SUMMARY_ALERTS)]
    sources: Annotated[dict[Device, Count], Meta(max_length=MAX_SUMMARY_SOURCES)]
    page_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    page_pin: Annotated[bytes, Meta(max_length=32)] = b""
    """Where its dashboard is for colleagues, and the SHA-256 of the certificate there; 0 for nowhere."""


MAX_WORD_BYTES = 1024


class MountWord(msgspec.Struct, frozen=True, tag="word", forbid_unknown_fields=True):
    """What the sender's mount of a project says to the receiver's, sealed under the project's keys."""

    project: Project
    word: Annotated[bytes, Meta(min_length=1, max_length=MAX_WORD_BYTES)]


Message = (
    HandshakeRequest
    | HandshakeResponse
    | Push
    | Heads
    | PeerTotals
    | PeerDays
    | PeerSummary
    | MountWord
)

_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(
    type=HandshakeRequest
    | HandshakeResponse
    | Push
    | Heads
    | PeerTotals
    | PeerDays
    | PeerSummary
    | MountWord
)


def encode(message: Message) -> bytes:
    """Return *message* as it is sent."""
    return msgspec.msgpack.encode(message)


def decode(data: bytes) -> Message:
    """Return the message in *data*. Raises Malformed for anything else."""
    return decoded(_DECODER, data)
