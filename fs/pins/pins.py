"""The pins of one mount: places of the project whose blocks the daemon is to keep here.

A pinned directory is followed wherever it is moved; a pinned file is whatever has its name, for
programs save by putting a new file in the place of the old one. A place where nothing is stays
pinned, and takes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from lucidnode.fs.errors import FileMissing, FsError
from lucidnode.fs.files.blocks_of_files import BlocksOfFiles
from lucidnode.fs.replica.inode import MAX_DEPTH, ROOT, InodeNo
from lucidnode.fs.replica.pin_table import PinRow
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.daemon_socket.pins import DaemonPins
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.file_blocks import MAX_BLOCKS, BlocksPage, BlocksQuery, below
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.pins import Pin, PinnedPart, PinPlace, PinsQuery, PinsReply

_LOOK_INTERVAL_S = 2.0

_TELL_AGAIN_S = 300.0
"""Seconds after which the daemon is told again though nothing has changed: it may have forgotten."""

_IDLE_SHARE = 20
"""How many times as long as a walk takes nothing is walked again: a busy tree costs a twentieth."""

_TABLES = frozenset({"name", "extent"})
"""What decides which blocks lie below a place."""


class Pins:
    """Remembers them in the replica, and tells the daemon which blocks that is."""

    def __init__(
        self,
        project: ProjectId,
        replica: Replica,
        blocks: BlocksOfFiles,
        daemon: DaemonPins,
        clock: Clock,
    ) -> None:
        self._project = project
        self._replica = replica
        self._blocks = blocks
        self._daemon = daemon
        self._clock = clock
        self._is_stale = True
        self._turn = asyncio.Lock()
        self._has_told_none = False
        """Whether the daemon knows that nothing is pinned. It may remember pins of a replica that is gone."""

    async def ordered(self, query: PinsQuery) -> PinsReply:
        """Do what a command wants; answer with all pins that there are then, once the daemon goes by them.

        If it cannot be told now, it is told later.
        """
        refused = ""
        try:
            self._settle()
            match query.order:
                case "set":
                    self._replica.pins.replace([], [self._row(place) for place in query.places])
                case "unset":
                    gone = {(place.parent, place.name) for place in query.places}
                    rows = self._replica.pins.all()
                    self._replica.pins.replace(
                        [row for row in rows if (row.parent, row.name) in gone], []
                    )
                case "list":
                    pass
        except FsError as error:
            refused = str(error)
        if query.order != "list":
            self._is_stale = True
            with contextlib.suppress(FsError, NodeError):
                await self._tell()
        return PinsReply(query.number, self._shown(), refused)

    async def run(self) -> None:
        """Tell the daemon, and again whenever that may have changed, until cancelled."""
        self._replica.follow(self._changed)
        try:
            told_at = -_TELL_AGAIN_S
            while True:
                began = self._clock.boot()
                if self._is_stale or began - told_at >= _TELL_AGAIN_S:
                    with contextlib.suppress(FsError, NodeError):
                        await self._tell()
                        told_at = began
                took_s = self._clock.boot() - began
                await self._clock.sleep(max(_LOOK_INTERVAL_S, _IDLE_SHARE * took_s))
        finally:
            self._replica.unfollow(self._changed)

    def _changed(self, changes: list[RowChange]) -> None:
        if not self._is_stale and any(table in _TABLES for table, _, _ in changes):
            self._is_stale = True

    async def _tell(self) -> None:
        """Walk what is pinned and tell the daemon. Raises an FsError or a NodeError; tells nothing then."""
        async with self._turn:
            try:
                await self._tell_in_turn()
            except BaseException:
                self._is_stale = True
                raise

    async def _tell_in_turn(self) -> None:
        self._is_stale = False
        self._settle()
        inos = [int(row.ino) for row in self._replica.pins.all() if row.ino]
        if not inos and self._has_told_none:
            return
        first = True
        waiting: dict[BlockId, int] = {}
        async for block, size in self._below(inos):
            waiting[block] = size
            if len(waiting) == MAX_BLOCKS:
                await self._send(list(waiting.items()), first=first, last=False)
                first = False
                waiting.clear()
        await self._send(list(waiting.items()), first=first, last=True)
        self._has_told_none = not inos

    async def _send(self, blocks: list[tuple[BlockId, int]], *, first: bool, last: bool) -> None:
        await self._daemon.part(
            PinnedPart(
                self._project,
                [bytes(block) for block, _ in blocks],
                [size for _, size in blocks],
                first,
                last,
            )
        )

    async def _below(self, inos: list[int]) -> AsyncIterator[tuple[BlockId, int]]:
        async def ask(some: list[int], offset: int) -> BlocksPage:
            return await self._blocks.page(BlocksQuery(0, some, offset))

        async for part in below(ask, inos):
            for use in part.uses:
                yield BlockId(use.id), use.size

    def _settle(self) -> None:
        """Note where each pin is now. Raises an FsError."""
        for row in self._replica.pins.all():
            if (now := self._found(row)) != row:
                self._replica.pins.replace([row], [now])

    def _found(self, row: PinRow) -> PinRow:
        tree = self._replica.tree
        if row.ino == ROOT:
            return row
        was = tree.attributes(row.ino) if row.ino else None
        if was is not None and was.is_directory:
            for parent, name in tree.names_of(row.ino):
                return PinRow(parent, name, row.ino)
        there = tree.lookup(row.parent, row.name)
        return row._replace(ino=InodeNo(0) if there is None else there.ino)

    def _row(self, place: PinPlace) -> PinRow:
        """Return the row of a new pin. Raises FileMissing."""
        parent = InodeNo(place.parent)
        if not place.name and parent == ROOT:
            return PinRow(ROOT, b"", ROOT)
        found = self._replica.tree.lookup(parent, place.name)
        if found is None:
            raise FileMissing("it is gone meanwhile")
        return PinRow(parent, place.name, found.ino)

    def _shown(self) -> list[Pin]:
        try:
            rows = self._replica.pins.all()
            return [Pin(self._path(row), int(row.ino), int(row.parent)) for row in rows]
        except FsError:
            return []

    def _path(self, row: PinRow) -> bytes:
        parts, here = [row.name], row.parent
        while here != ROOT and len(parts) <= MAX_DEPTH:
            names = self._replica.tree.names_of(here)
            here, name = names[0] if names else (ROOT, b"(no name)")
            parts.insert(0, name)
        return b"/".join(parts)
