"""What a journal did, as events: the same on every desk, once each, live and told again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from committer_fixture import KEYS, PROJECT, Bucket, Desk, VirtualClock

from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.events import project_events
from lucidnode.fs.events.entry_chain import EntryChain
from lucidnode.fs.events.event_cursor import MAX_BEHIND
from lucidnode.fs.events.project_events import ProjectEvents
from lucidnode.fs.format import sodium
from lucidnode.fs.format.journal_entry import seal_entry
from lucidnode.fs.leases.write_lease import WriteLease
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import (
    WRITE_LEASE,
    Lease,
    Link,
    Mark,
    Rename,
    Rmdir,
    SetAttributes,
)
from lucidnode.fs.write.marks import OnItsWay, encoded_mark
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import EntryHeader, entry_hash, signed, signing_message
from lucidnode.node.client.mount_messages import EventsPage, EventsQuery, ProjectEvent
from lucidnode.node.client.wire import Slot


class Journal:
    """What a desk's daemon keeps of the journal: everything, but for what a test takes away."""

    def __init__(self, bucket: Bucket, desk: Desk) -> None:
        self._bucket = bucket
        self._desk = desk
        self.read: list[int] = []

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        self.read.append(seq)
        await asyncio.sleep(0)
        return self._bucket.entries.get(seq)

    async def entry(self, project: ProjectId, seq: Seq) -> Slot | None:
        return await self._desk.daemon.entry(project, seq)


class Reader:
    """Somebody who follows the events of a desk."""

    def __init__(self, events: ProjectEvents, name: str = "reader") -> None:
        self._events = events
        self._name = name
        self.after: int | None = None
        self.told = 0
        self.missed: list[tuple[int, int]] = []
        self.heard: list[ProjectEvent] = []

    async def ask(self) -> EventsPage:
        page = await self._events.page(EventsQuery(1, self._name, self.after, self.told))
        self.heard += page.events
        if page.missed_from is not None:
            self.missed.append((page.missed_from, page.after))
        self.after, self.told = page.after, page.told
        return page

    async def read(self, head: int) -> list[str]:
        """Read up to entry *head*; return all that was heard, a line for each."""
        while self.after is None or self.after < head:
            await self.ask()
        return lines(self.heard)


def lines(events: list[ProjectEvent]) -> list[str]:
    """Return *events* as words: what, path, from where, state if it is another than cloud."""
    told = []
    for each in events:
        words = [each.event, each.path]
        words += [f"from {each.old_path}"] if each.old_path is not None else []
        words += [each.state] if each.state != "cloud" else []
        told.append(" ".join(words))
    return told


class Office:
    """Two desks over one bucket, and the events of each."""

    def __init__(self, path: Path) -> None:
        self.clock = VirtualClock()
        self.bucket = Bucket()
        self.a, self.b = (Desk(path, name, self.bucket, self.clock) for name in "ab")
        self.b.node.blocks = self.a.node.blocks
        for desk in (self.a, self.b):
            for other in (self.a, self.b):
                desk.devices[other.daemon.device] = other.daemon.public
        self.journals = {desk: Journal(self.bucket, desk) for desk in (self.a, self.b)}

    def events(self, desk: Desk, most_behind: int = MAX_BEHIND) -> ProjectEvents:
        codec = EntryCodec(lambda: KEYS, desk.daemon.device, desk.writer_key, bytes)
        return ProjectEvents(
            desk.node.replica,
            EntryChain(self.journals[desk], PROJECT, codec),
            lambda: desk.committer.progress,
            lambda device: ("Anna" if device == self.a.daemon.device else "Ben", device[:4]),
            self.clock,
            most_behind,
        )

    def reader(self, desk: Desk, since: int | None = None, **how: int) -> Reader:
        reader = Reader(self.events(desk, **how))
        reader.after = since
        return reader

    async def commit(self, *desks: Desk) -> int:
        """Have everything committed and seen by *desks*; return the newest entry's number."""
        await self.clock.until(lambda: all(desk.caught_up() for desk in desks or (self.a, self.b)))
        return len(self.bucket.entries)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(desk.committer.run()) for desk in (self.a, self.b)]
            yield
            for loop in loops:
                loop.cancel()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    for desk in (office.a, office.b):
        desk.node.close()


def rename(desk: Desk, old: bytes, new: bytes, parent: InodeNo = ROOT) -> None:
    desk.node.replica.apply(Rename(parent, old, parent, new, desk.node.time()))


async def busy_week(office: Office) -> int:
    """Do a bit of everything on both desks, in several entries."""
    a, b = office.a.node, office.b.node
    shots = a.mkdir(b"shots")
    clip = a.create(b"clip", shots)
    a.write(clip, b"take one")
    await office.commit()
    rename(office.b, b"shots", b"takes")
    b.write(clip, b"take two!")
    await office.commit()
    a.create(b"clip.new", shots)
    rename(office.a, b"clip.new", b"clip", shots)
    a.replica.apply(Link(a.found(b"clip", shots).ino, ROOT, b"best", a.time()))
    await office.commit()
    b.replica.apply(SetAttributes(shots, b.time(), mode=0o700))
    b.unlink(b"best")
    await office.commit()
    a.unlink(b"clip", shots)
    a.replica.apply(Rmdir(ROOT, b"takes", a.time()))
    return await office.commit()


