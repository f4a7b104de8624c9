"""Requests that come past pyfuse3, through the kernel channel, and what answers them."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any

import pyfuse3

from lucidnode.fs.channel.requests import (
    Handler,
    KernelRequest,
    Opcode,
    Reply,
    RequestRefused,
    copied_reply,
    place_reply,
    written_reply,
)
from lucidnode.fs.kernel.fuse import FuseOperations
from lucidnode.fs.kernel.lock_requests import LockRequests

MAX_COPY_BYTES = 2**31
"""Of a COPY_FILE_RANGE whose reply has 32 bits for what was copied."""


def direct_handlers(adapter: FuseOperations, locks: LockRequests) -> dict[int, Handler]:
    """Return what answers the requests that come past pyfuse3.

    Those that it does not know, or does not know all of, and those that carry many bytes:
    pyfuse3's socket need not hold them then, and they are copied less often.
    """

    def read(request: KernelRequest) -> Reply | Coroutine[Any, Any, Reply]:
        with _refusing():
            begun = adapter.read_begun(*request.read_range())
        return read_on(begun) if isinstance(begun, Coroutine) else begun

    async def read_on(begun: Coroutine[Any, Any, Reply]) -> Reply:
        with _refusing():
            return await begun

    async def write(request: KernelRequest) -> Reply:
        with _refusing():
            return written_reply(await adapter.write_asked(request.written()))

    async def lseek(request: KernelRequest) -> Reply:
        with _refusing():
            return place_reply(await adapter.lseek(*request.sought()))

    def flush(request: KernelRequest) -> Reply | Coroutine[Any, Any, Reply]:
        handle, owner = request.flushed()
        if adapter.may_flush(handle):
            return flushed(request, handle, owner)
        with _refusing():
            adapter.flush_nothing(handle)
        locks.flushed(request.ino, handle, owner)
        return b""

    async def flushed(request: KernelRequest, handle: int, owner: int) -> Reply:
        with _refusing():
            try:
                await adapter.flush(handle)
            finally:
                # Behind it: who gets the lock next finds what was written under this one.
                locks.flushed(request.ino, handle, owner)
        return b""

    def release(request: KernelRequest) -> Reply:
        # In one step: what is asked next, right behind a close, finds the file closed.
        handle = request.released()
        locks.released(request.ino, handle)
        with _refusing():
            adapter.released(handle)
        return b""

    async def set_lock(request: KernelRequest) -> Reply:
        with _refusing():
            await locks.set(request.ino, request.lock())
        return b""

    async def await_lock(request: KernelRequest) -> Reply:
        with _refusing():
            await locks.wait(request.ino, request.lock(), request.unique)
        return b""

    async def get_lock(request: KernelRequest) -> Reply:
        with _refusing():
            return await locks.test(request.ino, request.lock())

    def interrupt(request: KernelRequest) -> None:
        locks.interrupted(request.interrupted())

    async def copy_file_range(request: KernelRequest) -> Reply:
        with _refusing():
            asked = request.copy()
            short = asked._replace(length=min(asked.length, MAX_COPY_BYTES))
            return written_reply(await adapter.copy_range(short))

    async def copy_file_range_64(request: KernelRequest) -> Reply:
        with _refusing():
            return copied_reply(await adapter.copy_range(request.copy()))

    async def fallocate(request: KernelRequest) -> Reply:
        with _refusing():
            await adapter.fallocate(*request.allocated())
        return b""

    def batch_forget(request: KernelRequest) -> None:
        adapter.forgotten(request.forgotten())

    return {
        Opcode.READ: read,
        Opcode.WRITE: write,
        Opcode.RELEASE: release,
        Opcode.FLUSH: flush,
        Opcode.GETLK: get_lock,
        Opcode.SETLK: set_lock,
        Opcode.SETLKW: await_lock,
        Opcode.INTERRUPT: interrupt,
        Opcode.BATCH_FORGET: batch_forget,
        Opcode.FALLOCATE: fallocate,
        Opcode.LSEEK: lseek,
        Opcode.COPY_FILE_RANGE: copy_file_range,
        Opcode.COPY_FILE_RANGE_64: copy_file_range_64,
    }


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except pyfuse3.FUSEError as error:
        raise RequestRefused(error.errno) from None
