"""What travels over the daemon's Unix socket: msgspec structs, encoded as MessagePack.

HTTP over the socket carries requests; one WebSocket for each mount carries events. Paths:

    GET  /v1/status | alerts | peers | savings | cache | conflicts  JSON facts for the command line
    POST /v1/cache/clear, /v1/exit
    POST /v1/webhooks/add                                        WebhookWish -> WebhookAdded
    POST /v1/webhooks/remove, /v1/webhooks/test                  WebhookNamed
    POST /v1/blocks/of-files                                     FilesWish -> BlocksPage
    POST /v1/blocks/places                                       BlocksOf -> BlockPlaces
    POST /v1/blocks/evict                                        BlocksOf -> Evicted
    POST /v1/pins/order                                          PinsWish -> PinsReply
    POST /v1/pins/part                                           PinnedPart
    POST /v1/pins/here                                           -> PinnedProjects
    POST /v1/invitations/asked                                   -> InvitationList
    POST /v1/invitations/look                                    the next answer to that is new
    POST /v1/invitations/parts                                   InvitationNamed -> Invitation
    POST /v1/invitations/create                                  InvitationPart -> InvitationCreated
    POST /v1/invitations/way-in                                  RoleNamed -> WayIn
    POST /v1/credentials/of-role                                 RoleNamed -> RoleSet
    POST /v1/credentials/unreached                               empty -> RolesUnreached
    POST /v1/credentials/create                                  NewRoleSet -> RoleSetCreated
    POST /v1/credentials/look                                    look for those of our role now
    GET  /v1/roster?look=none|try|must                           RosterLog
    POST /v1/roster/{seq}                                        body -> CommitReply
    GET  /v1/p/{project}/block/{id}                              204 now in the cache | 200 the bytes
    POST /v1/p/{project}/staged                                  RankedBlocks
    POST /v1/p/{project}/uploaded                                BlockList -> those in the bucket
    POST /v1/p/{project}/put-back[?look=1]                       BlockList -> BlocksPutBack
    GET  /v1/p/{project}/bad                                     BlockList: bad in the bucket
    POST /v1/p/{project}/touched                                 BlockList
    GET  /v1/p/{project}/journal/{seq}[?proven=1]                200 Slot | 404
    POST /v1/p/{project}/journal/{seq}                           CommitRequest -> CommitReply
    GET  /v1/p/{project}/kept/{seq}                              200 the entry as seen here | 404
    POST /v1/p/{project}/kept/{seq}                              put it back -> CommitReply
    GET  /v1/p/{project}/lost                                    LostEntries
    POST /v1/p/{project}/look/{seq}                              tell the mount that it is there
    GET  /v1/p/{project}/checkpoints                             CheckpointList
    POST /v1/p/{project}/delete-checkpoints                      CheckpointList -> CheckpointList
    GET  /v1/p/{project}/attestations                            AttestationList
    GET  /v1/p/{project}/attestation/{seq}/{device}              200 a device's word | 404
    POST /v1/p/{project}/attestation/{seq}                       the hash of a manifest
    GET  /v1/p/{project}/checkpoint/{seq}                        200 the manifest | 404
    POST /v1/p/{project}/checkpoint/{seq}                        CommitRequest -> CommitReply
    GET  /v1/p/{project}/blocks[?after=ID]                       BlockPage: what the bucket has
    POST /v1/p/{project}/delete-blocks                           BlockList -> BlocksDeleted
    POST /v1/p/{project}/forget                                  what is to be committed
    GET  /v1/p/{project}/events                                  WebSocket: Hello, then both ways
    GET  /v1/p/{project}/accesses[?names=1]                      a line of JSON for each Accesses
    GET  /v1/p/{project}/changes?reader=R[&after=SEQ&told=N]     EventsPage, as soon as there is one
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from lucidnode.node.client.alerts import Alert
from lucidnode.node.client.file_blocks import BlocksPage, BlocksQuery
from lucidnode.node.client.pins import PinsQuery, PinsReply
from lucidnode.node.client.webhooks import ProjectWebhooks, WebhookQuery, WebhookReply

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


class BlockList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Block ids, 32 bytes each."""

    ids: list[bytes]


class BlocksPutBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Blocks that the bucket had lost: those *put* there again, and those *missing* everywhere."""

    put: list[bytes]
    missing: list[bytes]


class BlockPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Blocks that lie in the bucket, in order of their ids, and the *sizes* of their objects.

    *is_last*: there are no more. *skew_s*: by how many seconds the store's clock is ahead, if it says.
    """

    ids: list[bytes]
    sizes: list[int]
    is_last: bool
    skew_s: float | None


class BlocksDeleted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Blocks that are *deleted*, and those that the store *refused* to delete, with the reason of one."""

    deleted: list[bytes]
    refused: list[bytes]
    why: str


class RankedBlocks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Blocks that a mount staged. Those of a lower rank, one for each id, are uploaded earlier."""

    ids: list[bytes]
    ranks: list[int]


class CommitRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An unsigned journal entry. The daemon signs it and creates it once *needs* are uploaded."""

    unsigned: bytes
    needs: list[bytes]


class CommitReply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
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


class Slot(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What lies in a slot of the journal: its hash, and the entry.

    *body* is None for what is proven to lie there and has not an entry's shape: it counts as empty.
    *signed_here*: this daemon has signed it since it started.
    """

    hash: bytes
    body: bytes | None
    signed_here: bool = False


class LostEntries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers of journal entries that the bucket no longer has as this node saw them."""

    seqs: list[int]


class AttestationList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which checkpoints there is a device's word that they are true, and whose."""

    words: list[tuple[int, str]]


class CheckpointList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers of the journal entries of which the bucket has a checkpoint, lowest first."""

    seqs: list[int]


class Invitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the bucket has of one invitation, by its name, 32 hex digits; empty is what is not there."""

    ident: str
    offer: bytes
    request: bytes
    answer: bytes


class InvitationList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Invitations whose requests wait for an answer."""

    waiting: list[Invitation]


class InvitationNamed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The invitation that is meant."""

    ident: str


class InvitationPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An offer or an answer that is to be created."""

    ident: str
    part: str
    body: bytes


class RoleNamed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The role that is meant."""

    role: str


class RoleSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest credentials of a role, as bucket.json keeps them; none if we may not know them.

    *number* is the number of the newest set, and 0 if there was none yet.
    """

    number: int
    credentials: dict[str, str | None]


class RolesUnreached(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Roles whose credentials are known here, and not yet sealed to all workstations that need them."""

    roles: list[Literal["owner", "editor", "viewer"]]


class NewRoleSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Credentials of a role, sealed: to be created under a number."""

    role: str
    number: int
    body: bytes


class RoleSetCreated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether they were created; else something stands there."""

    created: bool


class WayIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a newcomer of a role reaches the bucket: its credentials, none if the role has none of its own.

    *slots* are presigned URLs for the next entries of the log of members, by their numbers: for who
    may not write otherwise.
    """

    credentials: dict[str, str]
    slots: dict[int, str]


class InvitationCreated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether it was created; else another stands there."""

    created: bool


RosterLook = Literal["none", "try", "must"]
"""Whether the daemon looks for news of the log of members before it says what it knows."""


class RosterLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Raw roster entries 1..n, in order."""

    entries: list[bytes]


class WebhookWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A receiver to be told of what happens in *project*, or in all that are mounted here now; names with *paths*."""

    url: str
    project: str | None
    paths: bool


class WebhookAdded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a webhook is called from now on, and the text under which it is signed."""

    id: str
    secret: str


class WebhookNamed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The webhook that is meant."""

    id: str


# -- events: mount to daemon ---------------------------------------------------------------------


REQUEST_BUCKETS_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""How long requests of programs may take to be counted in each bucket; one more is for the rest."""


class RequestTimes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the requests of one operation took: in sum, and how many in each bucket."""

    seconds: float
    failed: int
    counts: Annotated[
        list[int],
        msgspec.Meta(min_length=len(REQUEST_BUCKETS_S) + 1, max_length=len(REQUEST_BUCKETS_S) + 1),
    ]


