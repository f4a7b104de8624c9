"""A workstation gets off a lost history: what was lost is put back, or what it has is kept."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from committer_fixture import KEYS, PROJECT, Bucket, Daemon, Desk, VirtualClock

from lucidnode.fs.commit.repair.access import LOOKED_AT_ENTRIES
from lucidnode.fs.commit.repair.findings import Findings, examine, has_leftovers
from lucidnode.fs.commit.repair.put_back import PutBack, put_back
from lucidnode.fs.commit.repair.replica_files import LOST_FILE, REPLICA_FILE
from lucidnode.fs.commit.repair.start_again import start_again
from lucidnode.fs.commit.repair.verdicts import OtherVerdicts, examine_verdicts
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.intents import NewExtent, Write
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.errors import Refused, Unavailable
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.wire import BlocksPutBack, CommitReply, Slot


class KeepingDaemon(Daemon):
    """A daemon that has kept what its desk has seen."""

    def __init__(self, bucket: Bucket, seed: bytes) -> None:
        super().__init__(bucket, seed)
        self.seen: dict[int, bytes] = {}
        self.known_losses: list[Seq] = []
        self.forgot = 0
        self.held: set[bytes] = set()
        self.order: list[bytes | int] = []
        self.proven_since: list[Seq] = []
        """What was proven since it forgot what was kept."""
        self.unanswered = 0
        """Proofs of then that get no answer."""

    async def proven(self, project: ProjectId, seq: Seq) -> Slot | None:
        if self.forgot:
            if self.unanswered:
                self.unanswered -= 1
                raise Unavailable("no answer now")
            self.proven_since.append(seq)
        return await super().proven(project, seq)

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        return self.seen.get(seq)

    async def lost(self, project: ProjectId) -> list[Seq]:
        return self.known_losses

    async def put_back(self, project: ProjectId, seq: Seq) -> CommitReply:
        body = self.seen[seq]
        self.order.append(seq)
        if not self.is_chained(seq, body):
            return CommitReply("unchained", b"")
        there = self.bucket.entries.setdefault(seq, body)
        return CommitReply("committed" if there == body else "lost", there)

    async def forget(self, project: ProjectId) -> None:
        self.forgot += 1


class HeldBlocks:
    """What the office of a daemon has of the blocks of files."""

    def __init__(self, daemon: KeepingDaemon) -> None:
        self._daemon = daemon

    async def put_back(self, project: ProjectId, blocks: Sequence[BlockId]) -> BlocksPutBack:
        self._daemon.order += blocks
        return BlocksPutBack(
            [block for block in blocks if block in self._daemon.held],
            [block for block in blocks if block not in self._daemon.held],
        )


class Access:
    """One desk's access to the project."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.workstation = desk.node.name

    @property
    def device(self) -> DeviceId:
        return self._desk.daemon.device

    def keys(self) -> ProjectKeys:
        return KEYS

    def writer_key(self, device: DeviceId, epoch: int) -> bytes | None:
        return self._desk.devices.get(device)

    async def refresh(self) -> None:
        await self._desk.refresh_roster()


