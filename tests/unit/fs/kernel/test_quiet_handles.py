"""Which handles the channel closes by itself: none through which a lock could outlive its close."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

from file_layer_fixture import ME, file_layer

from lucidnode.fs.channel.requests import AskedLock, KernelRequest, LockType, Opcode
from lucidnode.fs.channel.tree_requests import opened_reply
from lucidnode.fs.files.file_locks import MAX_LOCKS, FileLocks
from lucidnode.fs.kernel.lock_requests import LockRequests
from lucidnode.fs.kernel.quiet_handles import QuietHandles
from lucidnode.fs.kernel.spans import Spans
from lucidnode.fs.kernel.tree_requests import TreeRequests
from lucidnode.fs.replica.inode import ROOT, InodeNo

FILE, OTHER_FILE = InodeNo(5), InodeNo(6)
OWNER, OTHER = 11, 12


@dataclass
class Channel:
    """The quiet handles of one mount, and what its channel was told."""

    locks: FileLocks = field(default_factory=lambda: FileLocks(MAX_LOCKS))
    told: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.quiet = QuietHandles([self.locks], self.told.add, self.told.discard)
        spans = Spans(lambda: 0.0, lambda: 0, lambda _: "")
        self.requests = LockRequests(self.locks, spans, None, self.quiet)


def asked(handle: int, owner: int = OWNER, kind: LockType = LockType.EXCLUSIVE) -> AskedLock:
    return AskedLock(handle, owner, 0, 9, kind, 1, is_flock=False)


async def test_a_lock_makes_every_handle_of_its_file_heard_before_it_is_answered() -> None:
    channel = Channel()
    channel.quiet.opened(FILE, 1)
    channel.quiet.opened(FILE, 2)
    channel.quiet.opened(OTHER_FILE, 3)
    assert channel.told == {1, 2, 3}
    # Whoever closes any descriptor of a file loses his locks of it: also one that never locked.
    await channel.requests.set(FILE, asked(1))
    assert channel.told == {3}


async def test_what_is_opened_while_a_file_is_locked_is_heard_and_quiet_again_behind_it() -> None:
    channel = Channel()
    await channel.requests.set(FILE, asked(1))
    channel.quiet.opened(FILE, 2)
    assert not channel.told
    channel.requests.flushed(FILE, 2, OWNER)
    channel.quiet.opened(FILE, 4)
    assert channel.told == {4}


async def test_who_waits_for_a_lock_makes_those_heard_that_were_opened_meanwhile() -> None:
    channel = Channel()
    await channel.requests.set(FILE, asked(1))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(channel.requests.wait(FILE, asked(2, OTHER), 7))
        await asyncio.sleep(0)
        channel.requests.flushed(FILE, 1, OWNER)
        # Granted, and not answered yet.
        channel.quiet.opened(FILE, 3)
    assert not channel.told


async def test_a_file_that_is_locked_in_another_table_is_heard() -> None:
    past, told = FileLocks(MAX_LOCKS), set[int]()
    quiet = QuietHandles([FileLocks(MAX_LOCKS), past], told.add, told.discard)
    requests = LockRequests(past, Spans(lambda: 0.0, lambda: 0, lambda _: ""), None, quiet)
    await requests.set(FILE, asked(1))
    quiet.opened(FILE, 2)
    quiet.opened(OTHER_FILE, 3)
    assert told == {3}


async def test_a_handle_that_is_closed_is_forgotten() -> None:
    channel = Channel()
    channel.quiet.opened(FILE, 1)
    channel.quiet.opened(FILE, 2)
    channel.requests.released(FILE, 1)
    assert channel.told == {2}
    channel.requests.released(FILE, 2)
    channel.requests.released(FILE, 3)
    assert not channel.told


async def test_only_what_is_opened_to_be_read_is_quiet(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        channel = Channel()
        spans = Spans(lambda: 0.0, lambda: 0, lambda _: "")
        opens = TreeRequests(layer.files, spans, None, channel.quiet).handlers()[Opcode.OPEN]
        ino = layer.files.make(ROOT, b"file", 0o100644, ME).ino
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY):
            answer = opens(_open(ino, flags))
            assert isinstance(answer, bytes)
            [handle] = [
                n
                for n in range(9)
                if answer == opened_reply(n, int.from_bytes(answer[8:12], "little"))
            ]
            assert channel.told == ({handle} if flags == os.O_RDONLY else set())


def _open(ino: int, flags: int) -> KernelRequest:
    body = flags.to_bytes(4, "little") + bytes(4)
    header = (40 + len(body)).to_bytes(4, "little") + int(Opcode.OPEN).to_bytes(4, "little")
    return KernelRequest(header + bytes(8) + ino.to_bytes(8, "little") + bytes(16) + body)
