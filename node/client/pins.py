"""What a workstation is to keep in its cache, whatever else comes: what passes between its processes.

A *pin* names a directory or a file of a project by its place: the inode of the directory that it is
in, and its name there. Mounts know which blocks that is, and tell the daemon, which keeps those.
msgspec structs, encoded as MessagePack, as in node/client/wire.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from lucidnode.node.client.file_blocks import MAX_BLOCKS

MAX_PLACES = 256
"""Places that one order names."""

PINNED_SHARE = 0.8
"""The part of the cache that pins may fill: programs need the rest for what they read beside."""

PinOrder = Literal["list", "set", "unset"]

_Ino = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Size = Annotated[int, msgspec.Meta(ge=1, le=2**40)]


class PinPlace(msgspec.Struct, frozen=True, array_like=True):
    """*name* in directory *parent*; the root of a project is nothing in itself."""

    parent: _Ino
    name: Annotated[bytes, msgspec.Meta(max_length=255)]


class Pin(msgspec.Struct, frozen=True, array_like=True):
    """A pin at *path* below the project's root, as names are there: not all are text. *ino* is 0 while nothing is there.

    *parent* is the directory that it is in, which may be gone; its name there is the last one of *path*.
    """

    path: bytes
    ino: int
    parent: int


class PinsWish(msgspec.Struct, frozen=True):
    """What a command wants of the pins of *project*, which is mounted here."""

    project: str
    order: PinOrder
    places: Annotated[list[PinPlace], msgspec.Meta(max_length=MAX_PLACES)] = []


class PinsQuery(msgspec.Struct, frozen=True, tag="pins"):
    """A PinsWish, passed on to the mount."""

    number: int
    order: PinOrder
    places: list[PinPlace]


class PinsReply(msgspec.Struct, frozen=True, tag="pins"):
    """All pins of the project behind the order; *refused* says why nothing was done. Passed on and forgotten."""

    number: int
    pins: list[Pin]
    refused: str = ""


class PinnedPart(msgspec.Struct, frozen=True):
    """A part of the blocks that the pins of *project* are, and the *sizes* of what is in each.

    The *first* begins a new list; with the *last* it takes the place of the list before.
    """

    project: str
    ids: Annotated[list[bytes], msgspec.Meta(max_length=MAX_BLOCKS)]
    sizes: list[_Size]
    first: bool
    last: bool


class PinnedProject(msgspec.Struct, frozen=True):
    """How far the pins of *project* are here. Bytes are those of contents; *why* is what hinders the rest."""

    project: str
    bytes: int
    bytes_here: int
    why: str


class PinnedProjects(msgspec.Struct, frozen=True):
    """One for each project that has pins here. *room* is how many bytes of disk pins may take in all."""

    projects: list[PinnedProject]
    room: int
