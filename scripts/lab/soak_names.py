"""Two people who make the same names at once, cut off, restarted, with clocks that drift: one of them wins.

Whoever was told that a name is his has it alone until somebody removes it, unless he was silent for
the time that a lease lasts before anybody else could know. Who makes names without the bucket's word, since
it is away, was told so. In the end both see the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import stat
import tempfile
from collections import Counter
from pathlib import Path
from random import Random  # noqa: TID251  # seeded
from typing import Literal, NamedTuple

from committer_fixture import Daemon, Fault
from file_layer_fixture import ME
from write_seats import NAMES, WriteSeat, WriteStudio

from lab.drifting_clock import DriftingClock
from lab.virtual_loop import run_virtual
from lucidnode.fs.commit.signs_of_life import LEASE_TTL_S
from lucidnode.fs.errors import FileError, NameTaken
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import RENAME_NOREPLACE
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.journal import SIGNATURE_SIZE, EntryHeader

STEPS = 40

_NAMES = (b"cut.lock", b"bin.lck")
_FAULTS: tuple[Fault, ...] = ("unreachable", "unknown", "applied")
_REST_S = 1200
_DRIFT = 0.05
"""By how much a clock is fast or slow: two of them less than the margin of 5 s in 30 s."""

_SILENT_S = LEASE_TTL_S * (1 - _DRIFT)

_SPARE = b"spare "
"""What the names begin with of files that are there to be linked and renamed."""

_MOST_DIRECTORIES = 4


class _Key(NamedTuple):
    directory: InodeNo
    name: bytes


class _Claim(NamedTuple):
    """Who was told that a name is his, when, and whether that was the bucket's word."""

    person: str
    ino: InodeNo
    at: float
    asked_at: float
    """When he asked for the directory, if it was given to him in answer: others count from later."""
    is_agreed: bool


class _Log(dict[int, bytes]):
    """The entries in the bucket, and when each device made its newest."""

    def __init__(self) -> None:
        super().__init__()
        self.newest: dict[DeviceId, float] = {}
        self.came_back: dict[DeviceId, float] = {}
        """When each made an entry again after it was silent for so long that others could take its directories."""

    def setdefault(self, seq: int, body: bytes, /) -> bytes:
        """Create entry *seq* if absent; return what is there."""
        if seq not in self:
            device = EntryHeader.parse(body[:-SIGNATURE_SIZE]).device
            now = asyncio.get_running_loop().time()
            if now - self.newest.get(device, now) >= _SILENT_S:
                self.came_back[device] = now
            self.newest[device] = now
        return super().setdefault(seq, body)


class _Person:
    """Somebody at one workstation, who starts its mount again when it has died."""

    def __init__(self, studio: WriteStudio, name: str, chance: Random) -> None:
        self._studio = studio
        self.name = name
        self._clock = DriftingClock(1 + chance.uniform(-_DRIFT, _DRIFT))
        self._exclusive: Literal["alone", "never alone"] = (
            "alone" if chance.random() < 0.3 else "never alone"
        )
        self._mount = contextlib.AsyncExitStack()
        self.door = studio.doors[name]
        self.spares = 0
        self.writing: list[int] = []
        """Handles of what it has made and is writing to."""

    async def start(self) -> None:
        self.seat: WriteSeat = await self._mount.enter_async_context(
            self._studio.seat(self.name, None, self._clock, exclusive=self._exclusive)
        )

    async def die(self) -> None:
        self.writing.clear()
        await self._mount.aclose()

    async def close(self) -> None:
        """Close what it is writing to."""
        while self.writing:
            await self.seat.close(self.writing.pop())

    def is_agreed(self, directory: InodeNo) -> bool:
        """Tell whether this workstation has *directory* now, by what the log says or by nature."""
        leases, replica = self.seat.layer.directories, self.seat.layer.replica
        assert leases is not None
        return leases.rows.holds(directory) or replica.pending.is_unknown(directory)

    def asked_at(self, directory: InodeNo) -> float:
        """Return when it sent the word that gave it *directory*, by the loop's time, or a little sooner."""
        leases = self.seat.layer.directories
        assert leases is not None
        row = leases.rows.of(directory)[1]
        mount = self._studio.links.mounts[self.door.device]
        asked_at = None if row is None else mount.asked_at(row.answers)
        if asked_at is None:
            return -math.inf
        ago_s = (self._clock.boot() - asked_at) / (1 - _DRIFT)
        return asyncio.get_running_loop().time() - ago_s

    def now(self, key: _Key) -> _Key:
        """Return *key* in the directory that its own has become one with, if it has."""
        return key._replace(directory=self.seat.layer.replica.tree.now(key.directory))

    def knows(self, directory: InodeNo) -> bool:
        return self.seat.layer.replica.tree.attributes(directory) is not None


