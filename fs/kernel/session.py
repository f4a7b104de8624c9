"""The FUSE session of this process: mounts, serves the kernel, unmounts.

pyfuse3 runs in asyncio mode, under uvloop like the rest of the process. It keeps one mount for
each process in module globals, so this module does not pretend otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pyfuse3
import pyfuse3.asyncio

from lucidnode.fs.channel import device
from lucidnode.fs.channel.requests import (
    INIT_DIRECT_IO_ALLOW_MMAP,
    INIT_FLOCK_LOCKS,
    INIT_POSIX_LOCKS,
    Requests,
)
from lucidnode.fs.errors import FuseMissing
from lucidnode.fs.files.file_system import Caller
from lucidnode.fs.format.sodium import aegis256_address
from lucidnode.fs.kernel.direct_requests import direct_handlers
from lucidnode.fs.kernel.fuse import FuseOperations
from lucidnode.fs.kernel.left_mount import MountKeeper
from lucidnode.fs.kernel.lock_requests import LockAuthority, LockRequests
from lucidnode.fs.kernel.overheard import Overheard
from lucidnode.fs.kernel.quiet_handles import QuietHandles
from lucidnode.fs.kernel.snapshot_requests import (
    SnapshotLocks,
    SnapshotOpener,
    SnapshotOperations,
)
from lucidnode.fs.kernel.spans import Spans
from lucidnode.fs.kernel.tree_requests import TreeRequests
from lucidnode.fs.snapshot_tree.files_with_snapshots import FilesWithSnapshots, ServedFiles
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.mountinfo import FSNAME

WORKERS = 4096
"""Requests under way at the same time. A read that waits for the network holds one, a coroutine and
a page of memory; reads hold at most the part that fs/read/block_fetcher.py allows them (MAX_WAITING_READS)."""

pyfuse3.asyncio.enable()


class FuseSession:
    """The one FUSE session of this process."""

    def __init__(
        self,
        files: ServedFiles,
        spans: Spans,
        mountpoint: Path,
        *,
        allow_other: bool,
        channel: bool,
        on_answered: Callable[[list[device.AnsweredRead]], None] | None,
        authority: LockAuthority | None,
    ) -> None:
        """Mount at *mountpoint*, with the kernel channel if *channel*.

        Locks are decided as *authority* lets us. With *on_answered* the channel answers reads by itself, and *on_answered* is told of them.
        Raises FuseMissing if the system does not let us.
        """
        # Who may do what is the kernel's to decide, from the modes we report.
        options = {f"fsname={FSNAME}", f"subtype={FSNAME}", "default_permissions"}
        if allow_other:
            options.add("allow_other")
        owner = _owner_shown(allow_other)
        opener: SnapshotOpener | None = None
        if isinstance(files, FilesWithSnapshots):
            tables = [files.locks, files.past_locks]
            quiet = QuietHandles(tables, device.quiet, device.unquiet)
            opener = SnapshotOpener(files, spans, SystemClock())
            self._locks: LockRequests = SnapshotLocks(files, spans, authority, quiet)
            adapter: FuseOperations = SnapshotOperations(files, spans, owner, opener)
        else:
            quiet = QuietHandles([files.locks], device.quiet, device.unquiet)
            self._locks = LockRequests(files.locks, spans, authority, quiet)
            adapter = FuseOperations(files, spans, owner)
        before = device.devices()
        overheard = Overheard()
        try:
            with overheard:
                pyfuse3.init(adapter, str(mountpoint), options)
        except RuntimeError as error:
            advice = "install fuse3, or ask an administrator to permit FUSE"
            if allow_other and os.geteuid() != 0:
                advice = "other users come in only if /etc/fuse.conf has the line user_allow_other"
            elif reason := overheard.said_by("fusermount3"):
                advice = f"fusermount3 says: {reason}"
            raise FuseMissing(
                f"the kernel does not let us mount at {mountpoint}: {advice}"
            ) from error

        self._is_closed = False
        self._opened = [os.dup(opened) for opened in device.devices() - before]
        before.update(self._opened)
        tree = TreeRequests(files, spans, owner, quiet)
        handlers = direct_handlers(adapter, self._locks) | tree.handlers()
        if opener is not None:
            handlers = opener.opening(handlers)
        self._device = (
            device.over(
                before,
                frozenset(handlers),
                INIT_POSIX_LOCKS | INIT_FLOCK_LOCKS | INIT_DIRECT_IO_ALLOW_MMAP,
                WORKERS,
                0 if on_answered is None else aegis256_address(),
            )
            if channel
            else None
        )

        def answered(reads: list[device.AnsweredRead]) -> None:
            spans.answered(reads)
            if on_answered is not None:
                on_answered(reads)

        self._requests = (
            None if self._device is None else Requests(self._device, handlers, answered)
        )

    async def serve(self) -> None:
        """Answer the kernel until `stop`, or until somebody unmounts."""
        if self._requests is None:
            await pyfuse3.main(min_tasks=4, max_tasks=WORKERS)
            return
        async with asyncio.TaskGroup() as tasks:
            with self._requests.served(tasks, self.stop):
                await pyfuse3.main(min_tasks=4, max_tasks=WORKERS)
            self._locks.stop()

    def stop(self) -> None:
        """Have `serve` return. To be called in the loop that serves; once closed there is nothing to end."""
        if self._is_closed:
            return  # pyfuse3 would use what it has freed
        # pyfuse3 ends the wait for requests by its future. A request that comes in at this moment
        # ends it, too: the one that is later must find nothing to end.
        loop = asyncio.get_running_loop()
        for descriptor in list(pyfuse3.asyncio._read_futures):  # noqa: SLF001  # nothing else tells
            loop.remove_reader(descriptor)
        with contextlib.suppress(asyncio.InvalidStateError):
            pyfuse3.terminate()

    def held_by(self, keeper: MountKeeper, mount: str) -> None:
        """Have *keeper* keep our *mount* alive if this process dies."""
        if len(self._opened) == 1:
            keeper.hold(self._opened[0], mount)

    def close(self, *, unmount: bool = True) -> None:
        """Unmount, if it still is mounted; without *unmount* leave that to somebody else."""
        self._is_closed = True
        if self._device is not None:
            self._device.close()
        pyfuse3.close(unmount=unmount)
        while self._opened:
            os.close(self._opened.pop())


def _owner_shown(allow_other: bool) -> Caller | None:
    """Return whom files shall belong to on a mount of ours.

    On a mount that the kernel keeps for one user alone, they are his: numbers mean other people on
    other workstations, and members of a project share its files whatever their numbers are. With
    other users, and for root, they are what is stored.
    """
    if allow_other or os.geteuid() == 0:
        return None
    return Caller(os.geteuid(), os.getegid())
