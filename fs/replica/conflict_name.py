"""The name our version of a file gets when its own is taken. Pure."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from lucidnode.fs.replica.inode import MAX_NAME_BYTES

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


MARK = b" (conflict, "
"""Every name made here has it."""

_MADE_HERE = re.compile(
    rb"(?P<stem>.*) \(conflict, "
    rb"(?P<which>(?P<whose>.*), \d{4}-\d\d-\d\d \d\d-\d\d-\d\d(?:, \d+)?)\)(?P<rest>.*)",
    re.DOTALL,
)


def is_conflict_name(name: bytes) -> bool:
    """Tell whether *name* looks like one that `conflict_names` made."""
    return MARK in name and _MADE_HERE.fullmatch(name) is not None


def conflict_names(name: bytes, device: str, time_ns: int) -> Iterator[bytes]:
    """Yield `name (conflict, DEVICE, TIME).ext`, then the same numbered 2, 3 and so on.

    TIME is UTC, to the second. Each is at most MAX_NAME_BYTES bytes: the stem gives way first, and is
    not cut inside a UTF-8 character. A leading dot starts a stem, not an extension.
    """
    stem, dot, extension = name.rpartition(b".")
    if not stem or len(extension) > 32:
        stem, dot, extension = name, b"", b""
    who = named(device)
    # Years outside 1 to 9999 come from broken clocks; the name only has to be a name.
    seconds = min(max(time_ns // 10**9, 0), 253402300799)
    when = f"{_EPOCH + datetime.timedelta(seconds=seconds):%Y-%m-%d %H-%M-%S}"
    number = 1
    while True:
        which = f" (conflict, {who}, {when}{f', {number}' if number > 1 else ''})".encode()
        rest = which + dot + extension
        yield _cut(stem, MAX_NAME_BYTES - len(rest)) + rest
        number += 1


def named(device: str) -> str:
    """Return *device* as it stands in names: at most 64 bytes.

    Neither a slash nor a control character may enter a name, whatever the device is called.
    """
    shown = "".join(letter if letter.isprintable() and letter != "/" else "_" for letter in device)
    return _cut(shown.encode(), 64).decode()


def parted(name: bytes) -> tuple[bytes, str]:
    """Return the name that the conflict copy *name* stands beside, and whose version it is.

    A name that had to be cut to make room is returned as it was cut.
    """
    made = _MADE_HERE.fullmatch(name)
    assert made is not None, "no conflict copy"
    return made["stem"] + made["rest"], made["whose"].decode(errors="replace")


def version_names(name: bytes) -> Iterator[bytes]:
    """Yield names for the conflict copy *name* once a person keeps it as a version of its own."""
    made = _MADE_HERE.fullmatch(name)
    assert made is not None, "no conflict copy"
    stem, which, rest = made["stem"], made["which"], made["rest"]
    yield b"%b (version, %b)%b" % (stem, which, rest)
    number = 2
    while True:
        yield b"%b (version, %b, %d)%b" % (stem, which, number, rest)
        number += 1


def _cut(text: bytes, limit: int) -> bytes:
    """Return at most *limit* bytes of *text*, whole UTF-8 characters where it is UTF-8."""
    if len(text) <= limit:
        return text
    while limit > 0 and text[limit] & 0xC0 == 0x80:
        limit -= 1
    return text[:limit]