WEEK = [
    "create shots",
    "create shots/clip",
    "rename takes from shots",
    "write takes/clip",
    "create best",
    "create takes/clip",
    "delete best",
    "attributes takes",
    "delete takes/clip",
    "delete takes",
]


async def test_who_decides_locks_is_no_event(office: Office) -> None:
    reader = office.reader(office.b, since=0)
    async with office.running():
        office.a.node.replica.apply(Lease(office.a.node.create(b"bin"), None, b"somebody"))
        assert await reader.read(await office.commit()) == ["create bin"]


async def test_who_has_a_file_for_himself_is_told_and_no_renewal_of_it(office: Office) -> None:
    reader = office.reader(office.b, since=0)
    replica = office.a.node.replica
    async with office.running():
        ino = office.a.node.create(b"cut")
        told = ["create cut"]
        assert await reader.read(await office.commit()) == told
        value: bytes | None = None
        opened = WriteLease(holder=DeviceId("ab" * 16), fence=1, taken=False, since_ns=0)
        taken = opened.with_taken(taken=True)
        for row, more in (
            (opened, ["lock cut"]),
            (opened.renewed(), []),
            (taken, ["lock cut"]),
            (taken.broken(), ["unlock cut"]),
            (opened, ["lock cut"]),
            (None, ["unlock cut"]),
        ):
            after = None if row is None else row.encoded()
            replica.apply(Lease(ino, value, after, name=WRITE_LEASE))
            told += more
            head = await office.commit()
            if more:
                assert await reader.read(head) == told
            value = after


async def test_both_desks_tell_the_same_live_and_again_from_the_journal(office: Office) -> None:
    async with office.running():
        live = [office.reader(desk, since=0) for desk in (office.a, office.b)]
        async with asyncio.TaskGroup() as group:
            head = 5
            reading = [group.create_task(reader.read(head)) for reader in live]
            assert await busy_week(office) == head
            await office.clock.pass_by(60)
        assert await reading[0] == WEEK
        assert live[1].heard == live[0].heard
        for desk in (office.a, office.b):
            again = office.reader(desk, since=0)
            await again.read(head)
            assert again.heard == live[0].heard
    assert [(event.seq, event.member) for event in live[0].heard if event.number == 0] == [
        (1, "Anna"),
        (2, "Ben"),
        (3, "Anna"),
        (4, "Ben"),
        (5, "Anna"),
    ]
    assert not live[0].missed


async def test_a_reader_begins_with_what_comes_next_or_after_the_entry_it_names(
    office: Office,
) -> None:
    async with office.running():
        head = await busy_week(office)
        now = office.reader(office.a)
        assert await now.read(head) == []
        office.a.node.create(b"later")
        head = await office.commit()
        assert await now.read(head) == ["create later"]
        assert await office.reader(office.b, since=head - 2).read(head) == [
            *WEEK[-2:],
            "create later",
        ]


NO_COMMITS = "Changes cannot be committed now"
NO_READING = "The journal cannot be read now"


