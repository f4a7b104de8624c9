"""Requests of the kernel about names and attributes: what they ask, and how they are answered.

Layouts are those of linux/fuse.h, in the machine's own byte order. Pure: no state, no system call.
"""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple

from lucidnode.fs.channel.requests import KernelRequest, RequestRefused

OPENED_WITHOUT_PAGES = 1 << 0
OPENED_KEEPING_PAGES = 1 << 1
OPENED_LISTING_KEPT = 1 << 3
"""Flags of the reply to OPEN, CREATE and OPENDIR: the kernel shall hold no pages, shall use those
that it has, and shall hold a listing and answer from it."""

_OPEN = struct.Struct("=II")
_CREATE = struct.Struct("=IIII")
_OPENED = struct.Struct("=QII")
_LISTING = struct.Struct("=QQI")
_MKDIR = struct.Struct("=II")
_RENAME = struct.Struct("=Q")
_RENAME2 = struct.Struct("=QII")
_XATTR = struct.Struct("=II")
_XATTR_SIZE = struct.Struct("=II")
_RELEASE = struct.Struct("=Q")
_SETATTR = struct.Struct("=IIQQQQQQIIIIIIII")

_ATTRIBUTES = "QQQqqqIIIIIIIIII"
_ENTRY = struct.Struct("=QQQQII" + _ATTRIBUTES)
_GETATTR = struct.Struct("=QII" + _ATTRIBUTES)
_LINE = struct.Struct("=QQQQII" + _ATTRIBUTES + "QQII")

_SET_MODE = 1 << 0
_SET_UID = 1 << 1
_SET_GID = 1 << 2
_SET_SIZE = 1 << 3
_SET_ATIME = 1 << 4
_SET_MTIME = 1 << 5
_HAS_HANDLE = 1 << 6
_SET_ATIME_NOW = 1 << 7
_SET_MTIME_NOW = 1 << 8

_BLOCK_BYTES = 4096
_SECTOR_BYTES = 512
_SECOND_NS = 1_000_000_000
_LINE_ALIGN = 8
_PADDING = [bytes(-length % _LINE_ALIGN) for length in range(_LINE_ALIGN)]


FileReply = tuple[int, ...]
"""The fields of struct fuse_attr, as `file_reply` makes them."""

_ST_MODE = 9
"""Which of them is the mode."""