class Office:
    def __init__(self, path: Path) -> None:
        self.clock = VirtualClock()
        self.bucket = Bucket()
        self.desks = [Desk(path, name, self.bucket, self.clock) for name in ("a", "b")]
        self.a, self.b = self.desks
        for desk in self.desks:
            desk.daemon = KeepingDaemon(self.bucket, desk.daemon.seed)
            desk.committer = desk._committer()
            desk.node.blocks = self.a.node.blocks
            for other in self.desks:
                desk.devices[other.daemon.device] = other.daemon.public

    async def settle(self, *desks: Desk) -> None:
        """Have *desks* commit and see everything, and their daemons keep it."""
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(desk.committer.run()) for desk in desks]
            await self.clock.until(lambda: all(desk.caught_up() for desk in desks))
            for loop in loops:
                loop.cancel()
        for desk in desks:
            self.daemon(desk).seen |= self.bucket.entries

    def daemon(self, desk: Desk) -> KeepingDaemon:
        assert isinstance(desk.daemon, KeepingDaemon)
        return desk.daemon

    async def commit(self, desk: Desk, *names: bytes) -> None:
        """Have *desk* make and commit these files, an entry each."""
        for name in names:
            desk.node.write(desk.node.create(name), b"content of " + name)
            await self.settle(desk)

    def lose(self, *numbers: int) -> None:
        for seq in numbers:
            del self.bucket.entries[seq]

    async def examined(self, desk: Desk) -> Findings:
        return await examine(self.daemon(desk), Access(desk), desk.node.replica.pending.head())

    async def put_back(self, desk: Desk, lost: Sequence[Seq]) -> PutBack:
        daemon = self.daemon(desk)
        return await put_back(daemon, HeldBlocks(daemon), Access(desk), desk.node.replica, lost)

    async def verdicts(self, desk: Desk) -> OtherVerdicts | None:
        node = desk.node
        return await examine_verdicts(
            self.daemon(desk),
            Access(desk),
            node.path.parent,
            node.replica.pending.head(),
            self.clock,
            has_alert=False,
        )

    async def start_again(self, desk: Desk, lost: tuple[Seq, ...] = ()) -> list[str]:
        """Have *desk* start again, in a directory as a home has it."""
        node = desk.node
        directory = node.path.parent / f"home of {node.name}"
        directory.mkdir(exist_ok=True)
        node.replica.close()
        place = directory / REPLICA_FILE
        shutil.move(node.path, place)
        node.path = place
        try:
            return await start_again(
                self.daemon(desk), Access(desk), directory, node._open(), lost, self.clock
            )
        finally:
            desk.node.replica = (
                Replica.open(place, KEYS.replica, node.name)
                if (directory / LOST_FILE).exists()
                else node._open()
            )
            desk.committer = desk._committer()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    for desk in office.desks:
        desk.node.check()
        desk.node.close()


async def test_a_history_that_stands_needs_no_repair(office: Office) -> None:
    assert (await office.examined(office.a)).stands
    await office.commit(office.a, b"one")
    findings = await office.examined(office.a)
    assert (findings.stands, findings.head) == (True, 1)


async def test_what_is_kept_of_a_history_that_stands_is_not_forgotten(office: Office) -> None:
    await office.commit(office.a, b"one", b"two")
    daemon, head = office.daemon(office.a), office.a.node.replica.pending.head()
    assert not await has_leftovers(daemon, PROJECT, head)
    daemon.seen[3] = daemon.seen[2]  # of a history that was left by a repair
    assert await has_leftovers(daemon, PROJECT, head)
    del daemon.seen[3]
    daemon.seen[2] = daemon.seen[1]
    assert await has_leftovers(daemon, PROJECT, head)


async def test_what_the_bucket_lost_is_found_and_put_back_for_everybody(office: Office) -> None:
    await office.commit(office.a, b"one", b"two", b"three", b"four")
    before = dict(office.bucket.entries)
    office.lose(3, 4)
    findings = await office.examined(office.a)
    assert findings == Findings(Seq(4), False, Seq(2), (Seq(3), Seq(4)), True)
    await office.put_back(office.a, findings.lost)
    assert office.bucket.entries == before
    assert (await office.examined(office.a)).stands
    await office.settle(office.a, office.b)
    assert office.b.node.rows() == office.a.node.rows()


async def test_an_entry_is_put_back_after_its_blocks_and_names_files_that_lost_one(
    office: Office,
) -> None:
    await office.commit(office.a, b"one", b"two", b"three")
    node, daemon = office.a.node, office.daemon(office.a)
    two, three = (node.found(name).ino for name in (b"two", b"three"))
    block_of = {ino: node.replica.tree.extents(ino, 0, 100)[0].block.id for ino in (two, three)}
    office.lose(2, 3)
    daemon.held = {block_of[two]}
    done = await office.put_back(office.a, (Seq(2), Seq(3)))
    assert done == PutBack(1, frozenset({three}))
    assert daemon.order == [block_of[two], 2, block_of[three], 3]
    assert {2, 3} <= office.bucket.entries.keys()


async def test_a_gap_below_a_head_that_stands_is_found_and_put_back(office: Office) -> None:
    await office.commit(office.a, b"one", b"two", b"three", b"four", b"five")
    before = dict(office.bucket.entries)
    office.lose(2, 3)
    findings = await office.examined(office.a)
    assert findings == Findings(
        Seq(5), False, Seq(1), (Seq(2), Seq(3)), can_put_back=True, gap=True, absent=True
    )
    await office.put_back(office.a, findings.lost)
    assert office.bucket.entries == before
    assert (await office.examined(office.a)).stands


