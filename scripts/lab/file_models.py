"""What programs know of their own bytes, and so what must be left of them, whatever happens."""

from __future__ import annotations

from dataclasses import dataclass, field

PROGRAMS = 4

SLOT = 90_000
"""Bytes in a row that belong to one program; less than a block, and across its boundaries."""

SLOTS = 3
"""Of each program."""

LINE = 40
"""Bytes of a line in the log."""

_PIECE = 512


@dataclass
class Versions:
    """What a run of bytes may hold after a crash: as acknowledged, and everything written since."""

    now: bytes = b""
    since: list[bytes] = field(default_factory=lambda: [b""])

    def write(self, offset: int, data: bytes) -> None:
        old = self.now.ljust(offset, b"\0")
        self.now = old[:offset] + data + old[offset + len(data) :]
        self.since.append(self.now)

    def cut(self, size: int) -> None:
        self.now = self.now[:size].ljust(size, b"\0")
        self.since.append(self.now)

    def acknowledged(self, version: bytes) -> None:
        """Note that *version*, one of `since`, or a later one is there for good."""
        at = next((at for at, it in enumerate(self.since) if it is version), 0)
        self.since = self.since[at:]

    def contradiction(self, found: bytes, padded: bool) -> str:
        """Return why *found* is not made of these, or nothing.

        *padded*: zeros may follow, of others' bytes.
        """
        if found in self.since:
            return ""
        sizes = [len(each) for each in self.since]
        if not padded and not min(sizes) <= len(found) <= max(sizes):
            return f"a size that it never had: {len(found)}, not {sorted(set(sizes))}"
        size = max(*sizes, len(found)) if padded else len(found)
        versions = [each.ljust(size, b"\0") for each in self.since]
        found = found.ljust(size, b"\0")
        for start in range(0, size, _PIECE):
            piece = found[start : start + _PIECE]
            if any(piece == each[start : start + _PIECE] for each in versions):
                continue
            for at, byte in enumerate(piece, start):
                if not any(byte == each[at] for each in versions):
                    return f"byte {at} was never written so"
        return ""

    def is_found(self, found: bytes) -> None:
        """Go on from *found*."""
        self.now, self.since = found, [found]


@dataclass
class Program:
    """One of those at work: what it knows of its own bytes and names."""

    number: int
    slots: list[Versions] = field(default_factory=lambda: [Versions() for _ in range(SLOTS)])
    lines: list[bytes] = field(default_factory=list)
    lines_sure: int = 0
    own: list[Versions | None] = field(default_factory=lambda: [None])
    """What may be under its own name after a power cut, None for nothing; the last is so now."""

    @property
    def own_name(self) -> bytes:
        return b"own-%d" % self.number

    @property
    def scratch_name(self) -> bytes:
        return b"new-%d" % self.number

    def shared_contradiction(self, shared: bytes) -> str:
        """Return why *shared* is not what this program wrote there, or nothing."""
        for slot, versions in enumerate(self.slots):
            at = offset(slot, self.number)
            if why := versions.contradiction(shared[at : at + SLOT], padded=True):
                return f"program {self.number}, slot {slot}: {why}"
        return ""

    def found_shared(self, shared: bytes) -> None:
        """Go on from *shared*."""
        for slot, versions in enumerate(self.slots):
            at = offset(slot, self.number)
            versions.is_found(shared[at : at + SLOT])

    def check_log(self, log: bytes) -> None:
        """Assert that every acknowledged line is in *log*, once and in order; go on from there."""
        at_line = [log[at : at + LINE] for at in range(0, len(log), LINE)]
        places = [at_line.index(line) if line in at_line else -1 for line in self.lines]
        sure = places[: self.lines_sure]
        assert -1 not in sure, "an acknowledged line is gone"
        there = [place for place in places if place >= 0]
        assert there == sorted(there), "lines changed their order"
        assert all(at_line.count(line) <= 1 for line in self.lines), "a line twice"
        self.lines = [line for line in self.lines if line in at_line]
        self.lines_sure = len(self.lines)

    def check_own(self, found: bytes | None) -> None:
        """Assert that *found* may be under its own name; go on from there."""
        if found is None:
            assert None in self.own, f"{self.own_name!r} is gone"
            self.own = [None]
            return
        whys = [each.contradiction(found, padded=False) for each in self.own if each is not None]
        assert whys, f"{self.own_name!r} is there again"
        assert "" in whys, f"{self.own_name!r}: {whys}"
        self.own = [Versions(found, [found])]


def offset(slot: int, number: int) -> int:
    """Return where *slot* of program *number* begins; PROGRAMS is the number of who is elsewhere."""
    return (slot * (PROGRAMS + 1) + number) * SLOT
