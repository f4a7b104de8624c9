"""Leases that are asked for over the links of an office: one entry hands them on, and no word is trusted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from lock_seats import Office, Seat, never

from lucidnode.fs.commit.signs_of_life import LEASE_MARGIN_S, LEASE_TTL_S
from lucidnode.fs.errors import LockHeld
from lucidnode.fs.format.office_message import ASKING_SIZE, LeaseRecall
from lucidnode.fs.leases.recalls import AGAIN_S, FORGOTTEN_S
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import LOCKS_LEASE
from lucidnode.node.client import mount_messages

POLL_S = 11.0
"""Nobody is told of entries here: each that is waited for is found by asking every five seconds."""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path, linked=True)
    yield office
    for seat in (office.a, office.b):
        seat.desk.node.check()
        seat.desk.node.close()


def entries(office: Office) -> int:
    return len(office.bucket.entries)


async def works_alone(office: Office, seat: Seat, seconds: float) -> None:
    """Let *seat* commit something every ten seconds, while the other makes no entry."""
    for number in range(round(seconds / 10)):
        seat.desk.node.set_xattr(office.files[-1], b"user.work", b"%d" % number)
        await office.clock.pass_by(10)


async def locked(office: Office, seat: Seat, ino: InodeNo, within_s: float = POLL_S) -> int:
    """Lock and unlock; return how many entries that made."""
    before = entries(office)
    async with asyncio.TaskGroup() as group:
        await office.done(group.create_task(seat.lock(ino, given_up=never())), within_s)
    seat.unlock(ino)
    return entries(office) - before


async def test_a_lock_is_handed_on_by_one_entry_whoever_rested_how_long(office: Office) -> None:
    ino = office.files[0]
    async with office.working() as (a, b):
        await office.holds(a, ino)
        for rest_s in (0.0, 2 * LEASE_TTL_S, 0.0, 2 * LEASE_TTL_S):
            for seat, other in ((b, a), (a, b)):
                await works_alone(office, other, rest_s)
                await office.clock.pass_by(0.5)
                assert seat.desk.committer.life.ours_for() <= 0 or not rest_s
                assert await locked(office, seat, ino) == 1
                row = seat.row(ino)
                assert row is not None
                assert (row.holder, row.given) == (seat.device, True)


async def test_what_was_done_under_a_lock_goes_in_the_entry_that_hands_it_on(
    office: Office,
) -> None:
    ino = office.files[0]
    async with office.working() as (a, b):
        await office.holds(a, ino)
        for number, (seat, other) in enumerate(((a, b), (b, a), (a, b))):
            seen = b"%d" % number
            await locked(office, seat, ino)
            await office.clock.pass_by(1)
            seat.desk.node.set_xattr(ino, b"user.seen", seen)
            assert await locked(office, other, ino) == 1
            assert other.desk.node.replica.tree.xattr(ino, b"user.seen") == seen


async def test_who_is_at_it_when_he_is_asked_hands_it_on_with_what_he_did(office: Office) -> None:
    ino = office.files[0]
    async with office.working() as (a, b), asyncio.TaskGroup() as group:
        await office.holds(a, ino)
        await a.lock(ino)
        await office.clock.pass_by(1)
        waiting = group.create_task(b.lock(ino, given_up=never()))
        await office.clock.until(lambda: bool(a.recalls.asked_for(LOCKS_LEASE)))
        before = entries(office)
        a.desk.node.set_xattr(ino, b"user.seen", b"under the lock")
        a.unlock(ino)
        await office.done(waiting, POLL_S)
        assert entries(office) == before + 1
        assert b.desk.node.replica.tree.xattr(ino, b"user.seen") == b"under the lock"


async def test_much_work_is_committed_while_programs_here_go_on(office: Office) -> None:
    """Else they would be kept out for as long as a film takes to the bucket."""
    ino = office.files[0]
    async with office.working() as (a, b):
        await office.holds(a, ino)
        await office.clock.pass_by(1)
        a.films.add(ino)
        a.desk.node.set_xattr(ino, b"user.seen", b"a film")
        assert await locked(office, b, ino) == 2
        assert b.desk.node.replica.tree.xattr(ino, b"user.seen") == b"a film"


async def test_what_waits_for_its_lock_to_be_let_go_costs_one_entry_as_well(office: Office) -> None:
    ino = office.files[0]
    async with office.working() as (a, b), asyncio.TaskGroup() as group:
        await office.holds(a, ino)
        await a.lock(ino)
        before = entries(office)
        waiting = group.create_task(b.lock(ino, given_up=never()))
        await office.clock.pass_by(8)
        assert not waiting.done()
        a.unlock(ino)
        await office.done(waiting, POLL_S)
        assert entries(office) == before + 1


async def test_who_does_not_want_to_wait_is_told_over_the_link_that_it_is_locked(
    office: Office,
) -> None:
    ino = office.files[0]
    async with office.working() as (a, b):
        await office.holds(a, ino)
        await a.lock(ino)
        before, begun = entries(office), office.clock.boot()
        with pytest.raises(LockHeld):
            await office.done(asyncio.ensure_future(b.lock(ino)))
        assert office.clock.boot() - begun < 2
        await office.clock.pass_by(FORGOTTEN_S + 1)
        a.unlock(ino)
        await office.clock.pass_by(5)
        assert entries(office) == before, "who gave up wants it no more"
        assert a.tokens.admits(ino, 1)


async def test_who_was_told_once_that_it_is_locked_asks_again_when_he_tries_again(
    office: Office,
) -> None:
    """As programs do that never wait for a lock: SQLite, and whoever locks with LOCK_NB."""
    ino = office.files[0]
    async with office.working() as (a, b):
        await office.holds(a, ino)
        await a.lock(ino)
        for _ in range(3):
            with pytest.raises(LockHeld):
                await office.done(asyncio.ensure_future(b.lock(ino)))
            await office.clock.pass_by(FORGOTTEN_S + 1)
        a.unlock(ino)
        for _ in range(round(POLL_S)):
            with contextlib.suppress(LockHeld):
                await office.done(asyncio.ensure_future(b.lock(ino)))
                break
            await office.clock.pass_by(1)
        else:
            pytest.fail("refused for ever")
        b.unlock(ino)


@pytest.mark.parametrize("links", ["cut", "silent"])
async def test_without_a_link_it_is_asked_for_by_an_entry(office: Office, links: str) -> None:
    ino = office.files[0]
    office.links.cut = links == "cut"
    office.links.fate = lambda: 0
    async with office.working() as (a, b):
        await office.holds(a, ino)
        await office.clock.pass_by(1)
        begun = office.clock.boot()
        assert await locked(office, b, ino) == 2
        assert office.clock.boot() - begun < POLL_S + (0 if office.links.cut else 2 * AGAIN_S)


async def test_words_that_come_twice_or_late_move_nothing(office: Office) -> None:
    ino = office.files[0]
    office.links.fate = lambda: 3
    async with office.working() as (a, b):
        await office.holds(a, ino)
        for seat in (b, a, b, a):
            await office.clock.pass_by(1)
            assert await locked(office, seat, ino) == 1
        await office.clock.pass_by(1)
        before = entries(office)
        for number in range(len(office.links.said)):
            office.links.repeat(number)
        await office.clock.pass_by(5)
        assert entries(office) == before
        assert a.tokens.admits(ino, 1)


async def test_what_is_not_sealed_by_the_project_for_this_mount_is_no_word(office: Office) -> None:
    ino = office.files[0]
    async with office.working() as (a, b):
        await office.holds(a, ino)
        await office.clock.pass_by(1)
        await locked(office, b, ino)
        sender, receiver, word = office.links.said[0]
        assert (sender, receiver) == (b.device, a.device)
        other = office.links.mounts[a.device]
        for forged in (b"", word[:-1], bytes([word[0] ^ 1]) + word[1:], bytes(len(word))):
            other.heard(b.device, forged)
        other.heard(a.device, word)  # as if it came from somebody else
        before = entries(office)
        await office.clock.pass_by(5)
        assert entries(office) == before


async def test_a_viewer_who_asks_is_given_nothing_that_he_could_not_give_back(
    office: Office,
) -> None:
    ino = office.files[0]
    async with office.working() as (a, b):
        await office.holds(a, ino)
        await office.clock.pass_by(1)
        held, before = a.row(ino), entries(office)
        office.links.viewers.add(b.device)
        fence = 0 if held is None else held.fence
        for _ in range(5):
            b.recalls.say(a.device, LeaseRecall(LOCKS_LEASE, ino, fence, bytes(ASKING_SIZE)))
            await office.clock.pass_by(1)
        assert (a.row(ino), entries(office)) == (held, before)
        assert a.tokens.admits(ino, 1)
        office.links.viewers.clear()
        b.recalls.say(a.device, LeaseRecall(LOCKS_LEASE, ino, fence, bytes(ASKING_SIZE)))
        await office.clock.pass_by(1)
        assert entries(office) == before + 1, "the same word of an editor moves it"


async def test_nobody_uses_by_his_asking_what_he_asked_for_in_another_life(office: Office) -> None:
    """The boot clock of another life says nothing, and others may have read the entry long ago."""
    ino = office.files[0]
    async with office.working() as (a, _):
        await office.holds(a, ino)
        await office.clock.pass_by(1)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(office.b.lock(ino, given_up=never()))
            await office.clock.until(lambda: office.b.row(ino) is not None)
            asking.cancel()
        for task in office.b.running:
            task.cancel()
    office.b.desk.crash()
    async with office.working() as (a, b):
        row = b.row(ino)
        assert row is not None
        assert (row.holder, row.given) == (b.device, True)
        assert not b.tokens.admits(ino, 1)
        assert await locked(office, b, ino) == 1


async def test_what_was_given_to_one_who_fell_silent_is_taken_once_his_time_is_over(
    office: Office, expected_warnings: list[str]
) -> None:
    """He has made no entry for long when it is given to him: that entry is what others count from."""
    expected_warnings.append("no route to the bucket")
    ino = office.files[0]
    async with office.working() as (a, b), asyncio.TaskGroup() as group:
        await office.holds(a, ino)
        await works_alone(office, a, 2 * LEASE_TTL_S)
        await office.done(group.create_task(b.lock(ino, given_up=never())), POLL_S)
        got_at = office.clock.boot()
        b.desk.daemon.reachable = False
        office.links.cut = True
        taking = group.create_task(a.lock(ino, given_up=never()))
        await office.clock.until(lambda: not b.tokens.admits(ino, 1), LEASE_TTL_S)
        assert not taking.done()
        over_at = office.clock.boot()
        assert over_at - got_at <= LEASE_TTL_S - LEASE_MARGIN_S + 1
        await office.done(taking, 2 * LEASE_TTL_S)
        assert office.clock.boot() >= got_at + LEASE_TTL_S - 1


async def test_who_asks_is_told_the_processes_that_have_a_file_on_another_workstation(
    office: Office,
) -> None:
    ino = office.files[0]
    async with office.working() as (a, b):
        await office.holds(a, ino)
        await a.lock(ino)
        await office.clock.until(b.desk.caught_up)
        there = [mount_messages.LockHolder("a", "1 of a", 1, exclusive=True, start=0, last=None)]
        shown = await b.shown().tokens()
        assert shown[-1] == mount_messages.FileToken("0", "a", None, locked=False, holders=there)
        office.links.cut = True
        assert not any(token.holders for token in await b.shown().tokens())
        a.unlock(ino)
