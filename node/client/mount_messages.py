"""What a mount and its daemon tell each other over their WebSocket: msgspec structs, as MessagePack.

The path is `/v1/p/{project}/events` (daemon_socket/mounts.py): Hello, Welcome, then both ways. A field that we do not
know is passed over, and so is a message of a kind that we do not know: the other may be of a later release, since
one of the two is renewed first.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

from lucidnode.node.client.alerts import Alert
from lucidnode.node.client.conflicts import ConflictQuery, ConflictReply
from lucidnode.node.client.file_blocks import BlocksPage, BlocksQuery
from lucidnode.node.client.pins import PinsQuery, PinsReply
from lucidnode.node.client.webhooks import ProjectWebhooks, WebhookQuery, WebhookReply

# -- events: mount to daemon ---------------------------------------------------------------------


REQUEST_BUCKETS_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""How long requests of programs may take to be counted in each bucket; one more is for the rest."""


class RequestTimes(msgspec.Struct, frozen=True):
    """How long the requests of one operation took: in sum, and how many in each bucket."""

    seconds: float
    failed: int
    counts: Annotated[
        list[int],
        msgspec.Meta(min_length=len(REQUEST_BUCKETS_S) + 1, max_length=len(REQUEST_BUCKETS_S) + 1),
    ]


class MountStats(msgspec.Struct, frozen=True, tag="stats"):
    """Totals since the mount started, sent about once a second while they change.

    Plaintext bytes handed to applications by where their block came from; `memory` are segments
    decrypted earlier. *read_again* is the part of `cache` whose blocks had come over the network before. *pending* counts operations not yet committed to the bucket. *checkpoint* is the journal entry of the
    newest checkpoint that is known to be true, 0 if none is. *reading_to* is the entry that a mount which
    is not shown yet reads up to before it is, 0 if that is not known, or it is shown.
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
    reading_to: int = 0
    requests: dict[str, RequestTimes] = {}


class MountHello(msgspec.Struct, frozen=True, tag="hello"):
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


class FileOnItsWay(msgspec.Struct, frozen=True):
    """A file whose newest content is not whole in the bucket.

    *device* is what people call the workstation that has it, empty for this one. How large it is, how much
    is left, how fast it goes and how long what is there now still takes: None is what is not known, of
    another workstation's or before there is a rate.
    """

    path: str
    state: Literal["writing", "uploading"]
    device: str
    bytes_left: int | None
    bytes: int | None = None
    bytes_per_second: int | None = None
    seconds_left: float | None = None


class LockHolder(msgspec.Struct, frozen=True):
    """A process that has a lock of the bytes from *start* to *last* of a file; None: to the end, however long.

    *device* is what people call its workstation, empty for this one. *program* is empty if nobody knows.
    """

    device: str
    program: str
    pid: int
    exclusive: bool
    start: int
    last: int | None


class FileToken(msgspec.Struct, frozen=True):
    """Which workstation decides the locks of a file; without a path, of all that are not named.

    *device* and *wanted_by* are what people call a workstation, empty for this one, None for nobody.
    *locked*: a program of this mount has a lock of it.
    """

    path: str
    device: str | None
    wanted_by: str | None
    locked: bool
    holders: list[LockHolder] = []
    """Who has locks of it, as far as the workstation that decides has answered."""


class FileLease(msgspec.Struct, frozen=True):
    """A file that one workstation has for itself: open for writing there, or *taken* by a person.

    *device* is what people call it, empty for this one; *since_ns* is by its clock, since 1970.
    """

    path: str
    device: str
    taken: bool
    since_ns: int


class StatusReply(msgspec.Struct, frozen=True, tag="answer"):
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


class AccessedFile(msgspec.Struct, frozen=True, array_like=True):
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


class Accesses(msgspec.Struct, frozen=True, tag="accesses"):
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


class ProjectEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
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


class EventsPage(msgspec.Struct, frozen=True, tag="events", omit_defaults=True):
    """Reply to EventsQuery: what comes next, and the place behind it, to ask for next.

    *missed_from* is the first entry of some up to *after* that nobody can tell of any more.
    Passed on and forgotten, never stored by the daemon: it names files.
    """

    number: int
    events: list[ProjectEvent]
    after: int
    told: int
    missed_from: int | None = None


SealedWord = Annotated[bytes, msgspec.Meta(max_length=1024)]
"""What two mounts tell each other, sealed: no daemon can read it (docs/format.md, "Office messages")."""


class OfficeMessage(msgspec.Struct, frozen=True, tag="office"):
    """*word* for the mount of this project on *device*; or, to a mount, from the one there."""

    device: str
    word: SealedWord


class Goodbye(msgspec.Struct, frozen=True, tag="goodbye"):
    """Last message of a mount that ends in order: one that says none has died."""


# -- events: daemon to mount ---------------------------------------------------------------------


class MountWelcome(msgspec.Struct, frozen=True, tag="welcome"):
    """Where this node keeps things. Paths are absolute; budgets are bytes."""

    device: str
    blocks_dir: str
    staging_dir: str
    staging_limit: int
    min_free: int


class MountRejected(msgspec.Struct, frozen=True, tag="not-welcome"):
    """Instead of Welcome: why there can be no such mount, as a status of HTTP and in words."""

    status: int
    words: str


class Look(msgspec.Struct, frozen=True, tag="look"):
    """Somebody says that there is news at *seq* of the journal: a hint to look there, no more."""

    seq: int


class RosterNews(msgspec.Struct, frozen=True, tag="roster"):
    """The log of members has grown: what the daemon knows of it may concern this mount."""


class CopyMet(msgspec.Struct, frozen=True, tag="copy"):
    """A daemon at *host* works with our own device key, and began before us: write nothing more."""

    host: str


class StatusQuery(msgspec.Struct, frozen=True, tag="ask", omit_defaults=True):
    """Somebody wants to see this project, and what is amiss with it, in plain words.

    With *every_alert* also those that are too many of one kind to be shown. *devices* are those whose
    names are asked for.
    """

    number: int
    every_alert: bool = False
    devices: list[str] = []


class NotLinked(msgspec.Struct, frozen=True, tag="not-linked"):
    """What was to go to *device* did not: there is no link to it now."""

    device: str


class BlocksUploaded(msgspec.Struct, frozen=True, tag="uploaded"):
    """These staged blocks are in the bucket now."""

    ids: list[bytes]


class Follow(msgspec.Struct, frozen=True, tag="follow"):
    """Somebody follows what programs ask of this mount, with *names* in plain words or without."""

    names: bool


class Ignore(msgspec.Struct, frozen=True, tag="ignore"):
    """Nobody follows any more."""


class EventsQuery(msgspec.Struct, frozen=True, tag="events", omit_defaults=True):
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
    | ConflictReply
    | OfficeMessage
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
    | OfficeMessage
    | NotLinked
    | Follow
    | Ignore
    | EventsQuery
    | BlocksQuery
    | PinsQuery
    | WebhookQuery
    | ConflictQuery
)


def _tags(*kinds: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(str(kind.__struct_config__.tag) for kind in kinds)


FROM_MOUNT_KINDS = _tags(*get_args(FromMount))
FROM_DAEMON_KINDS = _tags(*get_args(FromDaemon))
"""By which a message of a kind that only a later release has is known, and passed over."""
