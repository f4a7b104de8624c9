"""What to mount, where and how."""

from __future__ import annotations

from typing import Literal

import msgspec

from lucidnode.fs.membership.member_file import Membership
from lucidnode.node.client.ids import ProjectId

Durability = Literal["relaxed", "local", "office", "cloud"]

LockedElsewhere = Literal["read-only", "busy"]

Consistency = Literal["polled", "strict"]

SnapshotDirectory = Literal["none", "hidden", "visible"]

PROJECT_FILES = (
    "*.prproj", "*.drp", "*.avb", "*.avp", "*.aep", "*.blend", "*.aaf", "*.psd", "*.psb", "*.indd",
    "*.ai", "*.c4d", "*.hip", "*.ma", "*.mb", "*.nk", "*.ptx", "*.fcpxml",
)  # fmt: skip
"""Names of files that one person works on for hours, and that are saved as a whole."""


USUAL_MEMORY_BYTES = 512 * 1024 * 1024


class MountSpec(msgspec.Struct, frozen=True):
    """What to mount, where and how. Paths are absolute.

    *durability* is what `close` and `fsync` wait for; at `relaxed` only `fsync` does. The daemon does not report which copies the
    office holds, so `office` waits for the bucket: more than it promises, never less.
    *channel* puts the kernel channel (fs/channel) over the device, if it was compiled.
    Files whose names match a pattern of *lock_on_open* are locked while they are open for writing, and where
    another workstation has one, `open` says what *locked_elsewhere* means. At *consistency* `strict` each
    `open` asks the bucket for what others have committed. *collection_requests* may be made a day to
    free what nothing needs any more; with 0 that is left to others. *memory_limit* is in bytes: what is
    held in memory of files, saved or not. Below `.snapshots` the project's snapshots are, unless *snapdir*
    is `none`; where it is `hidden` no listing has that name. One *for_programs* is no mount:
    its mount point is a socket (fs/unmounted.py).
    """

    home: str
    mountpoint: str
    membership: Membership
    project: ProjectId
    durability: Durability
    read_only: bool
    allow_other: bool
    channel: bool = True
    lock_on_open: tuple[str, ...] = ()
    locked_elsewhere: LockedElsewhere = "read-only"
    consistency: Consistency = "polled"
    collection_requests: int = 0
    memory_limit: int = USUAL_MEMORY_BYTES
    snapdir: SnapshotDirectory = "none"
    for_programs: bool = False

    @property
    def waits_for_bucket(self) -> bool:
        """Whether what is acknowledged is in the bucket."""
        return self.durability in {"office", "cloud"}


class PastMountSpec(msgspec.Struct, frozen=True):
    """What to mount of the past, where and how. Paths are absolute.

    *replica* is a file that stands on the entry that is shown, for this mount alone. *memory_limit* is as
    in `MountSpec`.
    """

    home: str
    mountpoint: str
    membership: Membership
    project: ProjectId
    replica: str
    blocks_dir: str
    staging_dir: str
    allow_other: bool
    memory_limit: int = USUAL_MEMORY_BYTES
