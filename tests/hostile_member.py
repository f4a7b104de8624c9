"""A member with a legal key and no manners: entries at and over every bound, mostly almost right.

An entry is made from the rows it claims to change: a few moves that could be a user's, on a copy of
the tables, then some that no user makes, then perhaps a change of its spelling. So many of them
pass, and those that do not break one rule only.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random  # noqa: TID251  # seeded: a failure can be repeated
from typing import Any

from raw_changeset import ABSENT, RawChange, RawRow, Value, encoded, header, raw_changes

from lucidnode.fs.format.geometry import MAX_PLAIN_BYTES
from lucidnode.fs.replica.inode import (
    MAX_FILE_SIZE,
    MAX_INO,
    MAX_TARGET_BYTES,
    MAX_XATTR,
    ROOT,
    Kind,
)
from lucidnode.fs.replica.sqlite.rows import KEY_COLUMNS, RowChange
from lucidnode.fs.replica.tree.row_rules import MAX_ROWS

Rows = dict[str, list[tuple[Any, ...]]]
Tables = dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]

NUMBERS = sorted(
    {
        0,
        1,
        -1,
        -(2**63),
        *(
            bound + by
            for bound in (2**31, 2**32, MAX_PLAIN_BYTES, 2**53, 2**62)
            for by in (-2, -1, 0, 1)
        ),
        2**63 - 2,
        2**63 - 1,
    }
)
NAMES = [b"a", b"b", b"c", b"d.mov", b"x" * 255, b"\xff\xfe", b"\n"]
BAD_NAMES = [b"", b".", b"..", b"a/b", b"a\0b", b"x" * 256]
SIZES = [4096, 65536, MAX_PLAIN_BYTES]
BAD_SIZES = [0, -4096, 1, 4095, MAX_PLAIN_BYTES + 4096, 2**63 - 1]
PLACES = [0, 1, 4095, 4096, 100_000, MAX_FILE_SIZE - 4096, MAX_FILE_SIZE - 1]


class HostileMember:
    """Makes changesets that claim to be made on *rows*; *inodes* and *blocks* are what it guesses.

    Guesses are numbers that other nodes use in work that is not committed.
    """

    def __init__(self, random: Random, rows: Rows, inodes: list[int], blocks: list[bytes]) -> None:
        self.random = random
        self.base = tables_of(rows)
        self.tables: Tables = {table: dict(held) for table, held in self.base.items()}
        self.inodes = sorted({*inodes, *(ino for (ino,) in self.base["inode"])})
        self.blocks = sorted({*blocks, *(block for (block,) in self.base["block"])})

    def changeset(self) -> bytes:
        """Return the bytes of one more."""
        chance = self.random.random
        for _ in range(self.random.randint(1, 4)):
            self.random.choice(self._moves)(self)
        for _ in range(self.random.choice([0, 0, 1, 1, 2])):
            self.random.choice(self._breaks)(self)
        if chance() < 0.75:
            self.count_links()
        changes = difference(self.base, self.tables)
        self.random.shuffle(changes)
        spelled = raw_changes(changes)
        if chance() < 0.1 and spelled:
            return self.misspelled(spelled)
        return encoded(spelled)

    # -- what a user could do ----------------------------------------------------------------

    def make(self) -> None:
        kind = self.random.choice([Kind.FILE, Kind.DIRECTORY, Kind.DIRECTORY, Kind.SYMLINK])
        ino = self.random.randrange(10**6, 10**9)
        target = b""
        if kind is Kind.SYMLINK:
            target = b"t" * self.random.choice([0, 1, MAX_TARGET_BYTES])
        size = len(target)
        if kind is Kind.FILE:
            size = self.random.choice([0, 5, 4096, MAX_FILE_SIZE])
        links = 2 if kind is Kind.DIRECTORY else 1
        times = [self.random.choice([1, 10**18, *NUMBERS]) for _ in range(3)]
        row = (ino, kind.value, 0o755, 1, 1, size, links, *times, 0, target, 7)
        self.put("inode", row)
        self.put("name", (self.directory(), self.random.choice(NAMES), ino))

    def link(self) -> None:
        self.put("name", (self.directory(), self.random.choice(NAMES), self.file()))

    def move(self) -> None:
        if (row := self.some("name")) is not None:
            del self.tables["name"][row[:2]]
            self.put("name", (self.directory(), self.random.choice([row[1], *NAMES]), row[2]))

    def unlink(self) -> None:
        if (row := self.some("name")) is not None:
            del self.tables["name"][row[:2]]
            if self.random.random() < 0.7:
                self.forget(row[2])

    def forget(self, ino: int) -> None:
        """Delete *ino* with all that belongs to it."""
        for table, held in self.tables.items():
            if table not in {"block", "name"}:
                self.tables[table] = {key: row for key, row in held.items() if row[0] != ino}
        names = self.tables["name"]
        self.tables["name"] = {key: row for key, row in names.items() if row[2] != ino}

    def write(self) -> None:
        block = self.random.choice([*self.blocks, self.random.randbytes(32)])
        if (block,) not in self.base["block"]:
            self.put("block", (block, 1, self.random.randbytes(32), self.random.choice(SIZES)))
        ino = self.file()
        size = self.tables["block"].get((block,), (0, 0, 0, 4096))[3]
        offset = self.random.choice(PLACES)
        inside = self.random.choice([0, 0, 1, size - 1, size])
        length = self.random.choice([1, 5, 4096, max(size - inside, 1)])
        self.put("extent", (ino, offset, length, block, inside))
        if (row := self.tables["inode"].get((ino,))) is not None and self.random.random() < 0.8:
            end = max(row[5], min(offset + length, MAX_FILE_SIZE))
            self.put("inode", (*row[:5], end, *row[6:12], self.random.randrange(2**40)))

    def truncate(self) -> None:
        if (row := self.tables["inode"].get((self.file(),))) is not None:
            size = self.random.choice(PLACES)
            self.put("inode", (*row[:5], size, *row[6:12], self.random.randrange(2**40)))
            if self.random.random() < 0.7:
                held = self.tables["extent"]
                self.tables["extent"] = {
                    key: one
                    for key, one in held.items()
                    if one[0] != row[0] or one[1] + one[2] <= size
                }

    def attribute(self) -> None:
        name = self.random.choice([b"user.a", b"n" * 255])
        value = b"v" * self.random.choice([0, 3, MAX_XATTR])
        self.put("xattr", (self.random.choice(self.inodes), name, value))

    def touch(self) -> None:
        if (row := self.some("inode")) is not None:
            now = self.random.choice([*NUMBERS, 10**18])
            self.put("inode", (*row[:8], now, now, *row[10:]))

    # -- what no user does -------------------------------------------------------------------

    def wild_cell(self) -> None:
        """Set one column of one row to something at or over a bound."""
        table = self.random.choice(list(self.tables))
        row = self.some(table)
        if row is None:
            return
        place = self.random.randrange(len(row))
        cells = list(row)
        if isinstance(cells[place], int):
            cells[place] = self.random.choice([*NUMBERS, *self.inodes])
        else:
            cells[place] = self.random.choice([*BAD_NAMES, *self.blocks, b"v" * 65537, b"t" * 4096])
        if self.random.random() < 0.5:
            self.tables[table].pop(row[: KEY_COLUMNS[table]])
        self.put(table, tuple(cells))

    def drop_row(self) -> None:
        table = self.random.choice(list(self.tables))
        if (row := self.some(table)) is not None:
            del self.tables[table][row[: KEY_COLUMNS[table]]]

    def wild_extent(self) -> None:
        places = [*NUMBERS, *PLACES]
        offset, length, inside = (self.random.choice(places) for _ in range(3))
        block = self.random.choice([*self.blocks, bytes(32), b"short"])
        self.put("extent", (self.random.choice(self.inodes), offset, length, block, inside))

    def wild_block(self) -> None:
        size = self.random.choice([*SIZES, *BAD_SIZES])
        epoch = self.random.choice([0, 1, 2, 2**32 - 1, 2**32])
        block = self.random.choice([*self.blocks, self.random.randbytes(32)])
        self.put("block", (block, epoch, self.random.randbytes(32), size))

    def wild_name(self) -> None:
        wild = [*self.inodes, 0, -1, ROOT, 2**62, 10**9 + 7]
        name = self.random.choice([*NAMES, *BAD_NAMES])
        self.put("name", (self.random.choice(wild), name, self.random.choice(wild)))

    def cycle(self) -> None:
        """Put a directory into one that lies below it, or two new ones into each other."""
        one, other = self.directory(), self.directory()
        for child, parent in ((one, other), (other, one)):
            places = [key for key, row in self.tables["name"].items() if row[2] == child]
            for place in places:
                del self.tables["name"][place]
            self.put("name", (parent, b"cycle%d" % child, child))

    def root(self) -> None:
        row = self.tables["inode"].pop((ROOT,), None)
        if row is not None and self.random.random() < 0.7:
            self.put("inode", (ROOT, self.random.choice([4, 8]), 0, *row[3:]))

    _moves: tuple[Callable[[HostileMember], None], ...] = (
        make,
        make,
        link,
        move,
        move,
        unlink,
        write,
        write,
        truncate,
        attribute,
        touch,
        touch,
    )
    _breaks = (wild_cell, wild_cell, drop_row, wild_extent, wild_block, wild_name, cycle, root)

    # -- how it is spelled -------------------------------------------------------------------

    def misspelled(self, spelled: list[RawChange]) -> bytes:
        place = self.random.randrange(len(spelled))
        table, old, new = spelled[place]
        match self.random.randrange(9):
            case 0:
                spelled.insert(place, spelled[place])
            case 1:
                spelled[place] = RawChange("pending", old, new)
            case 2 if new is not None:
                spelled[place] = RawChange(table, old, self._retyped(new))
            case 3 if old is not None:
                spelled[place] = RawChange(table, self._retyped(old), new)
            case 4:
                self.random.shuffle(spelled)
            case 5:
                raw = bytearray(encoded(spelled))
                for _ in range(self.random.randint(1, 3)):
                    raw[self.random.randrange(len(raw))] = self.random.randrange(256)
                return bytes(raw)
            case 6:
                raw = bytearray(encoded(spelled))
                return bytes(raw[: self.random.randrange(len(raw))])
            case 7:
                return encoded(spelled) + header(table, keys=self.random.randrange(3))
            case _:
                return encoded(spelled).replace(header(table), header(table, keys=2), 1)
        return encoded(spelled)

    def _retyped(self, row: RawRow) -> RawRow:
        place = self.random.randrange(len(row))
        wild: list[Any] = [ABSENT, None, 1.5, "text", b"blob", 7]
        value: Value = self.random.choice(wild)
        return (*row[:place], value, *row[place + 1 :])

    # -- parts -------------------------------------------------------------------------------

    def put(self, table: str, row: tuple[Any, ...]) -> None:
        self.tables[table][row[: KEY_COLUMNS[table]]] = row

    def some(self, table: str) -> tuple[Any, ...] | None:
        held = self.tables[table]
        return held[self.random.choice(list(held))] if held else None

    def directory(self) -> int:
        known: list[int] = [
            row[0] for row in self.tables["inode"].values() if row[1] == Kind.DIRECTORY
        ]
        if self.random.random() < 0.05 or not known:
            known = self.inodes
        return self.random.choice(known)

    def file(self) -> int:
        known: list[int] = [row[0] for row in self.tables["inode"].values() if row[1] == Kind.FILE]
        if self.random.random() < 0.05 or not known:
            known = self.inodes
        return self.random.choice(known)

    def count_links(self) -> None:
        """Make every count of links right."""
        counts = dict.fromkeys((ino for (ino,) in self.tables["inode"]), 0)
        kinds = {row[0]: row[1] for row in self.tables["inode"].values()}
        for parent, _, ino in self.tables["name"].values():
            counts[ino] = counts.get(ino, 0) + 1
            if kinds.get(ino) == Kind.DIRECTORY:
                counts[parent] = counts.get(parent, 0) + 1
        for key, row in list(self.tables["inode"].items()):
            more = (2 if row[0] == ROOT else 1) if row[1] == Kind.DIRECTORY else 0
            self.tables["inode"][key] = (*row[:6], counts[row[0]] + more, *row[7:])


def tables_of(rows: Rows) -> Tables:
    """Return *rows* by their keys."""
    return {table: {row[: KEY_COLUMNS[table]]: row for row in held} for table, held in rows.items()}


def difference(base: Tables, now: Tables) -> list[RowChange]:
    """Return what makes *now* of *base*, a change for each row."""
    return [
        (table, base[table].get(key), now[table].get(key))
        for table in base
        for key in dict.fromkeys([*base[table], *now[table]])
        if base[table].get(key) != now[table].get(key)
    ]


def huge(random: Random, rows: Rows) -> bytes:
    """Return a changeset on *rows* with as many rows, or bytes, as there may be; or one more."""
    base = tables_of(rows)
    now: Tables = {table: dict(held) for table, held in base.items()}
    count = MAX_ROWS + random.choice([0, 0, 1])
    ino, name, block = 10**9, b"huge%d" % random.randrange(10**9), random.randbytes(32)
    while (ino,) in now["inode"]:
        ino += MAX_ROWS

    def put(table: str, *row: Any) -> None:
        now[table][row[: KEY_COLUMNS[table]]] = row

    def inode(number: int, kind: Kind, links: int) -> None:
        size = MAX_FILE_SIZE if kind is Kind.FILE else 0
        put("inode", number, kind.value, 0, 0, 0, size, links, 1, 1, 1, 0, b"", 0)

    directory = random.choice([row for row in base["inode"].values() if row[1] == Kind.DIRECTORY])
    match random.randrange(6):
        case 0:
            for number in range(ino, ino + count // 2):
                inode(number, Kind.FILE, 1)
                put("name", directory[0], b"%d" % number, number)
        case 1:
            last = ino + (count - 1) // 2 - 1
            put("inode", *directory[:6], directory[6] + 1, *directory[7:])
            for number in range(ino, last + 1):
                inode(number, Kind.DIRECTORY, 2 if number == last else 3)
                put("name", directory[0] if number == ino else number - 1, name, number)
        case 2:
            inode(ino, Kind.FILE, 1)
            put("name", directory[0], name, ino)
            put("block", block, 1, bytes(32), 4096)
            for number in range(count - 3):
                put("extent", ino, number * 7, 7, block, 0)
        case 3:
            for number in range(count):
                put("block", number.to_bytes(32), 1, block, 4096)
        case 4:
            inode(ino, Kind.FILE, 1)
            put("name", directory[0], name, ino)
            value = bytes(random.choice([0, 1000, 1800]))
            for number in range(count - 2):
                put("xattr", ino, b"user.%d" % number, value)
        case _:
            inode(ino, Kind.FILE, 1)
            put("name", directory[0], name, ino)
            for number in range(random.choice([127, 128])):
                put("xattr", ino, b"user.%d" % number, bytes(MAX_XATTR))
    return encoded(raw_changes(difference(base, now)))


assert MAX_INO > 10**9 + MAX_ROWS
