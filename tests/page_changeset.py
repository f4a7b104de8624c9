"""docs/format.md, "What an entry may change", written down a second time, from the page alone.

Slow and plain: an entry is applied to tables that are dictionaries, and then the whole tree is looked
at. The numbers are those of the page's rules.
"""

from __future__ import annotations

from typing import Any

COLUMNS: dict[str, tuple[str, int]] = {  # types (i int, b bytes), and how many are the key
    "inode": ("iiiiiiiiiiibi", 1),
    "name": ("ibi", 2),
    "extent": ("iiibi", 2),
    "block": ("bibi", 1),
    "xattr": ("ibb", 2),
}
PROJECT_AT_FIRST: dict[str, dict[Any, tuple[Any, ...]]] = {
    **{table: {} for table in COLUMNS},
    "inode": {(1,): (1, 4, 0o777, 0, 0, 0, 2, 0, 0, 0, 0, b"", 0)},
}

Row = tuple[Any, ...]
State = dict[str, dict[Any, Row]]
Change = tuple[str, Row | None, Row | None]


class Breaks(Exception):
    """A rule is broken; the message is its number."""


def after(state: State, changeset: bytes) -> State:
    """Return *state* after *changeset*, or raise Breaks."""
    changes = parsed(changeset)
    now = {table: dict(rows) for table, rows in state.items()}
    for change in changes:
        _apply(now, *change)
    for table, old, new in changes:
        if new is None:
            _rule(10, table != "block")
            _rule(4, (table, old and old[0]) != ("inode", 1))
        else:
            key = COLUMNS[table][1]
            _rule(10, table != "block" or old is None)
            _check_row(table, now[table][(old or new)[:key]])
            if table == "inode" and old is not None:
                _rule(5, new[1] is None and new[11] is None)
    _check_tree(now)
    _check_moves(state, now, changes)
    return now


def _rule(number: int, holds: bool) -> None:
    if not holds:
        raise Breaks(number)


# -- bytes ---------------------------------------------------------------------------------------


def parsed(changeset: bytes) -> list[Change]:
    """Return the changes; columns that are absent are None."""
    changes: list[Change] = []
    seen: list[str] = []
    keys: set[Any] = set()
    at, table, flags = 0, "", b""
    try:
        while at < len(changeset):
            if changeset[at] == ord("T"):
                count, at = _varint(changeset, at + 1)
                flags, at = changeset[at : at + count], at + count
                end = changeset.index(0, at)
                table, at = changeset[at:end].decode("latin-1"), end + 1
                _rule(1, at < len(changeset) and changeset[at] != ord("T") and table not in seen)
                seen.append(table)
                continue
            operation, at = changeset[at], at + 2
            _rule(1, operation in {18, 9, 23} and table in COLUMNS)
            types, key = COLUMNS[table]
            _rule(1, changeset[at - 1] == 0)
            _rule(1, list(flags) == [n + 1 if n < key else 0 for n in range(len(types))])
            old = new = None
            if operation != 18:
                old, at = _row(changeset, at, types)
            if operation != 9:
                new, at = _row(changeset, at, types)
            _check_shape(old, new, key)
            place = (table, *(old or new or ())[:key])
            _rule(1, place not in keys and len(keys) < 2048)
            keys.add(place)
            changes.append((table, old, new))
    except (IndexError, ValueError) as error:
        raise Breaks(1) from error
    return changes


def _check_shape(old: Row | None, new: Row | None, key: int) -> None:
    if old is None or new is None:
        _rule(2, None not in (old or new or ()))
        return
    _rule(2, None not in old[:key] and new[:key] == (None,) * key)
    rest = list(zip(old[key:], new[key:], strict=True))
    _rule(2, all((was is None) == (now is None) for was, now in rest))
    _rule(2, any(was is not None for was, _ in rest))


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    number = 0
    while True:
        number = number << 7 | raw[at] & 0x7F
        at += 1
        _rule(1, number > 0 or raw[at - 1] != 0x80)
        if raw[at - 1] < 0x80:
            return number, at


def _row(raw: bytes, at: int, types: str) -> tuple[Row, int]:
    row: list[Any] = []
    for kind in types:
        tag, at = raw[at], at + 1
        if tag == 0:
            row.append(None)
        elif tag == 1 and kind == "i" and at + 8 <= len(raw):
            row.append(int.from_bytes(raw[at : at + 8], signed=True))
            at += 8
        elif tag == 4 and kind == "b":
            length, at = _varint(raw, at)
            _rule(1, at + length <= len(raw))
            row.append(raw[at : at + length])
            at += length
        else:
            raise Breaks(1)
    return tuple(row), at


# -- rows ----------------------------------------------------------------------------------------


def _apply(state: State, table: str, old: Row | None, new: Row | None) -> None:
    key = COLUMNS[table][1]
    place = (old or new or ())[:key]
    there = state[table].get(place)
    if old is None:
        _rule(3, there is None)
        state[table][place] = new or ()
    elif new is None:
        _rule(3, there == old)
        del state[table][place]
    else:
        assert new is not None
        row = there or ()
        _rule(3, there is not None)
        _rule(3, all(was in (None, now) for was, now in zip(old, row, strict=True)))
        pairs = zip(row, new, strict=True)
        state[table][place] = tuple(was if now is None else now for was, now in pairs)


