"""Programs at work on a file layer, each at files and at parts of files of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from random import Random  # noqa: TID251 - seeded

from file_layer_fixture import BLOCK, ME, FileLayer

from lab.file_models import LINE, SLOT, SLOTS, Program, Versions, offset
from lucidnode.fs.errors import NoSpace
from lucidnode.fs.files.range_changes import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.write.group_sync import TOPIC

RELAXED_S = 2.0
"""Seconds after which what `close` acknowledged at `relaxed` survives a power cut, unless the disk
refused meanwhile. Twice what is promised: threads take their time here."""


class Running:
    """A program in one life."""

    def __init__(
        self,
        layer: FileLayer,
        program: Program,
        shared: Callable[[], InodeNo],
        chance: Random,
        happened: Counter[str],
    ) -> None:
        """*shared* tells the file with our version of what all programs share."""
        self._layer = layer
        self._files = layer.files
        self._program = program
        self._shared_ino = shared
        self._chance = chance
        self._happened = happened
        self._shared = self._log = self._own = 0
        self._opened = self._ino = InodeNo(0)
        self._syncing: asyncio.Task[None] | None = None
        self._has_ended = False

    def end(self) -> None:
        """Note that its life is over: nothing is acknowledged any more."""
        self._has_ended = True

    async def steps(self, number: int) -> None:
        """Do *number* random things; a full disk ends none of them but the one it meets."""
        await self._open_shared()
        self._log, _ = await self._files.open(self._ino_of(b"log"), os.O_RDWR | os.O_APPEND)
        if self._content is not None:
            self._ino = self._ino_of(self._program.own_name)
            self._own, _ = await self._files.open(self._ino, os.O_RDWR)
        try:
            for _ in range(number):
                await self._act()
        finally:
            if self._syncing is not None:
                self._syncing.cancel()

    async def _act(self) -> None:
        name = self._chance.choice(_ACTIONS)
        try:
            await getattr(self, f"_{name}")()
        except NoSpace:
            self._happened["no space"] += 1
        self._happened[name] += 1
        self._happened["steps"] += 1
        rest = self._chance.random()
        if rest < 0.3:
            await asyncio.sleep(40.0 if rest < 0.01 else self._chance.random() * 0.1)

    def _ino_of(self, name: bytes) -> InodeNo:
        return self._files.lookup(ROOT, name).ino

    @property
    def _content(self) -> Versions | None:
        return self._program.own[-1]

    def _closed(self, acknowledged: Callable[[], None]) -> None:
        """Call *acknowledged* as soon as what was closed now survives a power cut."""
        if not self._layer.group_sync.relaxed:
            acknowledged()
            return
        full_before = self._happened["full disks"]

        def later() -> None:
            topics = {alert.topic for alert in self._layer.alerts.current()}
            is_well = TOPIC not in topics and self._happened["full disks"] == full_before
            if is_well and not self._has_ended:
                acknowledged()

        asyncio.get_running_loop().call_later(RELAXED_S, later)

    # -- the shared file ---------------------------------------------------------------------

    def _somewhere(self) -> tuple[Versions, int, int, bytes]:
        slot = self._chance.randrange(SLOTS)
        at = self._chance.randrange(SLOT)
        size = min(self._chance.choice([1, 100, 5000, SLOT]), SLOT - at)
        data = bytes([self._chance.randrange(1, 256)]) * size
        return self._program.slots[slot], offset(slot, self._program.number), at, data

    async def _open_shared(self) -> None:
        self._opened = self._shared_ino()
        self._shared, _ = await self._files.open(self._opened, os.O_RDWR)

    async def _at_ours(self) -> None:
        """Follow our version into a conflict copy: a handle that wrote nothing stays behind."""
        while self._opened != self._shared_ino():
            self._release(self._shared)
            await self._open_shared()

    async def _write(self) -> None:
        await self._at_ours()
        versions, base, at, data = self._somewhere()
        await self._files.write(self._shared, base + at, data)
        versions.write(at, data)

    async def _late_write(self) -> None:
        """Write as a page of a map does: after the `close`, and nothing follows but a release."""
        versions, base, at, data = self._somewhere()
        opened = self._shared_ino()
        handle, _ = await self._files.open(opened, os.O_RDWR)
        try:
            await self._files.flush(handle)
            if opened == self._shared_ino():  # else it stays behind, as handles that wrote nothing
                await self._files.write(handle, base + at, data)
                versions.write(at, data)
        finally:
            self._release(handle)

    async def _read(self) -> None:
        await self._at_ours()
        slot = self._chance.randrange(SLOTS)
        versions = self._program.slots[slot]
        base = offset(slot, self._program.number)
        found = bytes(await self._files.read(self._shared, base, len(versions.now)))
        assert found.ljust(len(versions.now), b"\0") == versions.now, "not what was written"

    def _shared_acknowledged(self) -> Callable[[], None]:
        newest = [(each, each.since[-1]) for each in self._program.slots]

        def note() -> None:
            for each, version in newest:
                each.acknowledged(version)

        return note

    async def _sync(self) -> None:
        await self._at_ours()
        acknowledged = self._shared_acknowledged()
        await self._files.sync(self._shared)
        acknowledged()

    async def _reopen(self) -> None:
        await self._at_ours()
        acknowledged = self._shared_acknowledged()
        await self._files.flush(self._shared)
        self._release(self._shared)
        self._closed(acknowledged)
        await self._open_shared()

    async def _pack(self) -> None:
        self._layer.packer.pack()

    # -- the log -----------------------------------------------------------------------------

    async def _append(self) -> None:
        word = f"{self._program.number} {self._chance.getrandbits(64):016x} ".encode()
        line = word.ljust(LINE - 1, b".") + b"\n"
        await self._files.write(self._log, 0, line)
        self._program.lines.append(line)

    async def _sync_log(self) -> None:
        sure = len(self._program.lines)
        await self._files.sync(self._log)
        self._program.lines_sure = max(sure, self._program.lines_sure)

    # -- the file of its own -----------------------------------------------------------------

    async def _make(self) -> None:
        """Save as editors do: a new file, under another name at first, over the old one."""
        await self._synced()
        scratch, final = self._program.scratch_name, self._program.own_name
        if self._files_has(scratch):
            self._files.unlink(ROOT, scratch)
        made = self._files.make(ROOT, scratch, 0o100644, ME)
        handle, _ = await self._files.open(made.ino, os.O_RDWR)
        content = Versions()
        try:
            for _ in range(3):
                data = self._chance.randbytes(self._chance.choice([50, 4000, BLOCK]))
                at = len(content.now)
                await self._files.write(handle, at, data)
                content.write(at, data)
            version = content.since[-1]
            if self._layer.group_sync.relaxed or self._chance.random() < 0.5:
                await self._files.sync(handle)
            else:
                await self._files.flush(handle)
            content.acknowledged(version)
            # No await from here on: a kill must not part the name from what is known of it.
            self._renamed(scratch, final, made.ino)
        except BaseException:
            with contextlib.suppress(NoSpace):
                self._files.release(handle)
                self._files.unlink(ROOT, scratch)
            raise
        if self._content is not None:
            self._release(self._own)
        self._own, self._ino = handle, made.ino
        self._program.own.append(content)

    def _renamed(self, old: bytes, new: bytes, ino: InodeNo) -> None:
        try:
            self._files.rename(ROOT, old, ROOT, new, 0)
        except NoSpace:
            is_done = self._files_has(new) and self._ino_of(new) == ino
            assert not is_done, "a rename that was done ends in an error"
            raise

    def _files_has(self, name: bytes) -> bool:
        return self._layer.replica.tree.lookup(ROOT, name) is not None

    async def _sync_names(self) -> None:
        """Sync the directory, after which the names are as they are."""
        sure = len(self._program.own) - 1
        await self._files.sync_directory()
        del self._program.own[:sure]

    async def _private_write(self) -> None:
        content = self._content
        if content is not None:
            at = self._chance.randrange(len(content.now) + 3000)
            data = self._chance.randbytes(self._chance.choice([1, 900, 70_000, BLOCK, 2 * BLOCK]))
            await self._files.write(self._own, at, data)
            content.write(at, data)

    async def _truncate(self) -> None:
        content = self._content
        if content is not None:
            size = self._chance.randrange(len(content.now) + 100)
            await self._layer.writer.truncate(self._ino, size)
            content.cut(size)

    async def _private_copy(self) -> None:
        """Copy a range of its own file to another place in it, which does not overlap."""
        content = self._content
        if content is not None and content.now:
            start = self._chance.randrange(len(content.now))
            data = content.now[start : start + self._chance.choice([1, 900, BLOCK, 2 * BLOCK])]
            at = start + len(data) + self._chance.randrange(3000)
            await self._changed_range(
                content,
                at,
                data,
                self._files.ranges.copy(self._own, start, self._own, at, len(data)),
            )

    async def _private_allocate(self) -> None:
        content = self._content
        if content is not None:
            at = self._chance.randrange(len(content.now) + 3000)
            size = self._chance.choice([1, 900, 70_000, BLOCK])
            mode = self._chance.choice([0, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE])
            if mode == 0:
                at, size = len(content.now), max(1, at + size - len(content.now))
            end = len(content.now) if mode & KEEP_SIZE else at + size
            await self._changed_range(
                content,
                at,
                bytes(max(0, min(at + size, end) - at)),
                self._files.ranges.allocate(self._own, at, size, mode),
            )

    async def _changed_range(
        self, content: Versions, at: int, data: bytes, change: Coroutine[None, None, int | None]
    ) -> None:
        """Await *change*, which lays *data* at *at*, over zeros at first, and less if disks are full."""
        before = content.now
        try:
            done = await change
        except NoSpace:
            between = Versions(before, [before])
            between.write(at, bytes(len(data)))
            between.write(at, data)
            found = bytes(await self._files.read(self._own, 0, 1 << 40))
            assert not (why := between.contradiction(found, padded=False)), why
            content.since += between.since
            content.write(0, found)
            raise
        data = data if done is None else data[:done]
        if data:
            content.write(at, bytes(len(data)))
            content.write(at, data)

    async def _private_read(self) -> None:
        content = self._content
        if content is not None:
            found = bytes(await self._files.read(self._own, 0, 1 << 40))
            assert found == content.now, "not what was written"

    async def _private_sync(self) -> None:
        """Begin to sync, and write on meanwhile."""
        content = self._content
        if content is not None:
            await self._synced()
            self._syncing = asyncio.ensure_future(self._sync_private(content, self._own))
            await asyncio.sleep(0)

    async def _sync_private(self, content: Versions, handle: int) -> None:
        newest = content.since[-1]
        try:
            await self._files.sync(handle)
        except NoSpace:
            self._happened["no space"] += 1
        else:
            content.acknowledged(newest)

    async def _synced(self) -> None:
        """Let a sync that was begun end: before its handle is closed, and before the next."""
        if self._syncing is not None:
            await self._syncing

    async def _remove(self) -> None:
        if self._content is not None:
            await self._synced()
            try:
                self._files.unlink(ROOT, self._program.own_name)
            except NoSpace:
                assert self._files_has(self._program.own_name), "what was removed ends in an error"
                raise
            self._program.own.append(None)
            self._release(self._own)

    def _release(self, handle: int) -> None:
        # Nobody hears the error of a release.
        with contextlib.suppress(NoSpace):
            self._files.release(handle)


_ACTIONS = (
    ["write"] * 8
    + ["late_write", "sync", "reopen", "append", "append", "sync_log", "pack", "make"]
    + ["read"] * 3
    + ["private_write"] * 4
    + ["private_read", "private_sync"] * 2
    + ["truncate", "remove", "sync_names", "private_copy", "private_allocate"]
)
