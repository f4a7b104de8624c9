"""What to mount, where and how."""

from __future__ import annotations

from typing import Literal

import msgspec

from lucidnode.fs.membership.member_file import Membership
from lucidnode.node.client.ids import ProjectId

Durability = Literal["relaxed", "local", "office", "cloud"]


class MountSpec(msgspec.Struct, frozen=True):
    """What to mount, where and how. Paths are absolute.

    *durability* is what `close` and `fsync` wait for; at `relaxed` only `fsync` does. The daemon does not report which copies the
    office holds, so `office` waits for the bucket: more than it promises, never less.
    *channel* puts the kernel channel (fs/channel) over the device, if it was compiled.
    """

    home: str
    mountpoint: str
    membership: Membership
    project: ProjectId
    durability: Durability
    read_only: bool
    allow_other: bool
    channel: bool = True


class PastMountSpec(msgspec.Struct, frozen=True):
    """What to mount of the past, where and how. Paths are absolute.

    *replica* is a file that stands on the entry that is shown, for this mount alone.
    """

    home: str
    mountpoint: str
    membership: Membership
    project: ProjectId
    replica: str
    blocks_dir: str
    staging_dir: str
    allow_other: bool
