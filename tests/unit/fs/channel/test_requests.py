"""The parser of what the channel hands over: whole messages, and torn ones."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import struct
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.channel.device import AnsweredRead, KernelDevice
from lucidnode.fs.channel.requests import (
    KernelRequest,
    LockType,
    Opcode,
    RequestRefused,
    Requests,
    copied_reply,
    lock_reply,
    written_reply,
)

_HEADER = struct.Struct("=IIQQIIIHH")


def message(opcode: int, body: bytes, *, length: int | None = None) -> bytes:
    size = _HEADER.size + len(body) if length is None else length
    return _HEADER.pack(size, opcode, 11, 7, 0, 0, 0, 0, 0) + body


def write_of(data: bytes, claimed: int, *, kind: int = 0, opened: int = os.O_RDWR) -> bytes:
    body = struct.pack("=QQIIQII", 3, 4096, claimed, kind, 0, opened, 0)
    return message(Opcode.WRITE, body + data)


def test_a_read_names_handle_place_and_size() -> None:
    body = struct.pack("=QQIIQII", 3, 4096, 8192, 0, 0, 0, 0)
    request = KernelRequest(message(Opcode.READ, body))
    assert (request.opcode, request.unique, request.ino) == (Opcode.READ, 11, 7)
    assert request.read_range() == (3, 4096, 8192)


def test_a_write_carries_as_many_bytes_as_it_says() -> None:
    handle, offset, data, _ = KernelRequest(write_of(b"bytes", 5)).written()
    assert (handle, offset, bytes(data)) == (3, 4096, b"bytes")
    assert written_reply(5) == struct.pack("=II", 5, 0)
    for claimed in (4, 6):
        with pytest.raises(RequestRefused) as refused:
            KernelRequest(write_of(b"bytes", claimed)).written()
        assert refused.value.errno == errno.EINVAL


def test_a_write_is_in_place_from_a_map_and_from_a_handle_that_appends_no_more() -> None:
    appending = os.O_RDWR | os.O_APPEND
    assert not KernelRequest(write_of(b"x", 1, opened=appending)).written().in_place
    assert KernelRequest(write_of(b"x", 1, opened=appending, kind=1)).written().in_place
    assert KernelRequest(write_of(b"x", 1)).written().in_place


def test_what_is_forgotten_is_listed() -> None:
    body = struct.pack("=IIQQQQ", 2, 0, 5, 1, 6, 2)
    assert KernelRequest(message(Opcode.BATCH_FORGET, body)).forgotten() == [(5, 1), (6, 2)]
    with pytest.raises(RequestRefused):
        KernelRequest(message(Opcode.BATCH_FORGET, body[:-1])).forgotten()
    with pytest.raises(RequestRefused):
        KernelRequest(message(Opcode.BATCH_FORGET, struct.pack("=II", 2**32 - 1, 0))).forgotten()


def copy_of(start: int, length: int, flags: int = 0) -> KernelRequest:
    body = struct.pack("=QQQQQQQ", 3, start, 99, 4, 8192, length, flags)
    return KernelRequest(message(Opcode.COPY_FILE_RANGE_64, body))


def test_a_copy_names_both_handles() -> None:
    assert copy_of(4096, 2**62).copy() == (3, 4096, 4, 8192, 2**62)
    assert copied_reply(2**40) == struct.pack("=Q", 2**40)


@pytest.mark.parametrize(("start", "length", "flags"), [(2**63, 1, 0), (0, 2**63, 0), (0, 1, 1)])
def test_a_copy_from_nowhere_or_of_another_kind_is_refused(
    start: int, length: int, flags: int
) -> None:
    with pytest.raises(RequestRefused):
        copy_of(start, length, flags).copy()


def test_what_is_allocated_is_named() -> None:
    body = struct.pack("=QQQII", 3, 4096, 8192, 3, 0)
    assert KernelRequest(message(Opcode.FALLOCATE, body)).allocated() == (3, 4096, 8192, 3)
    body = struct.pack("=QQQII", 3, 2**63, 8192, 3, 0)
    with pytest.raises(RequestRefused):
        KernelRequest(message(Opcode.FALLOCATE, body)).allocated()


def lock_of(start: int, last: int, kind: int, flags: int = 0) -> KernelRequest:
    body = struct.pack("=QQQQIIII", 3, 77, start, last, kind, 4711, flags, 0)
    return KernelRequest(message(Opcode.SETLK, body))


def test_a_lock_names_its_owner_and_its_bytes() -> None:
    asked = lock_of(5, 2**63 - 1, 1).lock()
    assert asked == (3, 77, 5, 2**63 - 1, LockType.EXCLUSIVE, 4711, False)
    assert lock_of(0, 2**63 - 1, 0, 1).lock().is_flock
    assert lock_reply(5, 9, LockType.SHARED, 12) == struct.pack("=QQII", 5, 9, 0, 12)


@pytest.mark.parametrize(("start", "last", "kind"), [(6, 5, 0), (0, 2**63, 0), (0, 0, 3)])
def test_a_lock_of_no_bytes_or_no_kind_is_refused(start: int, last: int, kind: int) -> None:
    with pytest.raises(RequestRefused) as refused:
        lock_of(start, last, kind).lock()
    assert refused.value.errno == errno.EINVAL


def test_what_is_closed_and_what_is_interrupted_is_named() -> None:
    body = struct.pack("=QIIQ", 3, 0, 0, 77)
    assert KernelRequest(message(Opcode.FLUSH, body)).flushed() == (3, 77)
    assert KernelRequest(message(Opcode.RELEASE, body)).released() == 3
    assert KernelRequest(message(Opcode.INTERRUPT, struct.pack("=Q", 8))).interrupted() == 8


@given(st.binary(max_size=200), st.sampled_from(Opcode))
def test_any_bytes_are_parsed_or_refused(body: bytes, opcode: Opcode) -> None:
    for torn in (body, message(opcode, body), message(opcode, body, length=39)):
        with contextlib.suppress(RequestRefused):
            request = KernelRequest(torn)
            for parse in (
                request.read_range,
                request.written,
                request.sought,
                request.forgotten,
                request.flushed,
                request.released,
                request.interrupted,
                request.lock,
                request.copy,
                request.allocated,
            ):
                with contextlib.suppress(RequestRefused):
                    parse()


class Told:
    """In the part of the device: one RELEASE has arrived, and one read was answered before it."""

    def __init__(self) -> None:
        self.event = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.ended = False
        self._reads = [AnsweredRead(1, 0, 10, block=1, requests=1, nanoseconds=5)]

    def arrived(self) -> list[bytes]:
        os.eventfd_read(self.event)
        return [message(Opcode.RELEASE, struct.pack("=QIIQ", 1, 0, 0, 0))]

    def answered(self) -> list[AnsweredRead]:
        reads, self._reads = self._reads, []
        return reads

    def reply(self, unique: int, error: int, data: bytes) -> None:
        """Nobody waits for it."""


async def test_what_was_read_is_told_before_its_handle_is_no_more() -> None:
    happened: list[str] = []

    def release(request: KernelRequest) -> bytes:
        happened.append("released")
        return b""

    device = Told()
    requests = Requests(
        cast(KernelDevice, device),
        {Opcode.RELEASE: release},
        lambda reads: happened.append("told"),
    )
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(10):
        with requests.served(tasks, lambda: None):
            while "released" not in happened:
                await asyncio.sleep(0)
    os.close(device.event)
    assert happened == ["told", "released"]
