"""What travels over the daemon's Unix socket: msgspec structs, encoded as MessagePack.

HTTP over the socket carries requests; one WebSocket for each mount carries events. The paths stand
in the rooms where they are asked (node/client/daemon_socket/) and answered (node/daemon_socket/).
A field that we do not know is passed over: who asks, or answers, may be of a later release.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import msgspec

MAX_JOURNAL_ENTRY_BYTES = 16 * 1024 * 1024
"""Bytes. No reader allocates more for one entry; a committer cuts its batches below half of it."""

MAX_BLOCK_CIPHERTEXT_BYTES = 17 * 1024 * 1024
"""Bytes. The largest block (16 MiB of plaintext) with header and tags, rounded up."""

Source = Literal["cache", "peer", "bucket"]
"""Where a block came from when the mount had to ask for it. `cache` is this node's own disk."""

SOURCE_HEADER = "X-Lucid-Source"

PATIENCE_HEADER = "X-Lucid-Patience"
"""Of a question for a block: the seconds after which nobody waits for the answer."""

BYTES_HEADER = "X-Lucid-Bytes"
"""Of a question for a block: `1` if the answer must be its bytes, for files cannot be opened."""


MAX_PROGRAM_NAME = 255
"""Characters in the name of a program: as many bytes as a file name has."""

MAX_OPENING = 64
"""Characters in what names an opening of a file."""


class Reading(NamedTuple):
    """Which *program* wants a block, of *size* bytes, and through which *opening* of a file.

    It goes along with a question for a block, as its query. *ahead*: nobody waits for it yet.
    """

    program: str
    opening: str
    size: int
    ahead: bool


class BlockList(msgspec.Struct, frozen=True):
    """Block ids, 32 bytes each."""

    ids: list[bytes]


class BlocksPutBack(msgspec.Struct, frozen=True):
    """Blocks that the bucket had lost: those *put* there again, and those *missing* everywhere."""

    put: list[bytes]
    missing: list[bytes]


class BlockPage(msgspec.Struct, frozen=True):
    """Blocks that lie in the bucket, in order of their ids, and the *sizes* of their objects.

    *is_last*: there are no more. *skew_s*: by how many seconds the store's clock is ahead, if it says.
    """

    ids: list[bytes]
    sizes: list[int]
    is_last: bool
    skew_s: float | None


class BlocksDeleted(msgspec.Struct, frozen=True):
    """Blocks that are *deleted*, and those that the store *refused* to delete, with the reason of one."""

    deleted: list[bytes]
    refused: list[bytes]
    why: str


class RankedBlocks(msgspec.Struct, frozen=True):
    """Blocks that a mount staged. Those of a lower rank, one for each id, are uploaded earlier.

    A mount of an earlier release says no ranks.
    """

    ids: list[bytes]
    ranks: list[int] = []


class CommitRequest(msgspec.Struct, frozen=True):
    """An unsigned journal entry. The daemon signs it and creates it once *needs* are uploaded."""

    unsigned: bytes
    needs: list[bytes]


class CommitReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a create-if-absent ended.

    committed: *body* is our own signed entry. lost: *body* is the winner's, or empty if it has not
    an entry's shape. unknown: nothing is settled, *body* is empty, and *why* is a sentence for people;
    ask again with the same request. unchained: the bucket has not the entry before as the request names it; nothing counts.
    *signed_here*: this daemon has signed the winner's entry too, for another process.
    """

    outcome: Literal["committed", "lost", "unknown", "unchained"]
    body: bytes
    why: str = ""
    signed_here: bool = False


class Slot(msgspec.Struct, frozen=True, omit_defaults=True):
    """What lies in a slot of the journal: its hash, and the entry.

    *body* is None for what is proven to lie there and has not an entry's shape: it counts as empty.
    *signed_here*: this daemon has signed it since it started.
    """

    hash: bytes
    body: bytes | None
    signed_here: bool = False


class LostEntries(msgspec.Struct, frozen=True):
    """Numbers of journal entries that the bucket no longer has as this node saw them."""

    seqs: list[int]


class JournalEnd(msgspec.Struct, frozen=True):
    """The number of the newest journal entry, by the names that the bucket lists."""

    seq: int


class AttestationList(msgspec.Struct, frozen=True):
    """Of which checkpoints there is a device's word that they are true, and whose."""

    words: list[tuple[int, str]]


