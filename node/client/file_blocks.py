"""Which blocks files lie in, and where these are: what passes between command, daemon and mount.

Files are named by their inode numbers, so no name leaves a mount for it. msgspec structs, encoded
as MessagePack, as in node/client/wire.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import islice
from typing import Annotated, Literal

import msgspec

from lucidnode.node.client.errors import Malformed

MAX_FILES = 256
"""Files and directories that one question names."""

MAX_BLOCKS = 4096
"""Blocks that one question for their places names."""

_Ino = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class BlockUse(msgspec.Struct, frozen=True, array_like=True):
    """*used* bytes of a file, from *offset* on, lie in a block that holds *size* bytes in all."""

    offset: int
    used: int
    id: bytes
    size: int


class FileBlocks(msgspec.Struct, frozen=True, array_like=True):
    """A part of what makes up inode *ino*.

    *loose* are bytes that are in no block yet, told with the first part: they lie on this disk
    alone. *below* are the inodes in it, if it is a directory. One that is gone has nothing.
    """

    ino: int
    loose: int
    uses: list[BlockUse]
    below: list[int]


class BlocksQuery(msgspec.Struct, frozen=True, tag="blocks"):
    """What do *inos* lie in? The first of them from *offset* on: a byte, or an entry of a directory."""

    number: int
    inos: list[int]
    offset: int


class BlocksPage(msgspec.Struct, frozen=True, tag="blocks"):
    """Reply to BlocksQuery: the first of its inodes, in order, as many as fit.

    With an *offset* the last of them goes on there. Passed on and forgotten.
    """

    number: int
    files: list[FileBlocks]
    offset: int | None


class FilesWish(msgspec.Struct, frozen=True):
    """A BlocksQuery to the mount of *project*, for a command."""

    project: str
    inos: Annotated[list[_Ino], msgspec.Meta(min_length=1, max_length=MAX_FILES)]
    offset: _Offset


class BlocksOf(msgspec.Struct, frozen=True):
    """Blocks of *project* that somebody asks about, or wants gone from the cache here."""

    project: str
    ids: Annotated[list[bytes], msgspec.Meta(max_length=MAX_BLOCKS)]


Place = Literal["cache", "waiting", "away"]
"""On this disk: in the cache, or waiting for its upload. Or neither."""


WhyPassedOver = Literal["away", "resting", "slow"]
"""Of a peer that a block belongs to: there is no link to it; it did not answer in time, and is left alone for
up to half a minute; another source was much quicker, and the same. Who gave wrong blocks owns none."""


class BlockPlace(msgspec.Struct, frozen=True, array_like=True):
    """Where one block is, and how it came here the last time, if it did since the daemon started.

    *came_from* is "" for what did not come. *took_s* are the seconds that whoever asked for it
    waited, *came_ns* is when it came, in ns since 1970. *asked_first* are the devices that would be
    asked for it before the bucket. *withheld_from* is the indexer that did not get it last, at
    *withheld_ns*; "" for none. *passed_over* are the devices that it belongs to and that are not
    asked now, *came_past* those that were not, or in vain, when it came.
    """

    place: Place
    came_from: Literal["", "peer", "bucket"]
    took_s: float
    came_ns: int
    asked_first: list[str]
    withheld_from: str = ""
    withheld_ns: int = 0
    passed_over: list[tuple[str, WhyPassedOver]] = []
    came_past: list[tuple[str, WhyPassedOver]] = []


class BlockPlaces(msgspec.Struct, frozen=True):
    """One for each block that was asked about, in order."""

    places: list[BlockPlace]


class Evicted(msgspec.Struct, frozen=True):
    """What left the cache; *bytes* of disk."""

    blocks: int
    bytes: int


Ask = Callable[[list[int], int], Awaitable[BlocksPage]]
"""Puts a BlocksQuery, its number left to whoever asks."""


async def below(ask: Ask, inos: Iterable[int]) -> AsyncIterator[FileBlocks]:
    """Yield what *inos* and all that is below them lie in, each inode once, a long one in parts.

    Raises Malformed for answers that lead nowhere, and what *ask* raises.
    """
    waiting = deque(dict.fromkeys(inos))
    seen = set(waiting)
    offset = 0
    while waiting:
        batch = list(islice(waiting, MAX_FILES))
        page = await ask(batch, offset)
        told = [file.ino for file in page.files]
        goes_on = page.offset is not None
        if not told or told != batch[: len(told)]:
            raise Malformed("blocks of other files")
        if page.offset is not None and len(told) == 1 and page.offset <= offset:
            raise Malformed("the blocks of a file without an end")
        for file in page.files:
            yield file
            new = [ino for ino in file.below if ino not in seen]
            seen.update(new)
            waiting.extend(new)
        for _ in range(len(told) - goes_on):
            waiting.popleft()
        offset = page.offset or 0
