"""What the process that does a round is told, and what it says."""

from __future__ import annotations

import msgspec

from lucidnode.fs.membership.member_file import Membership
from lucidnode.node.client.ids import ProjectId


class CollectSpec(msgspec.Struct, frozen=True):
    """What to collect, and with how much: *after* and *requests* as of `Collection` and `Budget`."""

    home: str
    membership: Membership
    project: ProjectId
    after: bytes
    requests: int


class Collected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a round ended. *why*: it could not do what others may be able to, in words for people.

    *entries* were made in it; *due_ns* is when there will be something to do, 0 if never.
    """

    freed_blocks: int = 0
    freed_bytes: int = 0
    after: bytes = b""
    why: str = ""
    entries: int = 0
    due_ns: int = 0