class _Run:
    def __init__(self, seed: int, home: Path) -> None:
        self.chance = Random(f"names {seed}")
        self.studio = WriteStudio.of(home)
        self._link(Random(f"links {seed}"))
        self.log = self.studio.bucket.entries = _Log()
        self.people = [_Person(self.studio, name, self.chance) for name in NAMES]
        self.directories = [ROOT]
        self.claims: dict[_Key, _Claim] = {}
        self.unsettled: set[_Key] = set()
        """Names that somebody has removed, or that two were told to have: who comes too late, or still
        writes to such a file, may be the first in the log."""
        self.happened: Counter[str] = Counter()

    def _link(self, chance: Random) -> None:
        """Have two of three pairs ask each other over links, on which words are lost, doubled and repeated late."""
        self.links = links = self.studio.links
        links.cut = chance.random() < 1 / 3

        def fate() -> int:
            if len(links.said) > 1 and chance.random() < 0.2:
                links.repeat(chance.randrange(len(links.said)))
            return chance.choice((0, 1, 1, 1, 2))

        links.fate = fate

    async def play(self) -> None:
        for person in self.people:
            await person.start()
        async with asyncio.TaskGroup() as group:
            for person in self.people:
                group.create_task(self._work(person))
        await self._end()
        self.happened["words"] += len(self.links.said)

    async def _work(self, person: _Person) -> None:
        for _ in range(STEPS):
            try:
                await self._step(person)
            except NameTaken:
                self.happened["taken"] += 1
            except FileError as error:
                self.happened[type(error).__name__] += 1
            await asyncio.sleep(self.chance.choice((0, 0, 0, 0.1, 0.1, 0.3, 0.3, 1, 5, 40)))

    async def _step(self, person: _Person) -> None:
        known = [each for each in self.directories if person.knows(each)]
        key = _Key(self.chance.choice(known), self.chance.choice(_NAMES))
        does = self.chance.choices(
            (
                "make",
                "link",
                "rename",
                "mkdir",
                "close",
                "remove",
                "cut off",
                "back",
                "die",
                "fault",
            ),
            (10, 2, 2, 2, 4, 8, 1, 4, 1, 2),
        )[0]
        match does:
            case "make" | "link" | "rename" | "mkdir":
                await self._make(person, key, does)
            case "close":
                await person.close()
            case "remove":
                await person.close()
                self._remove(person, key)
            case "cut off":
                person.door.reachable = False
            case "back":
                person.door.reachable = True
            case "die":
                await person.die()
                await asyncio.sleep(self.chance.choice((0, 30, 100)))
                await person.start()
            case _:
                person.door.faults.append(self.chance.choice(_FAULTS))
        self.happened[does] += 1

    async def _make(self, person: _Person, key: _Key, how: str) -> None:
        files = person.seat.layer.files
        spare = _SPARE + f"{person.name} {person.spares}".encode()
        if how in {"link", "rename"}:
            person.spares += 1
            files.make(ROOT, spare, stat.S_IFREG | 0o644, ME)
        await files.exclusively(key.directory, key.name, 0)
        match how:
            case "make":
                made, (handle, _) = files.create(*key, 0o644, ME, os.O_RDWR | os.O_EXCL, 0)
                person.writing.append(handle)
            case "mkdir":
                made = files.make(*key, stat.S_IFDIR | 0o755, ME)
                if len(self.directories) < _MOST_DIRECTORIES:
                    self.directories.append(made.ino)
            case "link":
                made = files.link(files.lookup(ROOT, spare).ino, *key)
            case _:
                files.rename(ROOT, spare, *key, RENAME_NOREPLACE)
                made = files.lookup(*key)
        self._won(person, key, made.ino)
        if how == "make":
            # A program that writes to it: the name waits for the content, a second at most.
            await files.write(person.writing[-1], 0, person.name.encode())

    def _won(self, person: _Person, key: _Key, ino: InodeNo) -> None:
        """Note that *person* was told that *key* is his. In the step in which he was."""
        key = person.now(key)
        now = asyncio.get_running_loop().time()
        asked_at = person.asked_at(key.directory)
        claim = _Claim(person.name, ino, now, asked_at, person.is_agreed(key.directory))
        other = self.claims.get(key)
        if other is not None:
            assert (
                not claim.is_agreed or not other.is_agreed or self._was_lost(person, key, other)
            ), f"{key} was won by {other} and {claim}"
            self.happened["overridden"] += 1
            # Whoever was late may still be the first in the log: docs/design/0012-leases.md, "What remains".
            self.unsettled.add(key)
        self.claims[key] = claim
        self.happened["won" if claim.is_agreed else "won alone"] += 1

    def _was_lost(self, person: _Person, key: _Key, other: _Claim) -> bool:
        """Tell whether *other* was silent for so long that *person* could take its directory, or has known since."""
        device = self._door(other).device
        heard_at = max(other.asked_at, self.log.newest.get(device, -math.inf))
        silent_s = asyncio.get_running_loop().time() - heard_at
        if silent_s >= _SILENT_S or other.at < self.log.came_back.get(device, 0):
            return True
        # It came back, and has its work as a conflict copy.
        names = person.seat.layer.replica.tree.names_of(other.ino)
        return bool(names) and tuple(key) not in names

    def _door(self, claim: _Claim) -> Daemon:
        return self.studio.doors[claim.person]

    def _remove(self, person: _Person, key: _Key) -> None:
        files = person.seat.layer.files
        found = files.lookup(*key)
        if found.is_directory:
            files.rmdir(*key)
        else:
            files.unlink(*key)
        key = person.now(key)
        self.unsettled.add(key)
        claim = self.claims.get(key)
        if claim is not None and claim.ino == found.ino:
            del self.claims[key]

    async def _end(self) -> None:
        for person in self.people:
            person.door.reachable = True
            person.door.faults.clear()
            await person.close()
        for _ in range(_REST_S):
            if self._is_at_rest():
                break
            await asyncio.sleep(1)
        else:
            raise AssertionError(f"not at rest after {_REST_S} s")
        one, other = (person.seat.layer.replica.tree for person in self.people)
        for key, claim in self.claims.items():
            is_there = all(
                tree.attributes(key.directory) is not None
                and tree.now(key.directory) == key.directory
                for tree in (one, other)
            )
            if is_there and claim.is_agreed and key not in self.unsettled:
                found = [tree.lookup(*key) for tree in (one, other)]
                inos = {None if each is None else each.ino for each in found}
                assert inos == {claim.ino}, f"{key} is {inos} and was won by {claim}"
        for directory in self.directories:
            if one.attributes(directory) is not None and other.attributes(directory) is not None:
                names = list(one.names_in(directory))
                assert names == list(other.names_in(directory)), "two histories"
                self.happened["copies"] += sum(b"(conflict" in name for name in names)
        await asyncio.sleep(_REST_S)  # nobody goes without the bucket's word any more
        for number, person in enumerate(self.people):
            key = _Key(ROOT, b"last %d" % number)
            await person.seat.layer.files.exclusively(*key, 0)
            assert person.is_agreed(ROOT), "who waits gets it"
        for person in self.people:
            await person.die()

    def _is_at_rest(self) -> bool:
        replicas = [person.seat.layer.replica for person in self.people]
        return (
            not any(replica.pending.has_work() for replica in replicas)
            and len({replica.pending.head().seq for replica in replicas}) == 1
        )


def run_seed(seed: int) -> Counter[str]:
    """Play one seed; return what happened. Raises AssertionError."""
    with tempfile.TemporaryDirectory(prefix="lucid-names-") as home:
        run = _Run(seed, Path(home))
        run_virtual(run.play, seed)
        return run.happened
