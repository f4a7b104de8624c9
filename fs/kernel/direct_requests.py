"""Requests that come past pyfuse3, through the kernel channel, and what answers them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pyfuse3

from lucidnode.fs.channel.requests import (
    Handler,
    KernelRequest,
    Opcode,
    Reply,
    RequestRefused,
    place_reply,
    written_reply,
)
from lucidnode.fs.kernel.fuse import FuseOperations


def direct_handlers(adapter: FuseOperations) -> dict[int, Handler]:
    """Return what answers the requests that come past pyfuse3.

    Those that it does not know, and those that carry many bytes:
    pyfuse3's socket need not hold them then, and they are copied less often.
    """

    async def read(request: KernelRequest) -> Reply:
        with _refusing():
            return await adapter.read(*request.read_range())

    async def write(request: KernelRequest) -> Reply:
        with _refusing():
            return written_reply(await adapter.write(*request.written()))

    async def lseek(request: KernelRequest) -> Reply:
        with _refusing():
            return place_reply(await adapter.lseek(*request.sought()))

    async def batch_forget(request: KernelRequest) -> None:
        await adapter.forget(request.forgotten())

    return {
        Opcode.READ: read,
        Opcode.WRITE: write,
        Opcode.BATCH_FORGET: batch_forget,
        Opcode.LSEEK: lseek,
    }


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except pyfuse3.FUSEError as error:
        raise RequestRefused(error.errno) from None
