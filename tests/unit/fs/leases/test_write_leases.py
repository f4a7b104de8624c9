"""Who may write to a project file: programs that open it, people who take it, and who comes too late."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest
from file_layer_fixture import ME
from write_seats import WriteOffice, in_the_office

from lucidnode.fs.errors import (
    FileError,
    HeldElsewhere,
    Invalid,
    LeaseUndecided,
    ReadOnlyHere,
)
from lucidnode.fs.files.file_system import AttributeChanges
from lucidnode.fs.files.opening import HOLDER_XATTR, LOCK_XATTR
from lucidnode.fs.leases.write_lease_rows import WRITE_TTL_S
from lucidnode.fs.leases.write_leases import ANSWER_S, LINGER_S
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import WRITE_LEASE, Lease

HELD = "so programs here cannot write"
BROKEN = "Somebody broke the lock"
OTHERS = "and is open here for writing as well"
AWAY = "cannot be"
"""Its journal is out of reach."""


def test_the_first_writes_and_others_read_and_are_told_who_has_it(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += [HELD]

    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        await office.shared("cut.prproj")
        handle = await a.open("cut.prproj")
        await office.until(lambda: b.lock("cut.prproj") == "open")
        with pytest.raises(ReadOnlyHere) as refused:
            await b.open("cut.prproj")
        assert refused.value.errno == errno.EACCES
        assert "ana" in str(refused.value)
        assert b.alerts() == ["held"]
        assert b.layer.files.xattrs.get(b.ino("cut.prproj"), HOLDER_XATTR) == b"ana"
        reading = await b.open("cut.prproj", os.O_RDONLY)
        assert await b.layer.files.read(reading, 0, 100) == b"first cut"
        await a.write(handle, b"final cut")
        await a.close(handle)
        await office.until(lambda: not b.lock("cut.prproj"))
        assert not b.alerts()
        assert await b.read("cut.prproj") == b"final cut", "first the content, then the lock"
        await b.close(await b.open("cut.prproj"))
        assert len(b.names()) == 1

    in_the_office(tmp_path, work)


def test_a_mount_may_say_that_it_is_busy(tmp_path: Path, expected_warnings: list[str]) -> None:
    expected_warnings += [HELD]

    async def work(office: WriteOffice) -> None:
        await office.shared("cut.prproj")
        await office.a.open("cut.prproj")
        await office.until(lambda: office.b.lock("cut.prproj"))
        for flags in (os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
            with pytest.raises(HeldElsewhere) as refused:
                await office.b.open("cut.prproj", flags)
            assert refused.value.errno == errno.EBUSY
        assert await office.b.read("cut.prproj") == b"first cut"

    in_the_office(tmp_path, work, elsewhere="busy")


def test_of_two_who_open_at_once_one_wins(tmp_path: Path, expected_warnings: list[str]) -> None:
    expected_warnings += [HELD]

    async def work(office: WriteOffice) -> None:
        await office.shared("cut.prproj")
        opening = [asyncio.ensure_future(seat.open("cut.prproj")) for seat in (office.a, office.b)]
        await asyncio.wait(opening)
        opened = [task.exception() or task.result() for task in opening]
        assert sum(isinstance(each, int) for each in opened) == 1
        assert sum(isinstance(each, ReadOnlyHere) for each in opened) == 1

    in_the_office(tmp_path, work)


def test_what_one_makes_and_closes_costs_no_entry_more_and_is_never_locked(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        await office.shared("other.mov")
        before = len(office.bucket.entries)
        await office.shared("other2.mov")
        plain = len(office.bucket.entries) - before
        before = len(office.bucket.entries)
        await office.shared("cut.prproj")
        assert len(office.bucket.entries) - before == plain
        await asyncio.sleep(10 * LINGER_S)
        assert len(office.bucket.entries) - before == plain
        assert not office.b.lock("cut.prproj")

    in_the_office(tmp_path, work)


def test_what_is_made_here_and_stays_open_is_taken(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += [HELD]

    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        _, (handle, _) = a.layer.files.create(ROOT, b"cut.prproj", 0o644, ME, os.O_RDWR, 0)
        await a.write(handle, b"first cut")
        await a.layer.files.sync(handle)
        await office.until(lambda: "cut.prproj" in b.names() and b.lock("cut.prproj") == "open")
        with pytest.raises(ReadOnlyHere):
            await b.open("cut.prproj")

    in_the_office(tmp_path, work)


@pytest.mark.parametrize("synced", [True, False])
def test_who_makes_a_file_and_keeps_it_open_has_it_from_when_others_see_its_name(
    tmp_path: Path, expected_warnings: list[str], synced: bool
) -> None:
    expected_warnings += [HELD]

    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        _, (handle, _) = a.layer.files.create(ROOT, b"cut.prproj", 0o644, ME, os.O_RDWR, 0)
        await a.write(handle, b"first cut")
        if synced:
            await a.layer.files.sync(handle)
            assert a.layer.leases is not None
            assert a.layer.leases.rows.changes(a.ino("cut.prproj")), "asked for with the content"
        for _ in range(400):
            if "cut.prproj" in b.names():
                with pytest.raises(ReadOnlyHere):
                    await b.open("cut.prproj")
            await asyncio.sleep(0.025)
        assert "cut.prproj" in b.names()
        assert not a.alerts(), "whoever made it was never shut out"
        await a.close(handle)

    in_the_office(tmp_path, work)


def test_an_open_costs_one_entry_and_the_end_of_it_another(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        await office.shared("cut.prproj")
        before = len(office.bucket.entries)
        handle = await office.a.open("cut.prproj")
        again = await office.a.open("cut.prproj")
        assert len(office.bucket.entries) == before + 1
        await office.a.close(again)
        await office.a.close(handle)
        await office.until(lambda: not office.a.lock("cut.prproj") and not office.is_busy())
        assert len(office.bucket.entries) == before + 2
        await asyncio.sleep(300)
        assert len(office.bucket.entries) == before + 2, "what is not held is not renewed"

    in_the_office(tmp_path, work)


def test_a_file_that_is_open_for_hours_is_renewed_once_a_minute(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += [HELD]

    async def work(office: WriteOffice) -> None:
        await office.shared("cut.prproj")
        await office.a.open("cut.prproj")
        before = len(office.bucket.entries)
        await asyncio.sleep(1200)
        assert 15 <= len(office.bucket.entries) - before <= 25
        with pytest.raises(ReadOnlyHere):
            await office.b.open("cut.prproj")

    in_the_office(tmp_path, work)


def test_a_broken_lock_fences_what_waits_and_what_is_written_later(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += [BROKEN, AWAY]

    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        await office.shared("cut.prproj")
        handle = await a.open("cut.prproj")
        await office.until(lambda: b.lock("cut.prproj"))
        a.door.reachable = False
        await asyncio.sleep(60)
        await a.write(handle, b"too late!")
        await a.layer.files.flush(handle)
        await b.order("cut.prproj", b"break")
        assert not b.lock("cut.prproj")
        mine = await b.open("cut.prproj")
        a.door.reachable = True
        await office.until(lambda: len(b.names()) == 2)
        assert await b.read("cut.prproj") == b"first cut", "nobody wrote to it since"
        [copy] = [name for name in b.names() if "conflict, ana" in name]
        assert await b.read(copy) == b"too late!"
        assert "lock-lost" in a.alerts()
        await a.write(handle, b"even later")
        await a.close(handle)
        await b.write(mine, b"ours")
        await b.close(mine)
        await office.until(lambda: not office.is_busy())
        assert await a.read("cut.prproj") == b"ourst cut"
        assert await a.read(copy) == b"even later"
        assert len(a.names()) == 2

    in_the_office(tmp_path, work)


def test_who_had_nothing_waiting_when_his_lock_was_broken_writes_to_a_copy(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += [BROKEN]

    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        await office.shared("cut.prproj")
        handle = await a.open("cut.prproj")
        await office.until(lambda: b.lock("cut.prproj"))
        await b.order("cut.prproj", b"break")
        await office.until(lambda: "lock-lost" in a.alerts())
        with pytest.raises(HeldElsewhere):
            await a.open("cut.prproj")
        await a.write(handle, b"late")
        await a.close(handle)
        await office.until(lambda: len(b.names()) == 2 and not office.is_busy())
        assert await b.read("cut.prproj") == b"first cut"
        [copy] = [name for name in b.names() if "conflict, ana" in name]
        assert await b.read(copy) == b"latet cut"
        await a.close(await a.open("cut.prproj"))

    in_the_office(tmp_path, work)


def test_who_appends_past_his_time_appends_to_a_copy(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    """What both sides append to goes on as one file elsewhere: not where one has it for himself."""
    expected_warnings += [BROKEN, AWAY]

    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        await office.shared("cut.prproj")
        handle = await a.open("cut.prproj", os.O_WRONLY | os.O_APPEND)
        await office.until(lambda: b.lock("cut.prproj"))
        a.door.reachable = False
        await asyncio.sleep(60)
        await a.write(handle, b"+late")
        await a.close(handle)
        await b.order("cut.prproj", b"break")
        a.door.reachable = True
        await office.until(lambda: len(b.names()) == 2)
        assert await b.read("cut.prproj") == b"first cut"

    in_the_office(tmp_path, work)


def test_of_one_who_is_silent_it_is_taken_and_he_is_fenced(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += [HELD, OTHERS]

    expected_warnings.append(AWAY)

    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        await office.shared("cut.prproj")
        handle = await a.open("cut.prproj")
        await office.until(lambda: b.lock("cut.prproj"))
        a.door.reachable = False
        await a.write(handle, b"asleep")
        for _ in range(int(WRITE_TTL_S) - 30):
            await asyncio.sleep(1)
            with pytest.raises(ReadOnlyHere):
                await b.open("cut.prproj")
        mine: list[int] = []
        left = 3 * WRITE_TTL_S
        while not mine:
            try:
                mine.append(await b.open("cut.prproj"))
            except ReadOnlyHere:
                await asyncio.sleep(1)
                left -= 1
                assert left > 0, "a lock without an end"
        assert not a.layer.leases or not a.layer.leases.rows.holds(a.ino("cut.prproj"))
        a.door.reachable = True
        await office.until(lambda: len(b.names()) == 2)
        assert await b.read("cut.prproj") == b"first cut"
        await a.close(handle)

    in_the_office(tmp_path, work)


def test_a_person_takes_a_file_until_he_releases_it(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += [HELD]

    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        await office.shared("notes.txt")
        await a.order("notes.txt", b"take")
        await a.order("notes.txt", b"take")
        await office.until(lambda: b.lock("notes.txt") == "taken")
        for attempt in (b.open("notes.txt"), b.order("notes.txt", b"take")):
            with pytest.raises(HeldElsewhere):
                await attempt
        with pytest.raises(HeldElsewhere) as refused:
            await b.order("notes.txt", b"release")
        assert refused.value.errno == errno.EBUSY
        handle = await a.open("notes.txt")
        await a.close(handle)
        await asyncio.sleep(20 * LINGER_S)
        assert b.lock("notes.txt") == "taken", "a program that closes it ends nothing"
        await a.order("notes.txt", b"release")
        await office.until(lambda: not b.lock("notes.txt"))
        await b.order("notes.txt", b"take")

    in_the_office(tmp_path, work)


def test_nobody_deletes_replaces_or_cuts_what_another_has(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += [HELD]

    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        await office.shared("cut.prproj")
        await office.shared("other.prproj")
        await a.order("cut.prproj", b"take")
        await office.until(lambda: b.lock("cut.prproj"))
        files = b.layer.files
        with pytest.raises(HeldElsewhere):
            files.unlink(ROOT, b"cut.prproj")
        with pytest.raises(HeldElsewhere):
            files.rename(ROOT, b"other.prproj", ROOT, b"cut.prproj", 0)
        with pytest.raises(HeldElsewhere):
            await files.set_attributes(b.ino("cut.prproj"), AttributeChanges(size=0), None)
        files.rename(ROOT, b"cut.prproj", ROOT, b"first.prproj", 0)  # that is the same file
        await office.until(lambda: "first.prproj" in a.names())
        assert a.lock("first.prproj") == "taken"

    in_the_office(tmp_path, work)


def test_a_save_that_puts_a_new_file_in_the_place_of_the_old_one_keeps_the_lock(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += [HELD]

    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        await office.shared("cut.prproj")
        await a.order("cut.prproj", b"take")
        old = a.ino("cut.prproj")
        _, (handle, _) = a.layer.files.create(ROOT, b"cut.tmp", 0o644, ME, os.O_RDWR, 0)
        await a.write(handle, b"second cut")
        await a.close(handle)
        a.layer.files.rename(ROOT, b"cut.tmp", ROOT, b"cut.prproj", 0)
        await office.until(lambda: b.ino("cut.prproj") != old)
        assert b.lock("cut.prproj") == "taken", "in no entry is it free"
        assert await b.read("cut.prproj") == b"second cut"
        with pytest.raises(HeldElsewhere):
            await b.open("cut.prproj")

    in_the_office(tmp_path, work)


@pytest.mark.parametrize("alone", [True, False])
def test_without_the_bucket_it_is_opened_for_this_workstation_or_not_at_all(
    tmp_path: Path, expected_warnings: list[str], alone: bool
) -> None:
    expected_warnings += [AWAY, "somebody else may have"] if alone else [AWAY]

    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        await office.shared("cut.prproj")
        a.door.reachable = False
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if not alone:
            with pytest.raises(LeaseUndecided) as refused:
                await a.open("cut.prproj")
            assert refused.value.errno == errno.EAGAIN
            return
        handle = await a.open("cut.prproj")
        assert ANSWER_S <= loop.time() - begun < 2 * ANSWER_S
        assert "write-leases" in a.alerts()
        mine = await b.open("cut.prproj")
        await a.write(handle, b"alone")
        a.door.reachable = True
        await office.until(lambda: len(b.names()) == 2)
        assert await b.read("cut.prproj") == b"first cut"
        await a.close(handle)
        await b.close(mine)

    in_the_office(tmp_path, work, alone_when_away=alone)


def test_who_wrote_before_another_took_the_file_goes_on_in_a_copy(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    """A mount that locks nothing on opening, or opened it under another name."""
    expected_warnings += [OTHERS]

    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        await office.shared("notes.txt")
        handle = await a.open("notes.txt")
        await b.order("notes.txt", b"take")
        await office.until(lambda: "lock-lost" in a.alerts())
        await a.write(handle, b"late!")
        await a.close(handle)
        await office.until(lambda: len(b.names()) == 2)
        assert await b.read("notes.txt") == b"first cut"

    in_the_office(tmp_path, work)


def test_what_is_no_file_and_what_is_no_order_is_refused(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        a = office.a
        await office.shared("notes.txt")
        assert a.layer.leases is not None
        for ino, order in ((ROOT, b"take"), (a.ino("notes.txt"), b"steal")):
            with pytest.raises(Invalid):
                await a.layer.leases.ordered(ino, order)
        with pytest.raises(FileError):
            a.layer.files.xattrs.get(a.ino("notes.txt"), LOCK_XATTR)

    in_the_office(tmp_path, work)


def test_a_mount_that_ends_lets_go_of_what_it_has(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        await office.shared("cut.prproj")
        await a.order("cut.prproj", b"take")
        await office.until(lambda: b.lock("cut.prproj") == "taken")
        assert a.layer.leases is not None
        a.layer.leases.resign()
        await office.until(lambda: not b.lock("cut.prproj"))

    in_the_office(tmp_path, work)


def test_what_a_member_puts_in_the_place_of_a_lease_locks_nobody_out(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        a, b = office.a, office.b
        await office.shared("cut.prproj")
        a.layer.replica.apply(Lease(a.ino("cut.prproj"), None, b"no lease", name=WRITE_LEASE))
        await office.until(lambda: not office.is_busy())
        handle = await b.open("cut.prproj")
        await office.until(lambda: a.lock("cut.prproj") == "open")
        await b.close(handle)

    in_the_office(tmp_path, work)


def test_what_one_has_just_made_and_closed_is_taken_when_it_is_opened_again(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        a = office.a
        _, (handle, _) = a.layer.files.create(ROOT, b"cut.prproj", 0o644, ME, os.O_RDWR, 0)
        await a.write(handle, b"first cut")
        await a.close(handle)
        await a.open("cut.prproj")
        assert a.layer.leases is not None
        assert a.layer.leases.rows.holds(a.ino("cut.prproj"))

    in_the_office(tmp_path, work)