def file_reply(
    ino: int,
    st_mode: int,
    nlink: int,
    uid: int,
    gid: int,
    rdev: int,
    size: int,
    occupied: int,
    atime_ns: int,
    mtime_ns: int,
    ctime_ns: int,
) -> FileReply:
    """Return the attributes of a file as the kernel is told them; *occupied* bytes are stored of it."""
    return (
        ino,
        size,
        -(-occupied // _SECTOR_BYTES),
        atime_ns // _SECOND_NS,
        mtime_ns // _SECOND_NS,
        ctime_ns // _SECOND_NS,
        atime_ns % _SECOND_NS,
        mtime_ns % _SECOND_NS,
        ctime_ns % _SECOND_NS,
        st_mode,
        nlink,
        uid,
        gid,
        rdev & 0xFFFFFFFF,
        _BLOCK_BYTES,
        0,
    )


class AskedRename(NamedTuple):
    """What a RENAME or RENAME2 is about."""

    name: bytes
    new_parent: int
    new_name: bytes
    flags: int


class AskedAttributes(NamedTuple):
    """What a SETATTR is about: None is left as it is. *handle* is the one of `ftruncate`."""

    handle: int | None
    mode: int | None
    uid: int | None
    gid: int | None
    size: int | None
    atime_ns: int | None
    mtime_ns: int | None


class AskedPage(NamedTuple):
    """What a READDIRPLUS is about: *size* bytes of lines behind *cookie*."""

    handle: int
    cookie: int
    size: int


def asked_name(request: KernelRequest) -> bytes:
    """Return the name of a LOOKUP, UNLINK or RMDIR. Raises RequestRefused."""
    [name] = _names(request, 0, 1)
    return name


def asked_directory(request: KernelRequest) -> tuple[int, bytes]:
    """Return mode and name of a MKDIR. Raises RequestRefused."""
    mode, _ = request.fields(_MKDIR)
    [name] = _names(request, _MKDIR.size, 1)
    return mode, name


def asked_creation(request: KernelRequest) -> tuple[int, int, bytes]:
    """Return flags, mode and name of a CREATE. Raises RequestRefused."""
    flags, mode, _, _ = request.fields(_CREATE)
    [name] = _names(request, _CREATE.size, 1)
    return flags, mode, name


def asked_rename(request: KernelRequest) -> AskedRename:
    """Return what a RENAME is about. Raises RequestRefused."""
    (new_parent,) = request.fields(_RENAME)
    name, new_name = _names(request, _RENAME.size, 2)
    return AskedRename(name, new_parent, new_name, 0)


def asked_rename2(request: KernelRequest) -> AskedRename:
    """Return what a RENAME2 is about. Raises RequestRefused."""
    new_parent, flags, _ = request.fields(_RENAME2)
    name, new_name = _names(request, _RENAME2.size, 2)
    return AskedRename(name, new_parent, new_name, flags)


def asked_attributes(request: KernelRequest, now_ns: int) -> AskedAttributes:
    """Return what a SETATTR is about; a time that is to be now is *now_ns*. Raises RequestRefused."""
    (wanted, _, handle, size, _, atime_s, mtime_s, _, *rest) = request.fields(_SETATTR)
    atime_ns, mtime_ns, _, mode, _, uid, gid, _ = rest
    return AskedAttributes(
        handle if wanted & _HAS_HANDLE else None,
        mode if wanted & _SET_MODE else None,
        uid if wanted & _SET_UID else None,
        gid if wanted & _SET_GID else None,
        size if wanted & _SET_SIZE else None,
        now_ns if wanted & _SET_ATIME_NOW else _time(wanted & _SET_ATIME, atime_s, atime_ns),
        now_ns if wanted & _SET_MTIME_NOW else _time(wanted & _SET_MTIME, mtime_s, mtime_ns),
    )


def _time(wanted: int, seconds: int, nanoseconds: int) -> int | None:
    """Return ns since 1970 of struct fuse_setattr_in, in which seconds before that are a huge number."""
    if not wanted:
        return None
    signed = seconds - (1 << 64) if seconds >> 63 else seconds
    return signed * _SECOND_NS + nanoseconds


def asked_flags(request: KernelRequest) -> int:
    """Return the flags of an OPEN. Raises RequestRefused."""
    return request.fields(_OPEN)[0]


def asked_page(request: KernelRequest) -> AskedPage:
    """Return what a READDIRPLUS is about. Raises RequestRefused."""
    return AskedPage(*request.fields(_LISTING))


def released_listing(request: KernelRequest) -> int:
    """Return the handle of a RELEASEDIR. Raises RequestRefused."""
    return request.fields(_RELEASE)[0]


def asked_attribute(request: KernelRequest) -> tuple[int, bytes]:
    """Return the room that a GETXATTR has for a value, and its name. Raises RequestRefused."""
    room, _ = request.fields(_XATTR)
    [name] = _names(request, _XATTR.size, 1)
    return room, name


def asked_room(request: KernelRequest) -> int:
    """Return the room that a LISTXATTR has for names. Raises RequestRefused."""
    return request.fields(_XATTR)[0]


def entry_reply(file: FileReply, valid_s: int) -> bytes:
    """Return the reply that tells what a name means, for *valid_s* seconds."""
    return _ENTRY.pack(file[0], 0, valid_s, valid_s, 0, 0, *file)


def attributes_reply(file: FileReply, valid_s: int) -> bytes:
    """Return the reply to a GETATTR, for *valid_s* seconds."""
    return _GETATTR.pack(valid_s, 0, 0, *file)


def opened_reply(handle: int, flags: int) -> bytes:
    """Return the reply to an OPEN or OPENDIR; behind an entry, to a CREATE."""
    return _OPENED.pack(handle, flags, 0)


def listed_line(name: bytes, file: FileReply, cookie: int, valid_s: int) -> bytes:
    """Return a line of the reply to a READDIRPLUS, which ends with *cookie*."""
    ino, kind, length = file[0], file[_ST_MODE] >> 12 & 15, len(name)
    line = _LINE.pack(ino, 0, valid_s, valid_s, 0, 0, *file, ino, cookie, length, kind) + name
    return line + _PADDING[len(line) % _LINE_ALIGN]


def value_reply(value: bytes, room: int) -> bytes:
    """Return the reply to a GETXATTR or LISTXATTR: *value*, or its size where no room is given.

    Raises RequestRefused if there is room, and too little.
    """
    if room == 0:
        return _XATTR_SIZE.pack(len(value), 0)
    if len(value) > room:
        raise RequestRefused(errno.ERANGE)
    return value


def _names(request: KernelRequest, at: int, count: int) -> list[bytes]:
    """Return the *count* names that end the body, from *at* on. Raises RequestRefused."""
    *names, rest = bytes(request.body[at:]).split(b"\0")
    if rest or len(names) != count:
        raise RequestRefused(errno.EINVAL)
    return names