class MountStats(msgspec.Struct, frozen=True, tag="stats", forbid_unknown_fields=True):
    """Totals since the mount started, sent about once a second while they change.

    Plaintext bytes handed to applications by where their block came from; `memory` are segments
    decrypted earlier. *read_again* is the part of `cache` whose blocks had come over the network before. *pending* counts operations not yet committed to the bucket. *checkpoint* is the journal entry of the
    newest checkpoint that is known to be true, 0 if none is.
    """

    read_memory: int = 0
    read_cache: int = 0
    read_peer: int = 0
    read_bucket: int = 0
    read_unsent: int = 0
    read_again: int = 0
    written: int = 0
    prefetched: int = 0
    prefetched_used: int = 0
    pending: int = 0
    conflicts: int = 0
    alerts: int = 0
    head: int = 0
    checkpoint: int = 0
    requests: dict[str, RequestTimes] = {}


class MountHello(msgspec.Struct, frozen=True, tag="hello", forbid_unknown_fields=True):
    """First message of a mount. *head* is the seq its replica has applied.

    *durability* is what `close` waits for there, for people, and *kernel_channel* whether requests
    of the kernel come in through the compiled module. *told* is what an earlier daemon has heard of
    this mount's totals: they are counted there.
    """

    mountpoint: str
    pid: int
    head: int
    durability: Literal["relaxed", "local", "office", "cloud"] = "local"
    kernel_channel: bool = False
    told: MountStats | None = None


class FileOnItsWay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file whose newest content is not whole in the bucket.

    *device* is what people call the workstation that has it, empty for this one; only of ours is
    known how many bytes are *left*.
    """

    path: str
    state: Literal["writing", "uploading"]
    device: str
    bytes_left: int | None


class FileToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which workstation decides the locks of a file; without a path, of all that are not named.

    *device* and *wanted_by* are what people call a workstation, empty for this one, None for nobody.
    *locked*: a program of this mount has a lock of it.
    """

    path: str
    device: str | None
    wanted_by: str | None
    locked: bool


class FileLease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that one workstation has for itself: open for writing there, or *taken* by a person.

    *device* is what people call it, empty for this one; *since_ns* is by its clock, since 1970.
    """

    path: str
    device: str
    taken: bool
    since_ns: int


class StatusReply(msgspec.Struct, frozen=True, tag="answer", forbid_unknown_fields=True):
    """Reply to Ask: facts, alerts, files on their way and locks in plain words, which may name files.

    Shown and forgotten, never stored by the daemon.
    """

    number: int
    facts: dict[str, str | int | float | bool | list[str]]
    alerts: list[Alert]
    on_their_way: list[FileOnItsWay]
    names: dict[str, str] = {}
    """What people call each of the devices that were asked for, as far as anybody does."""
    locks: list[FileToken] = []
    leases: list[FileLease] = []


class AccessedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A request of a program that has ended. 0 is what it does not have.

    *pid* asked, or opened the handle. *name* is a path, where that is wanted.
    """

    wall_ns: int
    operation: str
    ino: int
    handle: int
    offset: int
    size: int
    pid: int
    errno: int
    seconds: float
    name: str


class Accesses(msgspec.Struct, frozen=True, tag="accesses", forbid_unknown_fields=True):
    """What programs asked of a mount that somebody follows; *left_out* were more than it could keep.

    Passed on and forgotten, never stored by the daemon.
    """

    requests: list[AccessedFile]
    left_out: int


EventKind = Literal[
    "create",
    "link",
    "rename",
    "delete",
    "write",
    "attributes",
    "state",
    "lock",
    "unlock",
    "conflict",
    "settled",
]
"""What can happen to a file: docs/pipelines.md."""

EventState = Literal["writing", "uploading", "cloud"]
"""How far the newest content of a file is."""


