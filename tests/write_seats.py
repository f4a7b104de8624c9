"""Two workstations whose programs open the same files for writing, on virtual time, over one bucket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from committer_fixture import Bucket, Daemon
from file_layer_fixture import ME, PROJECT, Commits, FileLayer, QuickClock, file_layer
from lab.soak_files import VirtualClock
from lab.virtual_loop import run_virtual
from office_links import OfficeLinks

from lucidnode.fs.leases.write_leases import Elsewhere, LockOnOpen
from lucidnode.fs.replica.inode import ROOT, InodeNo

NAMES = ("ana", "ben")

_PATIENCE_S = 600.0


@dataclass
class WriteSeat:
    """A workstation whose programs open files."""

    name: str
    door: Daemon
    layer: FileLayer

    def names(self) -> list[str]:
        """Return what lies in the project, in order."""
        return sorted(name.decode() for name in self.layer.replica.tree.names_in(ROOT))

    def ino(self, name: str) -> InodeNo:
        return self.layer.files.lookup(ROOT, name.encode()).ino

    async def open(self, name: str, flags: int = os.O_RDWR) -> int:
        """Open as the kernel does, and return the handle."""
        ino = self.ino(name)
        if self.layer.files.opens_at_once(ino, flags):
            return self.layer.files.open_as_it_is(ino, flags)[0]
        return (await self.layer.files.open(ino, flags))[0]

    async def write(self, handle: int, data: bytes, offset: int = 0) -> None:
        await self.layer.files.write(handle, offset, data)

    async def close(self, handle: int) -> None:
        await self.layer.files.flush(handle)
        self.layer.files.release(handle)

    async def read(self, name: str) -> bytes:
        return await self.layer.contents(self.ino(name))

    async def order(self, name: str, order: bytes) -> None:
        assert self.layer.leases is not None
        await self.layer.leases.ordered(self.ino(name), order)

    def lock(self, name: str) -> str:
        """Return what the file's attribute says of its lock, empty for nothing."""
        assert self.layer.leases is not None
        row = self.layer.leases.rows.of(self.ino(name))
        return "" if row is None or not row.holder else "taken" if row.taken else "open"

    def alerts(self) -> list[str]:
        return [alert.topic.partition(":")[0] for alert in self.layer.alerts.current()]


@dataclass
class WriteOffice:
    """Both seats, and the bucket and the links that they share."""

    bucket: Bucket
    a: WriteSeat
    b: WriteSeat
    links: OfficeLinks

    async def until(self, done: Callable[[], Any]) -> None:
        """Let virtual time pass until *done*."""
        left = _PATIENCE_S
        while not done():
            assert left > 0, f"not so after {_PATIENCE_S:.0f} virtual seconds"
            await asyncio.sleep(0.25)
            left -= 0.25

    async def shared(self, name: str, data: bytes = b"first cut") -> None:
        """Have *a* make a file that both see, and that nobody has for himself."""
        made, (handle, _) = self.a.layer.files.create(ROOT, name.encode(), 0o644, ME, os.O_RDWR, 0)
        await self.a.write(handle, data)
        await self.a.close(handle)
        await self.until(lambda: name in self.b.names() and not self.is_busy())
        assert made.ino == self.b.ino(name)

    def is_busy(self) -> bool:
        """Tell whether anything waits to be committed anywhere, or to be read."""
        heads = {seat.layer.replica.pending.head().seq for seat in (self.a, self.b)}
        return len(heads) > 1 or any(
            seat.layer.replica.pending.has_work() for seat in (self.a, self.b)
        )


@dataclass(frozen=True)
class WriteStudio:
    """What the seats of one project share: its bucket, and who they are."""

    home: Path
    bucket: Bucket
    doors: dict[str, Daemon]
    links: OfficeLinks

    @classmethod
    def of(cls, home: Path) -> WriteStudio:
        """Return one of two people, without a link between them."""
        links = OfficeLinks()
        links.cut = True
        bucket = Bucket()
        doors = {name: Daemon(bucket, name.encode() * 10 + b"..", PROJECT) for name in NAMES}
        return cls(home, bucket, doors, links)

    @asynccontextmanager
    async def seat(
        self,
        name: str,
        policy: LockOnOpen | None,
        clock: QuickClock,
        *,
        strict: bool = False,
        exclusive: Literal["alone", "never alone"] | None = None,
    ) -> AsyncIterator[WriteSeat]:
        """Run a mount at the workstation of *name*, on what the one before it has left."""
        door = self.doors[name]
        keys = {each.device: each.public for each in self.doors.values()}
        called = {each.device: name for name, each in self.doors.items()}
        async with file_layer(
            self.home / name,
            clock=clock,
            bucket=self.home / "bucket",
            commits=Commits(door, door.device, keys.get, lambda _: None, self.links),
            name=name,
            name_of=called.__getitem__,
            lock_on_open=policy,
            strict=strict,
            exclusive=exclusive,
        ) as layer:
            yield WriteSeat(name, door, layer)


def in_the_office(
    home: Path,
    work: Callable[[WriteOffice], Awaitable[None]],
    *,
    elsewhere: Elsewhere = "read-only",
    patterns: tuple[str, ...] = ("*.prproj",),
    alone_when_away: bool = True,
    strict: bool = False,
) -> None:
    """Do *work* at two workstations that lock *patterns* on opening."""

    async def run() -> None:
        studio = WriteStudio.of(home)
        policy = LockOnOpen(patterns, elsewhere, alone_when_away=alone_when_away)
        clock = VirtualClock()
        async with (
            studio.seat(NAMES[0], policy, clock, strict=strict) as a,
            studio.seat(NAMES[1], policy, clock, strict=strict) as b,
        ):
            await work(WriteOffice(studio.bucket, a, b, studio.links))

    run_virtual(run, 1)