class CheckpointList(msgspec.Struct, frozen=True):
    """Numbers of the journal entries of which the bucket has a checkpoint, lowest first."""

    seqs: list[int]


class Invitation(msgspec.Struct, frozen=True):
    """What the bucket has of one invitation, by its name, 32 hex digits; empty is what is not there."""

    ident: str
    offer: bytes
    request: bytes
    answer: bytes


class InvitationList(msgspec.Struct, frozen=True):
    """Invitations whose requests wait for an answer."""

    waiting: list[Invitation]


class InvitationNamed(msgspec.Struct, frozen=True):
    """The invitation that is meant."""

    ident: str


class InvitationPart(msgspec.Struct, frozen=True):
    """An offer or an answer that is to be created."""

    ident: str
    part: str
    body: bytes


class RoleNamed(msgspec.Struct, frozen=True):
    """The role that is meant."""

    role: str


class RoleSet(msgspec.Struct, frozen=True):
    """The newest credentials of a role, as bucket.json keeps them; none if we may not know them.

    *number* is the number of the newest set, and 0 if there was none yet.
    """

    number: int
    credentials: dict[str, str | None]


class RolesUnreached(msgspec.Struct, frozen=True):
    """Roles whose credentials are known here, and not yet sealed to all workstations that need them."""

    roles: list[Literal["owner", "editor", "viewer"]]


class NewRoleSet(msgspec.Struct, frozen=True):
    """Credentials of a role, sealed: to be created under a number."""

    role: str
    number: int
    body: bytes


class RoleSetCreated(msgspec.Struct, frozen=True):
    """Whether they were created; else something stands there."""

    created: bool


class WayIn(msgspec.Struct, frozen=True):
    """How a newcomer of a role reaches the bucket: its credentials, none if the role has none of its own.

    *slots* are presigned URLs for the next entries of the log of members, by their numbers: for who
    may not write otherwise.
    """

    credentials: dict[str, str]
    slots: dict[int, str]


class InvitationCreated(msgspec.Struct, frozen=True):
    """Whether it was created; else another stands there."""

    created: bool


RosterLook = Literal["none", "try", "must"]
"""Whether the daemon looks for news of the log of members before it says what it knows."""


class RosterLog(msgspec.Struct, frozen=True):
    """Raw roster entries 1..n, in order."""

    entries: list[bytes]


class ShownRoster(msgspec.Struct, frozen=True):
    """The roster as the bucket shows it now, from its beginning, beside the one that the daemon goes by.

    *agreeing* and *disagreeing* are the workstations near, by their ids, whose newest item that they
    told of is one of *entries*, and is none.
    """

    entries: list[bytes]
    agreeing: list[str]
    disagreeing: list[str]


class RosterChoice(msgspec.Struct, frozen=True):
    """The roster to go by: the one that the bucket shows, if its item *seq* has *hash* (32 bytes)."""

    seq: int
    hash: bytes


class WebhookWish(msgspec.Struct, frozen=True):
    """A receiver to be told of what happens in *project*, or in all that are mounted here now; names with *paths*."""

    url: str
    project: str | None
    paths: bool


class WebhookAdded(msgspec.Struct, frozen=True):
    """What a webhook is called from now on, and the text under which it is signed."""

    id: str
    secret: str


class WebhookNamed(msgspec.Struct, frozen=True):
    """The webhook that is meant."""

    id: str


class DashboardWish(msgspec.Struct, frozen=True):
    """The workstation whose dashboard is to be opened."""

    device: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class DashboardWay(msgspec.Struct, frozen=True):
    """Its address with a login that is good once and soon, and the SHA-256 of its certificate."""

    url: str
    pin: bytes