class ProjectEvent(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """Something that a committed journal entry did: number *number* of entry *seq*, from 0.

    *member* and *workstation* are what people call who did it, *device* is the workstation's id.
    *size* is there where the entry sets it.
    """

    seq: int
    number: int
    time_ns: int
    event: EventKind
    kind: str
    path: str
    old_path: str | None = None
    state: EventState
    size: int | None = None
    member: str
    workstation: str
    device: str


class EventsPage(
    msgspec.Struct, frozen=True, tag="events", forbid_unknown_fields=True, omit_defaults=True
):
    """Reply to EventsQuery: what comes next, and the place behind it, to ask for next.

    *missed_from* is the first entry of some up to *after* that nobody can tell of any more.
    Passed on and forgotten, never stored by the daemon: it names files.
    """

    number: int
    events: list[ProjectEvent]
    after: int
    told: int
    missed_from: int | None = None


class Goodbye(msgspec.Struct, frozen=True, tag="goodbye", forbid_unknown_fields=True):
    """Last message of a mount that ends in order: one that says none has died."""


# -- events: daemon to mount ---------------------------------------------------------------------


class MountWelcome(msgspec.Struct, frozen=True, tag="welcome", forbid_unknown_fields=True):
    """Where this node keeps things. Paths are absolute; budgets are bytes."""

    device: str
    blocks_dir: str
    staging_dir: str
    staging_limit: int
    min_free: int


class MountRejected(msgspec.Struct, frozen=True, tag="not-welcome", forbid_unknown_fields=True):
    """Instead of Welcome: why there can be no such mount, as a status of HTTP and in words."""

    status: int
    words: str


class Look(msgspec.Struct, frozen=True, tag="look", forbid_unknown_fields=True):
    """Somebody says that there is news at *seq* of the journal: a hint to look there, no more."""

    seq: int


class RosterNews(msgspec.Struct, frozen=True, tag="roster", forbid_unknown_fields=True):
    """The log of members has grown: what the daemon knows of it may concern this mount."""


class CopyMet(msgspec.Struct, frozen=True, tag="copy", forbid_unknown_fields=True):
    """A daemon at *host* works with our own device key, and began before us: write nothing more."""

    host: str


class StatusQuery(
    msgspec.Struct, frozen=True, tag="ask", forbid_unknown_fields=True, omit_defaults=True
):
    """Somebody wants to see this project, and what is amiss with it, in plain words.

    With *every_alert* also those that are too many of one kind to be shown. *devices* are those whose
    names are asked for.
    """

    number: int
    every_alert: bool = False
    devices: list[str] = []


class BlocksUploaded(msgspec.Struct, frozen=True, tag="uploaded", forbid_unknown_fields=True):
    """These staged blocks are in the bucket now."""

    ids: list[bytes]


class Follow(msgspec.Struct, frozen=True, tag="follow", forbid_unknown_fields=True):
    """Somebody follows what programs ask of this mount, with *names* in plain words or without."""

    names: bool


class Ignore(msgspec.Struct, frozen=True, tag="ignore", forbid_unknown_fields=True):
    """Nobody follows any more."""


class EventsQuery(
    msgspec.Struct, frozen=True, tag="events", forbid_unknown_fields=True, omit_defaults=True
):
    """Somebody, called *reader*, wants the events of this project after entry *after*.

    None is the newest entry there is. *told* are those he has of the entry behind it.
    """

    number: int
    reader: str
    after: int | None = None
    told: int = 0


FromMount = (
    MountHello
    | MountStats
    | StatusReply
    | Accesses
    | EventsPage
    | BlocksPage
    | PinsReply
    | ProjectWebhooks
    | WebhookReply
    | Goodbye
)
FromDaemon = (
    MountWelcome
    | MountRejected
    | Look
    | RosterNews
    | CopyMet
    | StatusQuery
    | BlocksUploaded
    | Follow
    | Ignore
    | EventsQuery
    | BlocksQuery
    | PinsQuery
    | WebhookQuery
)
