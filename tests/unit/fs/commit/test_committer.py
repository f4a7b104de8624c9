"""The order of writes: three outcomes of a commit, pushes, polls, forks, sleep and crashes."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure can be repeated

import pytest
from committer_fixture import KEYS, Bucket, Desk, Fault, VirtualClock

from lucidnode.fs.commit.head_check import FRESH_S, MISSING_S
from lucidnode.fs.errors import NoSpace, ReadOnly
from lucidnode.fs.format import sodium
from lucidnode.fs.format.journal_entry import EntryBody, seal_entry
from lucidnode.fs.replica.inode import ROOT
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.journal import entry_hash, signed, signing_message
from lucidnode.node.client.wire import Slot


class Office:
    """Desks that know each other, one bucket, one clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = VirtualClock()
        self.bucket = Bucket()
        self.a, self.b = self.desk("a"), self.desk("b")
        self.b.node.blocks = self.a.node.blocks
        for desk in (self.a, self.b):
            for other in (self.a, self.b):
                desk.devices[other.daemon.device] = other.daemon.public

    def desk(self, name: str) -> Desk:
        return Desk(self.path, name, self.bucket, self.clock)

    def home(self, name: str, of: Desk, *, copied: bool) -> Desk:
        """Return another home *name* with the device key of *of*, its replica *copied* or new."""
        folder = self.path / name
        folder.mkdir()
        for file in of.node.path.parent.glob(f"{of.node.path.name}*") if copied else ():
            shutil.copyfile(file, folder / file.name)
        other = Desk(folder, of.node.name, self.bucket, self.clock)
        other.node.blocks = of.node.blocks
        other.devices.update(of.devices)
        return other

    @contextlib.asynccontextmanager
    async def running(self, *desks: Desk) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(desk.committer.run()) for desk in desks]
            yield
            for loop in loops:
                loop.cancel()

    async def settled(self, *desks: Desk) -> None:
        await self.clock.until(lambda: all(desk.caught_up() for desk in desks))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


@pytest.fixture(autouse=True)
def close(office: Office) -> object:
    yield
    for desk in (office.a, office.b):
        desk.node.check()
        desk.node.close()


async def test_what_one_desk_does_the_other_sees(office: Office) -> None:
    async with office.running(office.a, office.b):
        file = office.a.node.create(b"f")
        office.a.node.write(file, b"content")
        await office.settled(office.a, office.b)
    assert office.b.node.content(b"f") == b"content"
    assert office.b.node.rows() == office.a.node.rows()
    assert [touched.names for touched in office.b.seen] == [{(ROOT, b"f")}]
    assert office.a.seen == []


async def test_changes_gather_into_one_entry(office: Office) -> None:
    async with office.running(office.a):
        for number in range(100):
            office.a.node.create(b"%d" % number)
        await office.settled(office.a)
    assert len(office.bucket.entries) == 1
    assert office.clock.now < 1001


async def test_a_flush_does_not_wait_for_more_to_gather(office: Office) -> None:
    async with office.running(office.a):
        await asyncio.sleep(0.01)
        office.a.node.create(b"f")
        await office.a.committer.until_committed(None)
        assert office.clock.now == 1000
    assert len(office.bucket.entries) == 1


async def test_a_flush_packs_and_commits_tails(office: Office) -> None:
    async with office.running(office.a):
        file = office.a.node.create(b"f")
        office.a.node.replica.tails.put(file, 0, b"tail", 0)
        await office.a.committer.until_committed(None)
        assert office.a.node.replica.tails.loose() == []
        await office.settled(office.a)
    ((_, request),) = office.a.daemon.requests
    assert request.needs == [office.a.node.blocks.seal(b"tail").id]


async def test_tails_are_committed_though_nobody_asks(office: Office) -> None:
    file = office.a.node.create(b"f")
    office.a.node.replica.tails.put(file, 0, b"tail", 0)
    async with office.running(office.a, office.b):
        await office.settled(office.a, office.b)
    assert office.b.node.content(b"f") == b"tail"


@pytest.mark.parametrize(
    "faults",
    [["unknown"], ["applied"], ["unreachable", "unknown", "applied"], ["unknown"] * 5],
)
async def test_an_unknown_outcome_is_committed_exactly_once(
    office: Office, faults: list[Fault], expected_warnings: list[str]
) -> None:
    if "unreachable" in faults:
        expected_warnings.append("cannot be committed now")
    office.a.daemon.faults = list(faults)
    async with office.running(office.a, office.b):
        office.a.node.create(b"f")
        await office.settled(office.a, office.b)
    assert office.a.daemon.faults == []
    assert len(office.bucket.entries) == 1
    assert len({request.unsigned for _, request in office.a.daemon.requests}) == 1
    assert office.a.node.names() == office.b.node.names() == [b"f"]
    assert office.a.seen == []