def _check_row(table: str, row: Row) -> None:
    match table:
        case "inode":
            ino, kind, mode, uid, gid, size, nlink, _, _, _, rdev, target, _ = row
            _rule(4, 1 <= ino < 2**62)
            _rule(5, kind in {1, 2, 4, 6, 8, 10, 12} and 0 <= mode <= 0o7777)
            _rule(5, all(0 <= number < 2**32 for number in (uid, gid, nlink, rdev)))
            _rule(6, 0 <= size < 2**53 and (kind == 8 or size == len(target)))
            _rule(7, len(target) <= 4095 and 0 not in target and (kind == 10 or not target))
        case "name":
            parent, name, ino = row
            _rule(4, 1 <= parent < 2**62 and 1 < ino < 2**62)
            _rule(8, 1 <= len(name) <= 255 and not {0, 47} & set(name))
            _rule(8, name not in {b".", b".."})
        case "extent":
            _, offset, length, _, block_offset = row
            _rule(9, offset >= 0 and block_offset >= 0 and 1 <= length <= 2**24)
            _rule(9, offset + length < 2**53)
        case "block":
            ident, epoch, nonce, size = row
            _rule(10, len(ident) == len(nonce) == 32 and 1 <= epoch < 2**32)
            _rule(10, 4096 <= size <= 2**24 and size % 4096 == 0)
        case _:
            _, name, value = row
            _rule(11, 1 <= len(name) <= 255 and 0 not in name and len(value) <= 65536)


# -- the tree ------------------------------------------------------------------------------------


def _check_tree(state: State) -> None:
    inodes = {row[0]: row for row in state["inode"].values()}
    links = dict.fromkeys(inodes, 0)
    above: dict[int, int] = {}
    for parent, _, ino in state["name"].values():
        _rule(12, parent in inodes and inodes[parent][1] == 4 and ino in inodes)
        links[ino] += 1
        if inodes[ino][1] == 4:
            links[parent] += 1
            _rule(13, ino not in above and ino != 1)
            above[ino] = parent
    rooted = {1}
    for ino, row in inodes.items():
        if row[1] == 4:
            way: list[int] = []
            here = ino
            while here not in rooted:
                _rule(13, here in above and len(way) <= len(above))
                way.append(here)
                here = above[here]
            rooted.update(way)
        _rule(14, row[6] == links[ino] + (0 if row[1] != 4 else 2 if ino == 1 else 1))
    end: dict[int, int] = {}
    for ino, offset, length, block, block_offset in sorted(state["extent"].values()):
        _rule(15, ino in inodes and inodes[ino][1] == 8 and offset + length <= inodes[ino][5])
        _rule(15, offset >= end.get(ino, 0))
        end[ino] = offset + length
        found = state["block"].get((block,))
        _rule(15, found is not None and block_offset + length <= found[3])
    _rule(16, all(ino in inodes for ino, _ in state["xattr"]))


def _check_moves(before: State, now: State, changes: list[Change]) -> None:
    above = {row[2]: row[0] for row in now["name"].values()}
    moved = {
        row[2]
        for table, old, new in changes
        if table == "name" and new is not None
        for row in [now["name"][(old or new)[:2]]]
        if now["inode"][row[2],][1] == 4 and (row[2],) in before["inode"]
    }
    counted: set[int] = set()
    for here in moved:
        while here not in counted:
            counted.add(here)
            here = above.get(here, 1)  # noqa: PLW2901  # up to the root
    _rule(17, len(counted) <= 16384)


# -- leases: "Leases" ----------------------------------------------------------------------------


def lease_in(value: bytes) -> dict[str, Any] | None:
    """Return what the value of a lease says, None if nothing: read byte by byte."""
    rest = value
    if rest[:1] not in (b"\x85", b"\x86"):
        return None
    has_asking, rest = rest[0] == 0x86, rest[1:]
    found: dict[str, Any] = {}
    for field, kind in zip(
        ("holder", "fence", "given", "wanted", "busy", "asking")[: 5 + has_asking],
        ("device", "int", "bool", "device", "bool", "number")[: 5 + has_asking],
        strict=True,
    ):
        label = bytes([0xA0 + len(field)]) + field.encode()
        if not rest.startswith(label):
            return None
        rest = rest[len(label) :]
        if kind == "bool" and rest[:1] in (b"\xc2", b"\xc3"):
            found[field], rest = rest[0] == 0xC3, rest[1:]
        elif kind == "device" and rest[:1] == b"\xa0":
            found[field], rest = "", rest[1:]
        elif (
            kind == "device"
            and rest[:2] == b"\xd9\x20"
            and not set(rest[2:34]) - set(b"0123456789abcdef")
        ):
            found[field], rest = rest[2:34].decode(), rest[34:]
        elif kind == "number" and rest[:2] == b"\xc4\x10" and len(rest) >= 18 and found["given"]:
            found[field], rest = rest[2:18].hex(), rest[18:]
        elif kind == "int":
            for first, size, least in (
                (0xCF, 8, 2**32),
                (0xCE, 4, 2**16),
                (0xCD, 2, 256),
                (0xCC, 1, 128),
                (None, 0, 1),
            ):
                if first is None and rest and rest[0] < 128:
                    number, rest = rest[0], rest[1:]
                elif first is not None and rest[:1] == bytes([first]):
                    number, rest = int.from_bytes(rest[1 : 1 + size], "big"), rest[1 + size :]
                else:
                    continue
                if not least <= number <= 2**53 - 2:
                    return None
                found[field] = number
                break
        if field not in found:
            return None
    return None if rest else found