async def test_a_gap_behind_what_another_made_in_the_place_of_a_lost_entry_names_that(
    office: Office,
) -> None:
    """Nothing can be put back on top of it; without it all can."""
    await office.commit(office.a, b"one", b"two", b"three", b"four", b"five")
    before = dict(office.bucket.entries)
    office.lose(2, 3, 4, 5)
    await office.commit(office.b, b"other")
    office.bucket.entries[5] = before[5]
    findings = await office.examined(office.a)
    assert (findings.lost, findings.taken) == ((Seq(3), Seq(4)), (Seq(2),))
    assert findings.gap
    assert not findings.can_put_back
    office.lose(2)
    findings = await office.examined(office.a)
    assert (findings.lost, findings.taken) == ((Seq(2), Seq(3), Seq(4)), ())
    await office.put_back(office.a, findings.lost)
    assert office.bucket.entries == before


async def test_an_older_entry_that_the_daemon_knows_to_be_lost_is_put_back(office: Office) -> None:
    names = [b"f%d" % number for number in range(LOOKED_AT_ENTRIES + 8)]
    await office.commit(office.a, *names)
    before = dict(office.bucket.entries)
    office.lose(2, 3, 200)
    assert (await office.examined(office.a)).lost == (Seq(200),)
    office.daemon(office.a).known_losses = [Seq(2), Seq(3), Seq(4), Seq(200)]
    findings = await office.examined(office.a)
    assert findings.lost == (Seq(2), Seq(3), Seq(200))
    assert findings.can_put_back
    await office.put_back(office.a, findings.lost)
    assert office.bucket.entries == before


async def test_entries_that_were_spoiled_below_a_head_that_stands_are_found(office: Office) -> None:
    await office.commit(office.a, b"one", b"two", b"three", b"four", b"five")
    for number in (2, 4):
        body = office.bucket.entries[number]
        office.bucket.entries[number] = body[:-1] + bytes([body[-1] ^ 1])
    assert await office.examined(office.a) == Findings(
        Seq(5), False, Seq(1), (Seq(2), Seq(4)), can_put_back=True, gap=True
    )


async def test_putting_back_can_be_broken_off_and_done_again(office: Office) -> None:
    await office.commit(office.a, b"one", b"two", b"three")
    before = dict(office.bucket.entries)
    office.lose(1, 2, 3)
    findings = await office.examined(office.a)
    await office.put_back(office.a, findings.lost[:1])
    findings = await office.examined(office.a)
    assert findings.lost == (2, 3)
    for _ in range(2):
        await office.put_back(office.a, findings.lost)
    assert office.bucket.entries == before


async def test_nothing_is_put_back_once_others_have_gone_on(office: Office) -> None:
    await office.commit(office.a, b"one", b"two", b"three")
    office.lose(2, 3)
    await office.commit(office.b, b"theirs")
    findings = await office.examined(office.a)
    assert (findings.common, findings.lost, findings.can_put_back) == (1, (2, 3), False)
    with pytest.raises(Refused, match="others have gone on"):
        await office.put_back(office.a, findings.lost)


async def test_what_is_not_kept_cannot_be_put_back(office: Office) -> None:
    await office.commit(office.a, b"one", b"two")
    office.lose(1, 2)
    del office.daemon(office.a).seen[1]
    findings = await office.examined(office.a)
    assert (findings.stands, findings.lost, findings.can_put_back) == (False, (2,), False)


def pack_without_staging(desk: Desk) -> None:
    """Put what has no block yet into one that is sealed nowhere, as a crash leaves it."""
    node = desk.node
    tails = node.replica.tails.loose()
    block = node.blocks.seal(b"".join(tail.data for tail in tails))
    del node.blocks._held[block.id]
    starts = [sum(len(tail.data) for tail in tails[:number]) for number in range(len(tails))]
    writes = [
        Write(tail.ino, [NewExtent(tail.offset, len(tail.data), block.id, start)], [block], 0)
        for tail, start in zip(tails, starts, strict=True)
    ]
    node.replica.tails.packed(
        block, [(tail.row, start) for tail, start in zip(tails, starts, strict=True)], writes
    )


