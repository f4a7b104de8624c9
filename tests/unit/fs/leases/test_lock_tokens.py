"""Who decides the locks of a file: nodes that ask, hold, give, fall silent, restart and stand alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from lock_seats import Office, never

from lucidnode.fs.commit.signs_of_life import LEASE_MARGIN_S, LEASE_TTL_S
from lucidnode.fs.errors import Deadlock, FileError, Interrupted, LockHeld, NoLocks
from lucidnode.fs.leases.lease_row import LeaseRow
from lucidnode.fs.leases.lock_tokens import ASK_S, DEADLOCK_S
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import Lease
from lucidnode.node.client import mount_messages


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    for seat in (office.a, office.b):
        seat.desk.node.check()
        seat.desk.node.close()


async def test_who_is_alone_asks_once_for_all_files(office: Office) -> None:
    async with office.working() as (a, _):
        before = len(office.bucket.entries)
        for ino in office.files:
            await office.holds(a, ino)
        assert len(office.bucket.entries) == before + 1
        assert a.row(ROOT) == LeaseRow(holder=a.desk.daemon.device, fence=1)


async def test_a_lock_goes_to_the_other_node_once_it_is_let_go_and_all_is_committed(
    office: Office,
) -> None:
    ino = office.files[0]
    async with office.working() as (a, b), asyncio.TaskGroup() as group:
        await office.holds(a, ino)
        await a.lock(ino)
        waiting = group.create_task(b.lock(ino, given_up=never()))
        await office.clock.pass_by(20)
        assert not waiting.done()
        assert not b.tokens.admits(ino, 1)
        a.desk.node.set_xattr(ino, b"user.seen", b"under the lock")
        settled = b.settled
        a.unlock(ino)
        await office.done(waiting)
        assert b.desk.node.replica.tree.xattr(ino, b"user.seen") == b"under the lock"
        assert b.settled > settled, "the kernel was told before the lock was answered"
        assert not a.tokens.admits(ino, 1)
        assert a.tokens.admits(office.files[1], 1), "another file stays where it was"


async def test_who_has_a_lock_of_a_file_may_have_more_of_it_while_another_node_waits(
    office: Office,
) -> None:
    """Else who holds and asks for more would wait for whoever waits for him."""
    ino = office.files[0]
    async with office.working() as (a, b), asyncio.TaskGroup() as group:
        await office.holds(a, ino)
        await a.lock(ino)
        waiting = group.create_task(b.lock(ino, given_up=never()))
        row = a.row
        await office.clock.until(lambda: (held := row(ino)) is not None and held.wanted == b.device)
        await office.clock.until(lambda: ino in a.tokens._closed)
        more = group.create_task(a.tokens.admitted(ino, 1, None, whole=False))
        await office.done(more, within_s=0.5)
        assert not a.tokens.admits(ino, 2)
        a.unlock(ino)
        await office.done(waiting)


async def test_who_does_not_want_to_wait_is_told_that_another_node_has_it(office: Office) -> None:
    ino = office.files[0]
    async with office.working() as (a, b):
        await office.holds(a, ino)
        await a.lock(ino)
        for most_s in (
            ASK_S + 1,
            0,
        ):  # at first the other is asked; then it has said that it is busy
            begun = office.clock.now
            asking = asyncio.ensure_future(b.lock(ino))
            await office.clock.until(asking.done)
            assert isinstance(asking.exception(), LockHeld)
            assert office.clock.now - begun <= most_s
            await office.clock.pass_by(5)
        a.unlock(ino)
        await office.holds(b, ino)


async def test_nothing_is_used_past_its_time_and_the_silent_one_loses_it(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be")  # its journal is out of reach
    ino = office.files[0]
    async with office.working() as (a, b), asyncio.TaskGroup() as group:
        await office.holds(a, ino)
        a.desk.daemon.reachable = False
        cut_off_at = office.clock.now
        waiting = group.create_task(b.lock(ino, given_up=never()))
        while not waiting.done():
            assert not (a.tokens.admits(ino, 1) and b.tokens.admits(ino, 1)), "two holders"
            await office.clock.pass_by(0.5)
        await waiting
        assert LEASE_TTL_S - 1 < office.clock.now - cut_off_at < 2 * LEASE_TTL_S
        assert not a.tokens.admits(ino, 1)
        a.desk.daemon.reachable = True
        await office.clock.pass_by(10)
        assert not a.tokens.admits(ino, 1)
        b.unlock(ino)
        await office.holds(a, ino)


async def test_locks_that_another_took_over_are_told(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings += ["cannot be", "another took over locks"]
    ino = office.files[0]
    async with office.working() as (a, b), asyncio.TaskGroup() as group:
        await office.holds(a, ino)
        await a.lock(ino)
        a.desk.daemon.reachable = False
        await office.done(group.create_task(b.lock(ino, given_up=never())))
        a.desk.daemon.reachable = True
        await office.clock.pass_by(10)
        assert "programs here believe to hold: 0." in a.desk.causes()
        assert "took over" not in b.desk.causes()
        for seat in (a, b):
            seat.unlock(ino)


async def test_a_sign_of_life_that_came_first_keeps_the_lease(office: Office) -> None:
    """What takes it away was made of a silence that is over: it is not done on top of the entry."""
    a, b = office.a.desk.node, office.b.desk.node
    held = LeaseRow(holder=office.a.desk.daemon.device, fence=1)
    async with office.working():
        a.replica.apply(Lease(ROOT, None, held.encoded(), claims=True))
        await office.clock.until(lambda: office.b.row(ROOT) == held)
    async with office.a.working():
        broken = held.changed(holder=office.b.desk.daemon.device)
        b.replica.apply(Lease(ROOT, held.encoded(), broken.encoded(), claims=True, alone=True))
        b.create(b"beside it")
        a.set_xattr(office.files[3], b"user.alive", b"yes")
        await office.clock.until(office.a.desk.caught_up)
    async with office.working():
        await office.clock.until(office.b.desk.caught_up)
    assert office.b.row(ROOT) == held
    assert b"beside it" in b.names()


async def test_what_is_in_use_is_renewed_and_what_is_not_is_not(office: Office) -> None:
    ino = office.files[0]
    async with office.working() as (a, _):
        await office.holds(a, ino)
        before = len(office.bucket.entries)
        await office.clock.pass_by(2 * LEASE_TTL_S)
        assert len(office.bucket.entries) == before
        assert not a.tokens.admits(ino, 1)
        await office.holds(a, ino)
        await a.lock(ino)
        for _ in range(90):
            assert a.tokens.admits(ino, 1)
            await office.clock.pass_by(1)
        assert 90 / LEASE_TTL_S <= len(office.bucket.entries) - before <= 90 / LEASE_MARGIN_S / 1.5
        a.unlock(ino)


async def test_after_a_restart_nothing_is_held_until_an_entry_of_this_life(office: Office) -> None:
    ino = office.files[0]
    async with office.working() as (a, _):
        await office.holds(a, ino)
    a.desk.crash()
    async with office.working():
        await office.clock.pass_by(1)
        assert not a.tokens.admits(ino, 1)
        await office.holds(a, ino)


async def test_who_was_given_a_lease_has_it_from_when_he_was_last_heard_of(
    office: Office, expected_warnings: list[str]
) -> None:
    """He does not know when the entry was sent that gave it: others may have read it long ago.

    But they have read his own, which asked: until its time is over he needs no other.
    """
    expected_warnings.append("cannot be committed")
    ino = office.files[0]
    async with office.working() as (a, b), asyncio.TaskGroup() as group:
        await office.holds(a, ino)
        await a.lock(ino)
        waiting = group.create_task(b.lock(ino, given_up=never()))
        await office.clock.until(lambda: (row := a.row(ino)) is not None and row.busy)
        assert b.desk.committer.life.ours_for() > 0
        b.desk.daemon.why = "the bucket takes nothing"
        a.unlock(ino)
        await office.clock.until(lambda: (row := b.row(ino)) is not None and row.holder == b.device)
        await office.done(waiting, 3)
        b.unlock(ino)
        await office.clock.until(lambda: b.desk.committer.life.ours_for() <= 0)
        waiting = group.create_task(b.lock(ino, given_up=never()))
        await office.clock.pass_by(3)
        assert not waiting.done()
        b.desk.daemon.why = ""
        await office.done(waiting)


async def test_who_waits_can_be_told_to_stop(office: Office) -> None:
    ino = office.files[0]
    async with office.working() as (a, b):
        await office.holds(a, ino)
        await a.lock(ino)
        given_up = never()
        interrupted = asyncio.ensure_future(b.lock(ino, given_up=given_up))
        ended = asyncio.ensure_future(b.lock(ino, owner=2, given_up=never()))
        await office.clock.pass_by(5)
        given_up.set_result(None)
        await office.clock.until(interrupted.done)
        assert isinstance(interrupted.exception(), Interrupted)
        b.tokens.stop()
        await office.clock.until(ended.done)
        assert isinstance(ended.exception(), NoLocks)


async def test_two_nodes_that_wait_for_each_other_do_not_wait_for_ever(office: Office) -> None:
    one, other = office.files[:2]
    async with office.working() as (a, b):
        await office.holds(a, one)
        await office.holds(b, other)
        await a.lock(one)
        await b.lock(other)
        begun = office.clock.now
        waits = {
            asyncio.ensure_future(seat.lock(ino, given_up=never()))
            for seat, ino in ((a, other), (b, one))
        }
        await office.clock.until(lambda: any(wait.done() for wait in waits))
        assert office.clock.now - begun >= DEADLOCK_S
        assert {type(wait.exception()) for wait in waits if wait.done()} == {Deadlock}
        for wait in waits:
            wait.cancel()
        for seat, ino in ((a, one), (b, other)):
            seat.unlock(ino)


async def test_without_a_bucket_locks_are_refused_or_hold_here_alone_by_choice(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings += ["cannot be", "The bucket is away", "another took over"]
    ino = office.files[0]
    office.a.alone_when_away = True
    async with office.working() as (a, b):
        for seat in (a, b):
            seat.desk.daemon.reachable = False
        await office.clock.pass_by(LEASE_TTL_S + 10)
        await a.lock(ino)
        assert "on this workstation only" in a.desk.causes()
        asking = asyncio.ensure_future(b.lock(ino))
        await office.clock.until(asking.done)
        assert isinstance(asking.exception(), LockHeld)
        for seat in (a, b):
            seat.desk.daemon.reachable = True
        await office.clock.pass_by(20)
        assert "on this workstation only" not in a.desk.causes()
        a.unlock(ino)


async def test_a_machine_that_wakes_up_decides_nothing_by_itself(
    office: Office, expected_warnings: list[str]
) -> None:
    """It was not the bucket that was away."""
    expected_warnings.append("cannot be read")
    ino = office.files[0]
    office.a.alone_when_away = True
    async with office.working() as (a, _):
        await office.holds(a, ino)
        a.desk.daemon.reachable = False
        office.clock.now += 8 * 3600
        assert not a.tokens.admits(ino, 1)
        await office.clock.pass_by(LEASE_TTL_S / 2)
        assert not a.tokens.admits(ino, 1)


async def test_an_unmount_leaves_nothing_held(office: Office) -> None:
    ino = office.files[0]
    async with office.working() as (a, b):
        await office.holds(a, ino)
        a.tokens.resign()
        await office.clock.until(a.desk.caught_up)
        begun = office.clock.now
        await office.holds(b, ino)
        assert office.clock.now - begun < LEASE_TTL_S


async def test_a_file_without_a_name_needs_no_token(office: Office) -> None:
    async with office.working() as (a, b):
        await office.holds(a, office.files[0])
        b.desk.node.unlink(b"0", keep=True)
        await b.lock(office.files[0])


async def test_what_a_member_puts_in_the_place_of_a_row_stops_nobody(office: Office) -> None:
    ino = office.files[0]
    async with office.working() as (a, b):
        for place, value in ((ROOT, b"\xc1 nonsense"), (ino, b"")):
            b.desk.node.replica.apply(Lease(place, None, value))
        await office.clock.until(b.desk.caught_up)
        await office.holds(a, ino)
        await office.holds(b, ino)


def test_an_error_of_a_lease_is_one_that_a_rebase_drops(office: Office) -> None:
    with pytest.raises(FileError, match="not as it was"):
        office.a.desk.node.replica.apply(Lease(ROOT, b"x", b"y"))


async def test_who_decides_and_who_waits_is_shown(office: Office) -> None:
    ino, alone = office.files[:2]
    async with office.working() as (a, b), asyncio.TaskGroup() as group:
        assert await a.shown().tokens() == []
        await office.holds(a, ino)
        await a.lock(ino)
        await a.lock(alone)
        waiting = group.create_task(b.lock(ino, given_up=never()))
        await office.clock.until(lambda: (row := b.row(ino)) is not None and row.busy)
        mine = [mount_messages.LockHolder("", "1 of a", 1, exclusive=True, start=0, last=None)]
        assert await a.shown().tokens() == [
            mount_messages.FileToken("", "", None, locked=False),
            mount_messages.FileToken("1", "", None, locked=True, holders=mine),
            mount_messages.FileToken("0", "", "b", locked=True, holders=mine),
        ]
        assert await b.shown().tokens() == [
            mount_messages.FileToken("", "a", None, locked=False),
            mount_messages.FileToken("0", "a", "", locked=False),
        ]
        a.unlock(ino)
        await office.done(waiting)
        tokens = await a.shown().tokens()
        assert tokens[-1] == mount_messages.FileToken("0", "b", None, locked=False)
        b.unlock(ino)


async def test_to_hand_locks_on_by_the_log_alone_costs_two_entries(office: Office) -> None:
    """One asks, one gives; the work that was done under them goes along."""
    ino = office.files[0]
    async with office.working() as (a, b):
        await office.holds(a, ino)
        for seat in (b, a, b):
            before = len(office.bucket.entries)
            await office.holds(seat, ino)
            await office.clock.pass_by(5)
            assert len(office.bucket.entries) == before + 2
