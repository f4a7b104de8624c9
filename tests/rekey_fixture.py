"""An office whose files lie in blocks that are really sealed, and a command that seals them anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from epoch_office import Office, Seat

from lucidnode.fs.errors import FsError
from lucidnode.fs.format.block import open_block, seal
from lucidnode.fs.rekey.rekeying import Rekeyed, Rekeying
from lucidnode.fs.rekey.throttle import Throttle
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import NewExtent, Write
from lucidnode.node.client.errors import NodeError, NotThere
from lucidnode.node.client.file_blocks import Evicted
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.staging import staged_path
from lucidnode.node.client.wire import CommitReply, CommitRequest, Slot, Source

T = TypeVar("T")


class Killed(Exception):
    """The command ends here."""


class _AtOnce(ThreadPoolExecutor):
    """Does what others do in a thread before anything else: time that is virtual waits for it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # whoever awaits gets it
            done.set_exception(error)
        return done


class RekeyDoor:
    """A seat's daemon and the blocks behind it. What is staged is in the bucket at once."""

    def __init__(self, seat: Seat, blocks: dict[BlockId, bytes], staging_dir: Path) -> None:
        self._daemon = seat.daemon
        self._blocks = blocks
        self._staging_dir = staging_dir
        self.steps = 0
        self.killed_at: int | None = None
        self.before_block: Callable[[], None] = lambda: None
        self.fetched: list[BlockId] = []
        self.evicted: set[BlockId] = set()

    def _step(self) -> None:
        self.steps += 1
        if self.killed_at is not None and self.steps > self.killed_at:
            raise Killed("killed")

    async def obtain(
        self,
        project: ProjectId,
        block: BlockId,
        *,
        patience_s: float,
        as_bytes: bool = False,
    ) -> tuple[Source, bytes | None]:
        assert as_bytes
        self._step()
        self.before_block()
        self.fetched.append(block)
        if block not in self._blocks:
            raise NotThere("the bucket has it not")
        return "bucket", self._blocks[block]

    async def staged(
        self, project: ProjectId, blocks: Sequence[BlockId], ranks: Sequence[int]
    ) -> None:
        assert len(ranks) == len(blocks)
        self._step()
        for block in blocks:
            self._blocks[block] = staged_path(self._staging_dir, project, block).read_bytes()

    async def evict(self, project: ProjectId, blocks: Sequence[BlockId]) -> Evicted:
        self.evicted.update(blocks)
        return Evicted(len(blocks), 0)

    async def commit(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        self._step()
        assert all(BlockId(block) in self._blocks for block in request.needs)
        return await self._daemon.commit(project, seq, request)

    async def entry(
        self, project: ProjectId, seq: Seq, max_bytes: int | None = None
    ) -> Slot | None:
        return await self._daemon.entry(project, seq)

    async def proven(self, project: ProjectId, seq: Seq) -> Slot | None:
        return await self._daemon.proven(project, seq)


class RekeyOffice:
    """An office, its sealed blocks, and whoever seals them anew."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.blocks: dict[BlockId, bytes] = {}
        self.staging_dir = office.path / "staging"
        self.staging_dir.mkdir()
        self.of_bo = office.seat("bo").access.keys()
        """What Bo has, also when he is put out."""
        asyncio.get_running_loop().set_default_executor(_AtOnce())

    def put(
        self, seat: Seat, ino: InodeNo, data: bytes, offset: int = 0, at: int = 0, length: int = 0
    ) -> BlockId:
        """Lay what *data*, a block of its own, has at *at* over *ino*; return the block."""
        name, sealed = seal(seat.access.keys(), data)
        self.blocks[name.id] = sealed
        extent = NewExtent(offset, length or len(data) - at, name.id, at)
        seat.node.replica.apply(Write(ino, [extent], [name], seat.node.time()))
        return name.id

    def read(self, seat: Seat, ino: InodeNo) -> bytes:
        """Return what *ino* holds, opened with the keys of *seat*."""
        tree, keys = seat.node.replica.tree, seat.access.keys()
        found = tree.attributes(ino)
        assert found is not None
        data = bytearray(found.size)
        for each in tree.extents(ino, 0, found.size):
            plain = open_block(keys, each.block, self.blocks[each.block.id])
            part = plain[each.block_offset : each.block_offset + each.length]
            data[each.offset : each.offset + each.length] = part
        return bytes(data)

    def epochs(self, seat: Seat) -> set[int]:
        """Return the epochs in which what files lie in is sealed."""
        rows = seat.node.rows()
        epoch_of = {row[0]: row[1] for row in rows["block"]}
        return {epoch_of[row[3]] for row in rows["extent"]}

    def command(
        self, beside: Seat, name: str = "-rekey", who: str = "ada"
    ) -> tuple[Seat, RekeyDoor]:
        """Return a command of *who* at the seat *beside*, with a replica of its own, and its daemon."""
        seat = self.office.seat(who, name, beside=beside)
        return seat, RekeyDoor(seat, self.blocks, self.staging_dir)

    def rekeying(self, seat: Seat, door: RekeyDoor, rate: float = 1e9) -> Rekeying:
        return Rekeying(
            seat.node.replica,
            door,
            door,
            door,
            seat.access,
            self.staging_dir,
            Throttle(rate, self.office.clock),
            self.office.clock,
            lambda _size: None,
        )

    async def followed(self, seat: Seat) -> None:
        """Have *seat* read the journal to its end."""
        async with self.office.running(seat):
            await self.office.settled(seat)

    async def rekeyed(self, seat: Seat, door: RekeyDoor) -> Rekeyed | None:
        """Have the command read on, and seal anew; None if it was killed."""
        await self.followed(seat)
        told: Rekeyed | None = None
        try:
            told = await self.through(self.rekeying(seat, door).run())
        except* Killed:
            pass
        return told

    async def through(self, work: Coroutine[Any, Any, T]) -> T:
        """Have *work* done while time passes; return what it does, raise what it raises."""
        failure: BaseException | None = None
        told: list[T] = []

        async def kept() -> None:
            nonlocal failure
            try:
                told.append(await work)
            except (FsError, NodeError) as error:
                failure = error

        async with asyncio.TaskGroup() as group:
            done = group.create_task(kept())
            await self.office.clock.until(done.done, 7200)
        if failure is not None:
            raise failure
        return told[0]