async def test_what_waits_here_changes_no_path_of_what_is_committed(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings.append(NO_COMMITS)
    async with office.running():
        shots = office.a.node.mkdir(b"shots")
        await office.commit()
        office.a.daemon.reachable = False
        rename(office.a, b"shots", b"renamed here")
        office.a.node.create(b"mine", shots)
        office.b.node.create(b"theirs", shots)
        await office.commit(office.b)
        office.a.daemon.reachable = True
        await office.clock.until(lambda: office.a.node.replica.pending.head().seq >= 2)
        told = await office.reader(office.a, since=1).read(2)
        assert told[0] == "create shots/theirs"
        head = await office.commit()
        both = [await office.reader(desk, since=0).read(head) for desk in (office.a, office.b)]
        assert both[0] == both[1]


async def test_an_entry_is_told_in_pages_and_a_lost_answer_is_given_again(office: Office) -> None:
    async with office.running():
        for number in range(project_events.PAGE_EVENTS + 10):
            office.a.node.create(b"%05d" % number)
        head = await office.commit()
        reader = office.reader(office.b, since=0)
        first = await reader.ask()
        assert len(first.events) == project_events.PAGE_EVENTS
        reader.after, reader.told = 0, 0
        assert (await reader.ask()).events == first.events, "the same question, the same answer"
        reader.heard = list(first.events)
        assert len(await reader.read(head)) == project_events.PAGE_EVENTS + 10
        # Whoever comes back after the mount was made anew goes on in the middle of the entry.
        other = office.reader(office.b, since=0)
        other.told = project_events.PAGE_EVENTS
        assert len(await other.read(head)) == 10


async def test_what_cannot_be_told_any_more_is_said_with_its_numbers(office: Office) -> None:
    async with office.running():
        for number in range(4):
            office.a.node.create(b"%d" % number)
            await office.commit()
        head = 4
        far = office.reader(office.b, since=0, most_behind=1)
        assert await far.read(head) == ["create 3"]
        assert far.missed == [(1, 3)]
        del office.bucket.entries[2]
        gone = office.reader(office.b, since=0)
        assert await gone.read(head) == ["create 2", "create 3"]
        assert gone.missed == [(1, 2)]


async def test_an_entry_that_was_exchanged_is_not_told(office: Office) -> None:
    async with office.running():
        for number in range(3):
            office.a.node.create(b"%d" % number)
            await office.commit()
        # Authentic, of the same place: its author has made another one, and a store shows that.
        daemon = office.a.daemon
        codec = EntryCodec(lambda: KEYS, daemon.device, office.a.writer_key, bytes)
        first, third = office.bucket.entries[1], office.bucket.entries[3]
        body = codec.open(third, Seq(3), EntryHeader.parse(third).previous)
        other = seal_entry(
            KEYS, Seq(2), entry_hash(first), daemon.device, body, attempt=bytes(16), nonce=bytes(32)
        )
        office.bucket.entries[2] = signed(other, sodium.sign(daemon.seed, signing_message(other)))
        reader = office.reader(office.b, since=0)
        assert await reader.read(3) == ["create 2"]
        assert reader.missed == [(1, 2)]


async def test_states_say_who_is_at_a_file_and_when_it_is_whole(office: Office) -> None:
    async with office.running():
        reader = office.reader(office.b, since=0)
        film = office.a.node.create(b"film")
        device = office.a.daemon.device
        for state in ("writing", "uploading"):
            mark = encoded_mark(OnItsWay(state, device))
            office.a.node.replica.apply(Mark(film, mark))
            await office.commit()
        office.a.node.write(film, b"frames")
        office.a.node.replica.apply(Mark(film, None))
        head = await office.commit()
        assert await reader.read(head) == [
            "create film writing",
            "state film uploading",
            "write film",
        ]
        assert [event.size for event in reader.heard] == [0, None, 6]


async def test_conflict_copies_are_named_when_they_come_and_when_they_are_settled(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings += [NO_COMMITS, NO_READING]
    async with office.running():
        reader = office.reader(office.a, since=0)
        office.a.daemon.reachable = False
        office.a.node.create(b"notes.txt")
        office.b.node.create(b"notes.txt")
        await office.commit(office.b)
        office.a.daemon.reachable = True
        head = await office.commit()
        copy = next(name for name in office.a.node.names() if b"conflict" in name)
        shown = copy.decode()
        assert (await reader.read(head))[1:] == [f"create {shown}", f"conflict {shown}"]
        reader.heard.clear()
        rename(office.b, copy, b"mine.txt")
        head = await office.commit()
        assert await reader.read(head) == [f"rename mine.txt from {shown}", f"settled {shown}"]


async def test_nobody_who_reads_slowly_is_remembered_for_ever(office: Office) -> None:
    async with office.running():
        events = office.events(office.a)
        office.a.node.create(b"first")
        await office.commit()
        followers = office.a.node.replica._watchers.followers
        others = len(followers)
        readers = [Reader(events, str(number)) for number in range(project_events.MAX_READERS + 5)]
        for reader in readers:
            reader.after = 0
            await reader.ask()
        assert len(events._cursors) == project_events.MAX_READERS
        assert len(followers) == others + project_events.MAX_READERS
        office.a.node.create(b"second")
        head = await office.commit()
        for reader in readers:
            assert await reader.read(head) == ["create first", "create second"]


async def test_while_the_bucket_is_away_a_reader_waits_and_misses_nothing(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings.append(NO_READING)
    async with office.running():
        office.a.node.create(b"first")
        head = await office.commit()
        journal = office.journals[office.b]
        journal.kept = nothing_kept  # type: ignore[method-assign]  # its cache is empty
        office.b.daemon.reachable = False
        reader = office.reader(office.b, since=0)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(reader.ask())
            await office.clock.until(asking.done)
        assert (await asking).events == []
        office.b.daemon.reachable = True
        assert await reader.read(head) == ["create first"]


async def nothing_kept(project: ProjectId, seq: Seq) -> bytes | None:
    return None


async def test_a_damaged_copy_on_this_disk_is_asked_of_the_bucket(office: Office) -> None:
    async with office.running():
        office.a.node.create(b"first")
        head = await office.commit()
        office.journals[office.b].kept = damaged  # type: ignore[method-assign]  # a bad disk
        reader = office.reader(office.b, since=0)
        assert await reader.read(head) == ["create first"]
        assert not reader.missed


async def damaged(project: ProjectId, seq: Seq) -> bytes | None:
    return b"not what it was"


async def test_who_follows_has_each_entry_read_twice_and_no_more(office: Office) -> None:
    async with office.running():
        reader = office.reader(office.b)
        await reader.ask()
        for number in range(8):
            office.a.node.create(b"%d" % number)
            await reader.read(await office.commit())
        read = office.journals[office.b].read
        assert max(read.count(seq) for seq in read) <= 2, read
