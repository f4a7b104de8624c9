"""What attributes of a project's root say, read from docs/format.md alone: byte by byte."""

from __future__ import annotations

from typing import Any

_WIDTHS = ((0xCF, 8, 2**32), (0xCE, 4, 2**16), (0xCD, 2, 256), (0xCC, 1, 128))
"""First byte, size and least value of MessagePack's unsigned integers, in the shortest encoding."""


def _number(rest: bytes) -> tuple[int, bytes] | None:
    if rest and rest[0] < 128:
        return rest[0], rest[1:]
    for first, size, least in _WIDTHS:
        if rest[:1] == bytes([first]) and len(rest) > size:
            number = int.from_bytes(rest[1 : 1 + size], "big")
            return (number, rest[1 + size :]) if number >= least else None
    return None


def _fields(value: bytes, limits: dict[str, int | None]) -> dict[str, Any] | None:
    """Return the map *value*, of the fields of *limits*: numbers up to a limit, or booleans (None)."""
    if value[:1] != bytes([0x80 + len(limits)]):
        return None
    rest = value[1:]
    found: dict[str, Any] = {}
    for field, limit in limits.items():
        label = bytes([0xA0 + len(field)]) + field.encode()
        if not rest.startswith(label):
            return None
        rest = rest[len(label) :]
        if limit is None:
            if rest[:1] not in (b"\xc2", b"\xc3"):
                return None
            found[field], rest = rest[0] == 0xC3, rest[1:]
        elif (read := _number(rest)) is None or read[0] > limit:
            return None
        else:
            found[field], rest = read
    return None if rest else found


def snapshot_in(name: bytes, value: bytes) -> dict[str, Any] | None:
    """Return the name and the fields of a snapshot, None if it is none."""
    prefix = b"user.lucid.snapshot."
    called = name[len(prefix) :]
    if not name.startswith(prefix) or not 1 <= len(called) <= 200:
        return None
    try:
        read = called.decode()
    except UnicodeDecodeError:
        return None
    fields = _fields(value, {"seq": 2**53 - 1, "wall_ns": 2**63 - 1, "scheduled": None})
    return None if fields is None else {"name": read, **fields}


def schedule_in(value: bytes) -> dict[str, Any] | None:
    """Return the numbers of a schedule, None if it is none."""
    found = _fields(value, {"quarters": 50, "hours": 50, "days": 50, "weeks": 50})
    return found if found is not None and any(found.values()) else None


def quota_in(value: bytes) -> dict[str, Any] | None:
    """Return the limits of a quota, None if it is none."""
    found = _fields(value, {"soft": 2**53 - 1, "hard": 2**53 - 1})
    return found if found is not None and any(found.values()) else None
