"""Requests about names and attributes: what they ask, whole and torn, and the shape of their replies."""

from __future__ import annotations

import errno
import stat
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.channel.requests import KernelRequest, Opcode, RequestRefused
from lucidnode.fs.channel.tree_requests import (
    AskedAttributes,
    asked_attribute,
    asked_attributes,
    asked_creation,
    asked_directory,
    asked_flags,
    asked_name,
    asked_page,
    asked_rename,
    asked_rename2,
    asked_room,
    attributes_reply,
    entry_reply,
    file_reply,
    listed_line,
    opened_reply,
    released_listing,
    value_reply,
)

_HEADER = struct.Struct("=IIQQIIIHH")
_ENTRY = struct.Struct("=QQQQII")
_ATTRIBUTES = struct.Struct("=QQQqqqIIIIIIIIII")
_DIRENT = struct.Struct("=QQII")

FILE = file_reply(
    ino=9,
    st_mode=stat.S_IFREG | 0o640,
    nlink=2,
    uid=1000,
    gid=100,
    rdev=0,
    size=1025,
    occupied=513,
    atime_ns=-1,
    mtime_ns=3_000_000_004,
    ctime_ns=5_000_000_006,
)


def request(opcode: int, body: bytes) -> KernelRequest:
    return KernelRequest(
        _HEADER.pack(_HEADER.size + len(body), opcode, 11, 7, 1000, 100, 4242, 0, 0) + body
    )


def test_a_request_says_who_asks() -> None:
    asked = request(Opcode.LOOKUP, b"name\0")
    assert (asked.ino, asked.uid, asked.gid, asked.pid) == (7, 1000, 100, 4242)


def test_names_are_what_stands_before_their_ends() -> None:
    assert asked_name(request(Opcode.LOOKUP, b"name\0")) == b"name"
    body = struct.pack("=II", stat.S_IFDIR | 0o750, 0o22) + b"dir\0"
    assert asked_directory(request(Opcode.MKDIR, body)) == (stat.S_IFDIR | 0o750, b"dir")
    body = struct.pack("=IIII", 0o2, stat.S_IFREG | 0o640, 0o22, 0) + b"file\0"
    assert asked_creation(request(Opcode.CREATE, body)) == (0o2, stat.S_IFREG | 0o640, b"file")
    body = struct.pack("=Q", 8) + b"old\0new\0"
    assert asked_rename(request(Opcode.RENAME, body)) == (b"old", 8, b"new", 0)
    body = struct.pack("=QII", 8, 1, 0) + b"old\0new\0"
    assert asked_rename2(request(Opcode.RENAME2, body)) == (b"old", 8, b"new", 1)
    assert asked_attribute(request(Opcode.GETXATTR, struct.pack("=II", 64, 0) + b"user.x\0")) == (
        64,
        b"user.x",
    )


_SETATTR = struct.Struct("=IIQQQqqqIIIIIIII")


def test_attributes_are_set_as_far_as_is_said() -> None:
    times = (-3, 1_700_000_000, 5, 999_999_999, 4, 6)
    body = _SETATTR.pack(0, 0, 12, 99, 0, *times, stat.S_IFREG | 0o604, 0, 1000, 100, 0)

    def asked(wanted: int) -> AskedAttributes:
        return asked_attributes(request(Opcode.SETATTR, struct.pack("=I", wanted) + body[4:]), 77)

    nothing = AskedAttributes(None, None, None, None, None, None, None)
    assert asked(0) == nothing
    assert asked(1 << 0) == nothing._replace(mode=stat.S_IFREG | 0o604)
    assert asked(1 << 1) == nothing._replace(uid=1000)
    assert asked(1 << 2) == nothing._replace(gid=100)
    assert asked(1 << 3) == nothing._replace(size=99)
    assert asked(1 << 3 | 1 << 6) == nothing._replace(size=99, handle=12)
    assert asked(1 << 4) == nothing._replace(atime_ns=-2_000_000_001)  # before 1970
    assert asked(1 << 5) == nothing._replace(mtime_ns=1_700_000_000_000_000_004)
    assert asked(1 << 4 | 1 << 7) == nothing._replace(atime_ns=77)
    assert asked(1 << 5 | 1 << 8) == nothing._replace(mtime_ns=77)