async def test_who_starts_again_keeps_what_others_never_got(office: Office) -> None:
    """Sent and lost, never sent, a tail, a link, a directory, and a name that others took."""
    a, b = office.a, office.b
    await office.commit(a, b"old")
    await office.settle(b)
    await office.commit(a, b"lost", b"taken.txt")
    office.lose(2, 3)
    b.node.write(b.node.create(b"taken.txt"), b"of b")
    await office.settle(b)
    directory = a.node.mkdir(b"shots")
    tail = a.node.create(b"tail", directory)
    a.node.replica.tails.put(tail, 0, b"a few bytes", 0)
    a.node.set_xattr(tail, b"user.note", b"mine")
    packed = a.node.create(b"packed", directory)
    a.node.replica.tails.put(packed, 0, b"packed bytes", 0)
    a.node.truncate(packed, 4096)
    pack_without_staging(a)
    a.node.unlink(b"old")
    findings = await office.examined(a)
    carried = await office.start_again(a, findings.lost)
    assert sorted(carried)[:3] == ["lost", "shots", "shots/packed"]
    assert len(carried) == 5
    assert office.daemon(a).forgot == 1
    await office.settle(a, b)
    assert a.node.rows() == b.node.rows()
    tree = {path.decode().lstrip("/"): content for path, content in a.node.tree().items()}
    copy = next(path for path in tree if "conflict" in path)
    assert copy.startswith("taken (conflict, a, ")
    assert copy.endswith(".txt")
    assert tree == {
        "old": b"content of old",  # a deletion that was never sent is not carried over
        "lost": b"content of lost",
        "taken.txt": b"of b",
        copy: b"content of taken.txt",
        "shots": "directory",
        "shots/tail": b"a few bytes",
        "shots/packed": b"packed bytes".ljust(4096, b"\0"),
    }
    assert (await office.examined(a)).stands


async def test_what_a_new_start_counted_as_damaged_is_noted_for_when_another_puts_it_back(
    office: Office, expected_warnings: list[str]
) -> None:
    """The daemon takes note of what is damaged by a proof only; without it nobody here hears of that."""
    expected_warnings.append("counts as empty")
    await office.commit(office.a, b"one", b"two", b"three")
    for number in (1, 2):
        body = office.bucket.entries[number]
        office.bucket.entries[number] = body[:-1] + bytes([body[-1] ^ 1])
    daemon = office.daemon(office.a)
    daemon.unanswered = 1
    starting = asyncio.ensure_future(office.start_again(office.a, (Seq(1), Seq(2))))
    await office.clock.until(starting.done)
    assert sorted(starting.result()) == ["one", "two"]
    assert sorted(daemon.proven_since) == [1, 2]


async def test_a_repair_that_fails_leaves_everything_as_it_was(office: Office) -> None:
    await office.commit(office.a, b"one")
    office.lose(1)
    office.a.node.write(office.a.node.create(b"unsent"), b"mine")
    rows, pending = office.a.node.rows(), office.a.node.replica.pending.count()
    office.a.daemon.reachable = False
    with pytest.raises(Unavailable):
        await office.start_again(office.a)
    assert office.a.node.rows() == rows
    assert office.a.node.replica.pending.count() == pending


async def test_what_a_broken_off_repair_left_is_swept_away(office: Office) -> None:
    await office.commit(office.a, b"one")
    office.lose(1)
    directory = office.a.node.path.parent / "home of a"
    directory.mkdir()
    for suffix in ("", "-wal", "-shm"):
        (directory / f"replica.new.db{suffix}").write_bytes(b"half of something")
    assert await office.start_again(office.a, (Seq(1),)) == ["one"]
    await office.settle(office.a, office.b)
    assert office.b.node.content(b"one") == b"content of one"


async def test_who_judged_an_entry_otherwise_finds_it_and_starts_again_with_all_of_its_own(
    office: Office, expected_warnings: list[str]
) -> None:
    """Two did not know the same devices: each goes on, and counts the other's entries as empty."""
    expected_warnings += ["counts as empty", "another history"]
    a, b = office.a, office.b
    await office.commit(a, b"old")
    known = a.devices.pop(b.daemon.device)
    await office.settle(b)
    await office.commit(b, b"of b")
    await office.settle(a)
    await office.commit(a, b"of a")
    await office.settle(b)
    assert a.node.names() == [b"of a", b"old"]
    assert b.node.names() == [b"of b", b"old"]
    assert (await office.examined(a)).stands
    assert await office.verdicts(a) is None, "b is not of the studio as far as a knows"
    a.devices[b.daemon.device] = known
    assert await office.verdicts(b) is None, "b judged as everybody does"
    found = await office.verdicts(a)
    assert found == OtherVerdicts((Seq(3),))
    assert not (a.node.path.parent / "replica.new.db").exists()
    assert await office.start_again(a, found.unheard) == ["of a"]
    await office.settle(a, b)
    assert a.node.rows() == b.node.rows()
    assert a.node.names() == [b"of a", b"of b", b"old"]
    assert await office.verdicts(a) is None
