"""What is in the log before the locks of a file are given away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from committer_fixture import Bucket, Daemon
from file_layer_fixture import BLOCK, ME, PROJECT, Commits, FileLayer, file_layer
from lab.soak_files import VirtualClock
from lab.virtual_loop import run_virtual

from lucidnode.fs.leases.locked_work import LockedWork
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import LOCKS_LEASE, Lease


def with_locks(home: Path, work: Callable[[FileLayer, LockedWork], Awaitable[None]]) -> None:
    """Do *work* on a mount that commits, on virtual time."""

    async def run() -> None:
        door = Daemon(Bucket(), b"a" * 32, PROJECT)
        commits = Commits(door, door.device, {door.device: door.public}.get, lambda _: None)
        async with file_layer(home, clock=VirtualClock(), commits=commits) as layer:
            assert layer.committer is not None
            await work(
                layer,
                LockedWork(
                    layer.replica, layer.writer, layer.unsaved, layer.unfinished, layer.committer
                ),
            )

    run_virtual(run, 1)


def test_what_is_written_through_an_open_handle_and_what_was_done_beside_it_is_committed(
    tmp_path: Path,
) -> None:
    async def work(layer: FileLayer, locked: LockedWork) -> None:
        base, handle = await layer.create(b"shots.db")
        await layer.files.write(handle, 0, b"page")
        journal, other = await layer.create(b"shots.db-journal")
        layer.daemon.uploads = False
        await layer.files.write(other, 0, b"how to go back" * BLOCK)
        await layer.files.sync(other)
        layer.daemon.uploads = True
        committing = asyncio.ensure_future(locked.commit(base))
        await asyncio.sleep(10)
        assert not committing.done(), "the journal is not in the bucket"
        for block in list(layer.replica.pending.blocks_waited_for()):
            layer.daemon.upload(block)
        await committing
        for ino in (base, journal, ROOT):
            assert not layer.replica.pending.is_pending(ino)
        assert not layer.unsaved.is_dirty(base)

    with_locks(tmp_path, work)


def test_what_is_given_away_waits_for_all_of_it_and_goes_in_one_entry(tmp_path: Path) -> None:
    async def work(layer: FileLayer, locked: LockedWork) -> None:
        base, handle = await layer.create(b"shots.db")
        await layer.files.write(handle, 0, b"page" * BLOCK)
        await locked.commit(base)
        layer.daemon.uploads = False
        await layer.files.write(handle, 0, b"line" * BLOCK)
        assert not locked.is_much(base)
        await locked.finish(base)
        layer.replica.apply(Lease(base, None, b"given", behind=True))
        await layer.files.write(handle, 0, b"late" * BLOCK)
        await asyncio.sleep(10)
        before = layer.replica.pending.head().seq
        waiting = set(layer.replica.pending.blocks_waited_for())
        assert layer.replica.pending.leases(LOCKS_LEASE)
        for block in waiting:
            layer.daemon.upload(block)
        await asyncio.sleep(10)
        assert not layer.replica.pending.leases(LOCKS_LEASE)
        assert layer.replica.pending.head().seq == before + 1

    with_locks(tmp_path, work)


def test_a_film_beside_it_is_much(tmp_path: Path) -> None:
    async def work(layer: FileLayer, locked: LockedWork) -> None:
        base, handle = await layer.create(b"shots.db")
        await layer.files.write(handle, 0, b"page")
        film, other = await layer.create(b"film.mov")
        layer.daemon.uploads = False
        for number in range(8):
            await layer.files.write(other, number * BLOCK, bytes([number]) * BLOCK)
        await layer.files.sync(other)
        assert not layer.unsaved.is_dirty(film)
        assert locked.is_much(base)

    with_locks(tmp_path, work)


def test_a_save_that_a_program_is_in_the_middle_of_is_left_whole_and_holds_nobody_up(
    tmp_path: Path,
) -> None:
    async def work(layer: FileLayer, locked: LockedWork) -> None:
        bin_, handle = await layer.create(b"bin")
        film, other = await layer.create(b"film.mov")
        elsewhere = layer.files.make(ROOT, b"elsewhere", 0o040755, ME).ino
        await layer.files.write(handle, 0, b"line")
        await layer.files.write(other, 0, b"half of a")
        await locked.commit(bin_)
        assert not layer.replica.pending.is_pending(bin_)
        assert film in layer.unfinished
        assert layer.unsaved.is_dirty(film)
        assert not layer.replica.pending.is_pending(elsewhere)

    with_locks(tmp_path, work)