@pytest.mark.parametrize("body", [b"", b"name", b"a\0b\0", b"a\0b"])
def test_a_name_without_an_end_or_with_another_behind_it_is_refused(body: bytes) -> None:
    with pytest.raises(RequestRefused) as refused:
        asked_name(request(Opcode.LOOKUP, body))
    assert refused.value.errno == errno.EINVAL


@given(st.sampled_from(sorted(Opcode)), st.binary(max_size=120))
def test_whatever_comes_is_parsed_or_refused(opcode: Opcode, body: bytes) -> None:
    asked = request(opcode, body)
    for parse in (
        asked_name,
        asked_directory,
        asked_creation,
        asked_rename,
        asked_rename2,
        asked_attribute,
        asked_flags,
        asked_page,
        asked_room,
        lambda asked: asked_attributes(asked, 1),
        released_listing,
    ):
        try:
            parse(asked)
        except RequestRefused as refused:
            assert refused.errno == errno.EINVAL  # noqa: PT017  # either is right


def test_handles_and_pages_are_found() -> None:
    assert asked_flags(request(Opcode.OPEN, struct.pack("=II", 0o1000, 0))) == 0o1000
    page = struct.pack("=QQIIQII", 3, 4096, 8192, 0, 0, 0, 0)
    assert asked_page(request(Opcode.READDIRPLUS, page)) == (3, 4096, 8192)
    assert released_listing(request(Opcode.RELEASEDIR, struct.pack("=QIIQ", 3, 0, 0, 0))) == 3
    assert asked_room(request(Opcode.LISTXATTR, struct.pack("=II", 64, 0))) == 64


def test_attributes_are_told_in_the_kernels_units() -> None:
    reply = entry_reply(FILE, 60)
    assert _ENTRY.unpack_from(reply) == (9, 0, 60, 60, 0, 0)
    expected = (
        *(9, 1025, 2),  # sectors: what is begun counts
        *(-1, 3, 5, 999_999_999, 4, 6),  # a time before 1970 has a whole second below it
        *(stat.S_IFREG | 0o640, 2, 1000, 100, 0, 4096, 0),
    )
    assert _ATTRIBUTES.unpack(reply[_ENTRY.size :]) == expected
    reply = attributes_reply(FILE, 60)
    assert struct.unpack_from("=QII", reply) == (60, 0, 0)
    assert _ATTRIBUTES.unpack(reply[16:]) == expected
    assert opened_reply(3, 8) == struct.pack("=QII", 3, 8, 0)


@given(st.binary(min_size=1, max_size=255).filter(lambda name: b"\0" not in name))
def test_a_line_of_a_listing_ends_at_eight_bytes(name: bytes) -> None:
    line = listed_line(name, FILE, 77, 60)
    assert len(line) % 8 == 0
    assert line[: _ENTRY.size + _ATTRIBUTES.size] == entry_reply(FILE, 60)
    at = _ENTRY.size + _ATTRIBUTES.size
    assert _DIRENT.unpack_from(line, at) == (9, 77, len(name), stat.S_IFREG >> 12)
    assert line[at + _DIRENT.size :].rstrip(b"\0") == name.rstrip(b"\0")


def test_a_value_has_room_or_its_size_is_told() -> None:
    assert value_reply(b"value", 5) == b"value"
    assert value_reply(b"value", 0) == struct.pack("=II", 5, 0)
    with pytest.raises(RequestRefused) as refused:
        value_reply(b"value", 4)
    assert refused.value.errno == errno.ERANGE
