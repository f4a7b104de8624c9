"""What comes past pyfuse3 is answered in one step where there is nothing to wait for."""

from __future__ import annotations

import os
import struct
from collections.abc import Coroutine
from pathlib import Path

import pytest
from file_layer_fixture import file_layer

from lucidnode.fs.channel.requests import AskedLock, KernelRequest, LockType, Opcode
from lucidnode.fs.kernel.direct_requests import direct_handlers
from lucidnode.fs.kernel.fuse import FuseOperations
from lucidnode.fs.kernel.lock_requests import LockRequests
from lucidnode.fs.kernel.quiet_handles import QuietHandles
from lucidnode.fs.kernel.spans import Spans

_HEADER = struct.Struct("=IIQQIIIHH")
_FLUSH = struct.Struct("=QIIQ")
OWNER, OTHER = 7, 8


def flush(ino: int, handle: int) -> KernelRequest:
    body = _FLUSH.pack(handle, 0, 0, OWNER)
    return KernelRequest(
        _HEADER.pack(_HEADER.size + len(body), Opcode.FLUSH, 1, ino, 0, 0, 1, 0, 0) + body
    )


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR])
async def test_a_close_ends_locks_and_waits_only_if_something_may_have_been_written(
    tmp_path: Path, flags: int
) -> None:
    async with file_layer(tmp_path) as layer:
        ino, _ = await layer.create()
        handle, _ = await layer.files.open(ino, flags)
        spans = Spans(lambda: 0.0, lambda: 0, lambda _: "")
        quiet = QuietHandles([layer.files.locks], lambda _: None, lambda _: None)
        locks = LockRequests(layer.files.locks, spans, None, quiet)
        handlers = direct_handlers(FuseOperations(layer.files, spans, None), locks)
        mine = AskedLock(handle, OWNER, 0, 9, LockType.SHARED, 1, is_flock=False)
        await locks.set(ino, mine)
        theirs = mine._replace(owner=OTHER, kind=LockType.EXCLUSIVE)
        answer = handlers[Opcode.FLUSH](flush(ino, handle))
        waits = isinstance(answer, Coroutine)
        assert (await answer if isinstance(answer, Coroutine) else answer) == b""
        assert waits == (flags == os.O_RDWR)
        await locks.set(ino, theirs)
        assert sum(spans.times()["flush"].counts) == 1