async def test_while_the_bucket_takes_no_entry_its_reason_is_told(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be committed now: The bucket is full; make room there.")
    office.a.daemon.why = "The bucket is full; make room there."
    async with office.running(office.a):
        office.a.node.create(b"f")
        await office.clock.until(lambda: office.a.alerts.is_on("journal:send"))
        assert "The bucket is full" in office.a.causes()
        office.a.daemon.why = ""
        await office.settled(office.a)
    assert not office.a.alerts.current()


async def test_what_cannot_be_committed_is_told_no_longer_once_nothing_waits(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be committed now")
    office.a.node.create(b"f")
    async with office.running(office.a, office.b):
        await office.settled(office.a, office.b)
        office.a.daemon.why = "The bucket is full; make room there."
        office.a.node.unlink(b"f")
        await office.clock.until(lambda: office.a.alerts.is_on("journal:send"))
        office.b.node.unlink(b"f")  # so another has done what waits here
        await office.settled(office.b)
        await office.clock.until(lambda: not office.a.alerts.current())
    assert office.a.daemon.why


async def test_when_the_bucket_is_back_and_the_disk_is_full_people_are_sent_to_the_disk(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings += ["cannot be committed now", "cannot be read now", "cannot be recorded"]
    desk, names = office.a, Random(1)
    database = desk.node.replica._database

    def disk(pages: int) -> None:
        database.rows(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        while True:
            desk.node.create(names.randbytes(120).hex().encode())

    async with office.running(desk):
        desk.node.create(b"f")
        await office.settled(desk)
        desk.daemon.reachable = False
        await office.clock.pass_by(2 * FRESH_S)
        ((pages,),) = database.rows("PRAGMA page_count")
        disk(pages + 10)
        with pytest.raises(NoSpace):
            fill()
        await office.clock.until(lambda: desk.alerts.is_on("journal:send"))
        assert "no route to the bucket" in desk.causes()
        desk.daemon.reachable = True
        await office.clock.until(lambda: desk.alerts.is_on("journal:record"))
        await office.clock.pass_by(30)
        begun = desk.alerts.begun
        await office.clock.pass_by(120)
        assert [alert.topic for alert in desk.alerts.current()] == ["journal:record"]
        assert desk.alerts.begun == begun, "it came and went"
        disk(1_000_000)
        await office.settled(desk)
    assert not desk.alerts.current()


async def test_a_copied_home_is_told_on_both_workstations(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings.append("Somebody else works as this workstation")
    office.a.node.create(b"before")
    async with office.running(office.a, office.b):
        await office.settled(office.a, office.b)
    twin = office.home("copy", office.a, copied=True)
    async with office.running(office.a, office.b, twin):
        await office.settled(office.a, office.b, twin)
        await office.clock.pass_by(30)
        assert not office.a.alerts.current()
        office.a.node.create(b"one")
        await office.settled(office.a, office.b, twin)
        assert twin.alerts.is_on("twin")
        assert not office.a.alerts.is_on("twin")
        twin.node.create(b"two")
        await office.settled(office.a, office.b, twin)
    assert office.a.alerts.is_on("twin")
    assert not office.b.alerts.current()
    twin.node.replica.close()


async def test_what_another_command_of_this_home_commits_is_no_sign_of_a_copy(
    office: Office,
) -> None:
    office.a.node.create(b"before")
    async with office.running(office.a):
        await office.settled(office.a)
    command = office.home("copy", office.a, copied=True)
    command.daemon.has_signed = office.a.daemon.has_signed  # they ask one daemon
    async with office.running(office.a, command):
        await office.settled(office.a, command)
        for name in (b"one", b"two"):
            command.node.create(name)
            office.a.node.create(b"meanwhile " + name)  # one of the two loses the race
            await office.settled(office.a, command)
            command.node.create(b"later " + name)
            await office.settled(office.a, command)
        assert not office.a.alerts.current()
        assert not command.alerts.current()
    assert len(office.a.node.names()) == 7
    command.node.replica.close()


async def test_what_this_workstation_made_in_an_earlier_life_is_its_own(office: Office) -> None:
    """It crashes with an entry on its way, and what a rollback took is put back later."""
    office.a.daemon.faults = ["applied"]
    async with office.running(office.a):
        office.a.node.create(b"f")
        await office.clock.until(lambda: bool(office.bucket.entries))
    earlier = dict(office.bucket.entries)
    office.a.crash()
    async with office.running(office.a):
        await office.settled(office.a)
    office.bucket.entries.clear()
    new = office.home("new", office.a, copied=False)
    async with office.running(new):
        await office.clock.pass_by(30)
        office.bucket.entries.update(earlier)
        await office.settled(new)
    assert not office.a.alerts.current()
    assert not new.alerts.current()
    new.node.replica.close()


async def test_an_entry_that_lands_late_is_known_as_our_own(office: Office) -> None:
    office.a.daemon.faults = ["hang"]
    async with office.running(office.a):
        office.a.node.create(b"f")
        await office.clock.until(lambda: bool(office.a.daemon.requests))
        # The daemon's reply is lost for ever, but what it did is not.
        office.bucket.entries[1] = office.a.daemon.signed(office.a.daemon.requests[0][1])
        await office.settled(office.a)
    assert office.a.seen == []
    assert office.a.node.names() == [b"f"]


@pytest.mark.parametrize("of_one_file", [True, False])
async def test_who_lost_a_race_waits_until_his_conflict_copy_is_in_the_bucket(
    office: Office, of_one_file: bool
) -> None:
    file = office.a.node.create(b"f")
    office.a.node.write(file, b"before")
    async with office.running(office.a, office.b):
        await office.settled(office.a, office.b)
    office.b.node.write(file, b"from b")
    async with office.running(office.b):
        await office.settled(office.b)
    office.a.node.write(file, b"from a")
    async with office.running(office.a):
        await office.a.committer.until_committed(file if of_one_file else None)
        assert not office.a.node.replica.pending.has_work()
    assert sorted(office.a.node.tree().values()) == [b"from a", b"from b"]


async def test_both_sides_of_a_race_are_kept(office: Office) -> None:
    office.a.node.write(office.a.node.create(b"f"), b"from a")
    office.b.node.write(office.b.node.create(b"f"), b"from b")
    async with office.running(office.a, office.b):
        await office.settled(office.a, office.b)
    assert office.a.node.rows() == office.b.node.rows()
    assert sorted(office.a.node.tree().values()) == [b"from a", b"from b"]
    assert len(office.a.seen + office.b.seen) == 2


async def test_a_hint_has_the_entry_read_from_the_bucket_at_once(office: Office) -> None:
    async with office.running(office.b):
        await office.clock.until(lambda: office.b.daemon.reads > 0)
        async with office.running(office.a):
            office.a.node.create(b"f")
            await office.a.committer.until_committed(None)
        office.b.committer.hinted(Seq(1))
        await office.clock.until(lambda: bool(office.b.seen), seconds=0)
        assert office.b.node.names() == [b"f"]


async def test_what_one_member_says_stops_nobody(office: Office) -> None:
    async with office.running(office.b):
        await office.clock.until(lambda: office.b.daemon.reads > 0)
        office.b.committer.hinted(Seq(2**40))
        await asyncio.sleep(0.01)
        office.b.node.create(b"f")
        await office.b.committer.until_committed(None)
    office.b.crash()
    async with office.running(office.b):
        office.b.node.create(b"g")
        await office.b.committer.until_committed(None)
    assert len(office.bucket.entries) == 2
    assert office.b.causes() == ""


async def test_hints_that_lead_nowhere_cost_no_more_than_polling(office: Office) -> None:
    async with office.running(office.b):
        await office.clock.until(lambda: office.b.daemon.reads > 0)
        before, start = office.b.daemon.reads, office.clock.now
        for number in range(600):
            office.b.committer.hinted(Seq(2**40 + number))
            await office.clock.pass_by(0.1)
        assert office.clock.now >= start + 59
        assert office.b.daemon.reads - before <= 40


async def test_a_bad_entry_in_the_bucket_counts_as_empty_for_everyone(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings.append("counts as empty")
    office.bucket.entries[1] = b"garbage"
    office.a.node.create(b"f")
    async with office.running(office.a, office.b):
        await office.settled(office.a, office.b)
    assert len(office.bucket.entries) == 2
    assert office.a.node.rows() == office.b.node.rows()
    assert all("counts as empty" in desk.causes() for desk in (office.a, office.b))


async def test_an_entry_of_a_stranger_counts_as_empty_after_the_roster_was_read(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings.append("may not write")
    stranger = office.desk("stranger")
    async with office.running(stranger):
        stranger.node.create(b"theirs")
        await stranger.committer.until_committed(None)
    stranger.node.close()
    async with office.running(office.b):
        await office.clock.until(office.b.caught_up)
    assert office.b.node.names() == []
    assert "counts as empty" in office.b.causes()


async def test_a_device_that_just_joined_is_found_in_the_roster(office: Office) -> None:
    newcomer = office.desk("newcomer")
    async with office.running(newcomer):
        newcomer.node.create(b"theirs")
        await newcomer.committer.until_committed(None)
    newcomer.node.close()
    office.b.unread[newcomer.daemon.device] = newcomer.daemon.public
    async with office.running(office.b):
        await office.clock.until(office.b.caught_up)
    assert office.b.node.names() == [b"theirs"]
    assert office.b.causes() == ""


async def test_a_device_nobody_accepts_stops_instead_of_filling_the_journal(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings += ["made you a viewer", "may not write", "are not accepted"]
    del office.a.devices[office.a.daemon.device]
    async with office.running(office.a):
        office.a.node.create(b"f")
        with pytest.raises(ReadOnly):
            await office.a.committer.until_committed(None)
    assert len(office.bucket.entries) == 1
    assert office.a.committer.stopped is not None


def astray(office: Office, seq: int, previous: bytes) -> bytes:
    """Return an entry that b signed on top of *previous*."""
    seed, device = office.b.daemon.seed, office.b.daemon.device
    unsigned = seal_entry(
        KEYS, Seq(seq), previous, device, EntryBody(1, b""), attempt=b"1" * 16, nonce=b"2" * 32
    )
    return signed(unsigned, sodium.sign(seed, signing_message(unsigned)))


async def test_an_entry_made_on_another_history_counts_as_empty_while_ours_stands(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings.append("another history")
    async with office.running(office.a, office.b):
        office.a.node.create(b"f")
        await office.settled(office.a, office.b)
    office.bucket.entries[2] = astray(office, 2, b"?" * 32)
    async with office.running(office.a, office.b):
        await office.settled(office.a, office.b)
        office.a.node.create(b"g")
        await office.settled(office.a, office.b)
    assert office.a.committer.stopped is None
    assert office.a.node.rows() == office.b.node.rows()
    assert f"Device {office.b.daemon.device[:8]} stands on another history" in office.a.causes()


async def refused(office: Office) -> None:
    """See that a flush of a ends with ReadOnly: once our head has been missing for long enough."""
    begun = office.clock.now
    async with asyncio.TaskGroup() as group:
        flushing = group.create_task(_refused(office.a))
        await office.clock.until(flushing.done)
    assert office.clock.now - begun >= MISSING_S


async def _refused(desk: Desk) -> None:
    with pytest.raises(ReadOnly):
        await desk.committer.until_committed(None)


@pytest.mark.parametrize("next_writer", ["a", "b"])
async def test_when_a_store_lets_two_commits_win_nobody_builds_on_the_wrong_one(
    office: Office, next_writer: str, expected_warnings: list[str]
) -> None:
    expected_warnings += ["read-only here", "no longer has journal entry"]
    a, b = office.a, office.b
    a.node.create(b"lost")
    async with office.running(a):
        await office.settled(a)
    del office.bucket.entries[1]  # and b, who never saw it, is told that it won as well
    b.node.create(b"kept")
    async with office.running(b):
        await office.settled(b)
    async with office.running(a, b):
        (a if next_writer == "a" else b).node.create(b"next")
        await office.clock.until(lambda: a.committer.stopped is not None)
        await office.clock.until(lambda: not b.node.replica.pending.has_work())
    assert b.committer.stopped is None
    assert a.node.replica.pending.head().seq == 1


async def test_a_head_that_is_missing_for_a_while_keeps_nobody_from_working(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings.append("no longer has journal entry")
    async with office.running(office.a):
        office.a.node.create(b"f")
        await office.a.committer.until_committed(None)
        lost = office.bucket.entries.pop(1)
        await office.clock.until(lambda: "no longer has journal entry 1" in office.a.causes())
        office.a.node.create(b"g")
        await office.clock.pass_by(20)
        assert office.bucket.entries == {}, "nothing is built on what is missing"
        office.bucket.entries[1] = lost
        await office.settled(office.a)
        assert office.a.causes() == ""
    assert len(office.bucket.entries) == 2


async def test_the_time_a_head_must_be_missing_begins_anew_once_it_was_seen(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings.append("no longer has journal entry")
    a = office.a
    async with office.running(a):
        for name in (b"f", b"g"):
            a.node.create(name)
            await a.committer.until_committed(None)
            head = len(office.bucket.entries)
            for _ in range(2):
                lost = office.bucket.entries.pop(head)
                a.committer.hinted(Seq(head))
                await office.clock.until(lambda: "no longer has" in a.causes())
                await office.clock.pass_by(MISSING_S * 2 / 3)
                assert a.committer.stopped is None
                office.bucket.entries[head] = lost
                a.committer.hinted(Seq(head))
                await office.clock.until(lambda: "no longer has" not in a.causes())
    assert a.committer.stopped is None


async def test_the_time_a_head_must_be_missing_is_not_counted_from_another_that_was(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings.append("no longer has journal entry")
    a, b = office.a, office.b
    async with office.running(a):
        a.node.create(b"f")
        await a.committer.until_committed(None)
    async with office.running(b):
        b.node.create(b"g")
        await office.settled(b)
    second = office.bucket.entries.pop(2)
    async with office.running(a):
        del office.bucket.entries[1]
        await office.clock.until(lambda: "no longer has journal entry 1" in a.causes())
        await office.clock.pass_by(MISSING_S * 2 / 3)
        office.bucket.entries[2] = second
        a.committer.hinted(Seq(2))
        await office.clock.until(lambda: a.node.replica.pending.head().seq == 2)
        del office.bucket.entries[2]
        await office.clock.until(lambda: "no longer has journal entry 2" in a.causes())
        await office.clock.pass_by(MISSING_S * 2 / 3)
        assert a.committer.stopped is None


async def test_a_head_that_is_there_again_ends_the_alert_and_work_goes_on(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings += ["read-only here", "no longer has journal entry"]
    async with office.running(office.a):
        office.a.node.create(b"f")
        await office.a.committer.until_committed(None)
        lost = office.bucket.entries.pop(1)
        await office.clock.until(lambda: office.a.committer.stopped is not None)
        [alert] = office.a.alerts.current()
        assert "lucidnode repair" in alert.remedy
        with pytest.raises(ReadOnly):
            office.a.node.create(b"g")
        office.bucket.entries[1] = lost
        await office.clock.until(lambda: office.a.committer.stopped is None)
        assert office.a.causes() == ""
        office.a.node.create(b"g")
        await office.a.committer.until_committed(None)
    assert len(office.bucket.entries) == 2


async def test_one_flipped_bit_parts_nobody_from_the_others(office: Office) -> None:
    def flipped(slot: Slot | None) -> Slot | None:
        assert slot is not None
        assert slot.body is not None
        body = slot.body[:150] + bytes([slot.body[150] ^ 1]) + slot.body[151:]
        return Slot(entry_hash(body), body)

    async with office.running(office.a):
        office.a.node.create(b"f")
        await office.a.committer.until_committed(None)
    office.b.daemon.glances[1] = flipped
    async with office.running(office.b):
        await office.clock.until(office.b.caught_up)
        office.b.node.create(b"g")
        await office.b.committer.until_committed(None)
        office.b.daemon.glances[2] = flipped  # and on the way to our own head
        await office.clock.pass_by(FRESH_S + 10)
        assert office.b.daemon.glances == {}
    assert office.b.committer.stopped is None
    assert sorted(office.b.node.names()) == [b"f", b"g"]
    assert office.b.causes() == ""


async def test_two_who_judged_an_entry_differently_notice_at_the_next(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings += ["counts as empty", "another history"]
    newcomer = office.desk("newcomer")
    async with office.running(newcomer):
        newcomer.node.create(b"theirs")
        await newcomer.committer.until_committed(None)
    newcomer.node.close()
    office.b.devices[newcomer.daemon.device] = newcomer.daemon.public
    async with office.running(office.a, office.b):
        await office.settled(office.a, office.b)
        office.b.node.create(b"of b")  # on top of the entry that a counted as empty
        await office.settled(office.a, office.b)
    assert office.a.node.names() == []
    assert "another history" in office.a.causes()


async def test_a_head_that_vanished_stops_the_mount_at_its_start(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings += ["read-only here", "no longer has journal entry"]
    async with office.running(office.a):
        office.a.node.create(b"f")
        await office.a.committer.until_committed(None)
    office.a.crash()
    office.bucket.entries.clear()
    office.a.node.create(b"g")
    async with office.running(office.a):
        await refused(office)
    assert office.bucket.entries == {}


async def test_a_desk_that_slept_too_long_confirms_its_head_before_it_writes(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings += ["read-only here", "no longer has journal entry"]
    async with office.running(office.a):
        office.a.node.create(b"f")
        await office.a.committer.until_committed(None)
        await asyncio.sleep(0.01)
        office.clock.now += FRESH_S + 1
        # While it slept, entries came and were collected behind a checkpoint.
        del office.bucket.entries[1]
        office.a.node.create(b"g")
        await refused(office)
    assert office.bucket.entries == {}, "it must not take a slot that was collected"


async def test_a_reply_that_took_too_long_is_confirmed(
    office: Office, expected_warnings: list[str]
) -> None:
    """Uploads may take hours: then the commit counts once the head is seen to be there still."""
    expected_warnings += ["read-only here", "no longer has journal entry"]
    async with office.running(office.a):
        office.a.node.create(b"f")
        await office.a.committer.until_committed(None)

        def suspend() -> None:
            office.clock.now += FRESH_S + 1

        office.a.daemon.before_answer = suspend
        office.a.node.create(b"g")
        await office.a.committer.until_committed(None)
        assert office.a.node.replica.pending.head().seq == 2

        def suspend_and_collect() -> None:
            suspend()
            del office.bucket.entries[2]

        office.a.daemon.before_answer = suspend_and_collect
        office.a.node.create(b"h")
        await refused(office)
    assert office.a.node.replica.pending.count() > 0, "the work is kept"


async def test_what_comes_first_from_another_is_seen_while_our_upload_takes_hours(
    office: Office,
) -> None:
    office.a.daemon.faults = ["hang"]
    async with office.running(office.a, office.b):
        office.a.node.create(b"slow")
        await office.clock.until(lambda: bool(office.a.daemon.requests))
        office.b.node.create(b"quick")
        await office.settled(office.a, office.b)
    assert office.a.node.names() == [b"quick", b"slow"]
    assert office.a.node.rows() == office.b.node.rows()


async def test_without_a_daemon_work_waits_and_is_told_once(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings += ["cannot be committed now", "cannot be read now"]
    office.a.daemon.reachable = False
    async with office.running(office.a):
        office.a.node.create(b"f")
        await office.clock.pass_by(120)
        assert len(office.a.alerts.current()) <= 2
        assert office.a.node.replica.pending.count() == 1
        office.a.daemon.reachable = True
        await office.settled(office.a)
    assert len(office.bucket.entries) == 1


async def test_an_idle_desk_asks_the_bucket_every_few_seconds_only(office: Office) -> None:
    async with office.running(office.a):
        await office.clock.until(lambda: office.a.daemon.reads > 0)
        before, start = office.a.daemon.reads, office.clock.now
        await office.clock.until(lambda: office.clock.now > start + 60)
        assert 10 <= office.a.daemon.reads - before <= 20


@pytest.mark.parametrize("seed", range(12))
async def test_desks_converge_through_crashes_and_lost_replies(
    office: Office,
    seed: int,
    caplog: pytest.LogCaptureFixture,
    expected_warnings: list[str],
) -> None:
    random = Random(seed)
    desks = [office.a, office.b]
    faults: list[Fault] = ["none", "none", "unknown", "applied", "unreachable"]
    made: set[bytes] = set()
    for life in range(4):
        for desk in desks:
            desk.daemon.faults = random.choices(faults, k=6)
        async with office.running(*desks):
            for number in range(12):
                desk = random.choice(desks)
                name = b"%s-%d-%d" % (desk.node.name.encode(), life, number)
                desk.node.write(desk.node.create(name), name)
                made.add(name)
                if random.random() < 0.5:
                    desk.node.replica.tree.lookup(ROOT, b"same") or desk.node.create(b"same")
                if random.random() < 0.3:
                    await office.clock.pass_by(random.random())
                await asyncio.sleep(0.001)
        for desk in desks:
            if random.random() < 0.7:
                desk.crash()
    for desk in desks:
        desk.daemon.faults = []
    async with office.running(*desks):
        await office.settled(*desks)
    assert office.a.node.rows() == office.b.node.rows()
    contents = {content for content in office.a.node.tree().values() if content}
    assert contents == made
    assert office.a.node.replica.pending.head().link == entry_hash(
        office.bucket.entries[len(office.bucket.entries)]
    )
    if "cannot be committed now" in caplog.text:
        expected_warnings.append("cannot be committed now")
