"""Who makes a name that nobody else may have: two workstations at one directory, on virtual time."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import pytest
from file_layer_fixture import ME
from lab.soak_files import VirtualClock
from lab.virtual_loop import run_virtual
from write_seats import NAMES, WriteOffice, WriteSeat, WriteStudio

from lucidnode.fs.commit.signs_of_life import LEASE_TTL_S
from lucidnode.fs.errors import FileMissing, LeaseUndecided, NameTaken
from lucidnode.fs.leases.directory_leases import ANSWER_S, LATE_S, PATIENCE_S
from lucidnode.fs.leases.lease_row import LeaseRow, decoded_lease
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import NAMES_LEASE, RENAME_NOREPLACE, TREE_LEASE

ROUNDS = 10


@pytest.fixture
def cut_off(expected_warnings: list[str]) -> None:
    """Let mounts say that they cannot reach the bucket."""
    expected_warnings.append("cannot be")


def together(
    home: Path,
    work: Callable[[WriteOffice], Awaitable[None]],
    *,
    exclusive: Literal["alone", "never alone"] = "never alone",
    linked: bool = False,
) -> None:
    """Do *work* at two workstations, which go without the bucket's word if *alone*."""

    async def run() -> None:
        studio = WriteStudio.of(home)
        studio.links.cut = not linked
        clock = VirtualClock()
        async with (
            studio.seat(NAMES[0], None, clock, exclusive=exclusive) as a,
            studio.seat(NAMES[1], None, clock, exclusive=exclusive) as b,
        ):
            await work(WriteOffice(studio.bucket, a, b, studio.links))

    run_virtual(run, 1)


async def lock_file(seat: WriteSeat, name: bytes, parent: InodeNo = ROOT) -> InodeNo:
    """Make it as `open` with O_EXCL does. Raises NameTaken."""
    files = seat.layer.files
    await files.exclusively(parent, name, 0)
    made, (handle, _) = files.create(parent, name, 0o644, ME, os.O_RDWR | os.O_EXCL, 0)
    files.release(handle)
    return made.ino


async def directory(seat: WriteSeat, name: bytes, parent: InodeNo = ROOT) -> InodeNo:
    await seat.layer.files.exclusively(parent, name, 0)
    return seat.layer.files.make(parent, name, stat.S_IFDIR | 0o755, ME).ino


async def linked(seat: WriteSeat, name: bytes) -> InodeNo:
    files = seat.layer.files
    spare = files.make(ROOT, b"of %s for %s" % (seat.name.encode(), name), 0o100644, ME)
    await files.exclusively(ROOT, name, 0)
    return files.link(spare.ino, ROOT, name).ino


async def moved(seat: WriteSeat, name: bytes) -> InodeNo:
    files = seat.layer.files
    spare = b"by %s to %s" % (seat.name.encode(), name)
    made = files.make(ROOT, spare, 0o100644, ME)
    await files.exclusively(ROOT, name, 0)
    files.rename(ROOT, spare, ROOT, name, RENAME_NOREPLACE)
    return made.ino


async def linked_in(seat: WriteSeat, name: bytes, parent: InodeNo) -> InodeNo:
    """Link a spare file, which lies in the root, into *parent*."""
    files = seat.layer.files
    spare = files.make(ROOT, b"spare of %s" % seat.name.encode(), 0o100644, ME)
    await files.exclusively(parent, name, 0)
    return files.link(spare.ino, parent, name).ino


async def moved_in(seat: WriteSeat, name: bytes, parent: InodeNo) -> InodeNo:
    """Move a file of one's own, which lies in the root, to a name of *parent* that nobody else has."""
    files = seat.layer.files
    spare = b"own of %s for %s" % (seat.name.encode(), name)
    made = files.make(ROOT, spare, 0o100644, ME)
    try:
        await files.exclusively(parent, name, 0)
        files.rename(ROOT, spare, parent, name, RENAME_NOREPLACE)
    except NameTaken:
        files.unlink(ROOT, spare)
        raise
    return made.ino


Make = Callable[[WriteSeat, bytes, InodeNo], Awaitable[InodeNo]]


def is_admitted(seat: WriteSeat, ino: InodeNo = ROOT) -> bool:
    assert seat.layer.directories is not None
    return seat.layer.directories.admits(ino)


def row_of(seat: WriteSeat, ino: InodeNo) -> LeaseRow | None:
    return decoded_lease(seat.layer.replica.tree.lease(ino, NAMES_LEASE))


def entries(office: WriteOffice) -> int:
    return len(office.bucket.entries)


def test_of_two_who_make_the_same_name_at_once_one_wins(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        for number in range(ROUNDS):
            for make in (lock_file, directory, linked, moved):
                name = b"%d %s" % (number, make.__name__.encode())
                found = await asyncio.gather(  # noqa: TID251  # both are wanted, whatever they are
                    make(office.a, name), make(office.b, name), return_exceptions=True
                )
                won = [each for each in found if not isinstance(each, BaseException)]
                assert len(won) == 1, (name, found)
                assert sum(isinstance(each, NameTaken) for each in found) == 1
                await office.until(lambda: not office.is_busy())
                for seat in (office.a, office.b):
                    assert seat.layer.files.lookup(ROOT, name).ino == won[0]
        assert not any("conflict" in name for name in office.a.names())

    together(tmp_path, work)


def test_who_is_alone_asks_once_and_again_only_after_a_rest(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        top = await directory(office.a, b"top")
        await office.until(lambda: not office.is_busy())
        before = entries(office)
        inner = top
        for _ in range(50):
            inner = await directory(office.a, b"inner", inner)
            await lock_file(office.a, b".lock", inner)
        assert entries(office) == before, "nobody was asked, and nothing was waited for"
        await office.until(lambda: not office.is_busy())
        assert entries(office) <= before + 2
        own = [office.a.layer.replica.tree.lease(ino, NAMES_LEASE) for ino in (top, inner)]
        assert own == [None, None], "the root's row stands for all"
        await asyncio.sleep(LEASE_TTL_S)
        before = entries(office)
        await lock_file(office.a, b"a lock", top)
        assert entries(office) == before + 1

    together(tmp_path, work)


def test_a_directory_made_here_is_ours_though_the_others_belong_to_another(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        await directory(office.a, b"of ana")
        await office.until(lambda: not office.is_busy())
        top = await directory(office.b, b"of ben")
        before = entries(office)
        inner = await directory(office.b, b"inner", top)
        await lock_file(office.b, b".lock", inner)
        assert entries(office) == before
        await office.until(lambda: not office.is_busy())
        for ino in (top, inner):
            row = row_of(office.a, ino)
            assert row is not None
            assert row.holder == office.b.door.device
            assert is_admitted(office.b, ino)
            assert not is_admitted(office.a, ino)

    together(tmp_path, work)


@pytest.mark.parametrize("linked", [True, False], ids=["linked", "by the log alone"])
def test_what_was_made_is_in_the_log_before_the_directory_goes(
    tmp_path: Path, linked: bool
) -> None:
    """A new file waits for its content, while a program writes it: the entry that gives may not overtake it."""

    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        files = office.a.layer.files
        for name in (b"cut.lock", b"once it was given and given back.lock"):
            await files.exclusively(shared, name, 0)
            await asyncio.sleep(1)
            made, (handle, _) = files.create(shared, name, 0o644, ME, os.O_RDWR | os.O_EXCL, 0)
            await office.a.write(handle, b"ana")
            with pytest.raises(NameTaken):
                await lock_file(office.b, name, shared)
            await office.a.close(handle)
            await office.until(lambda: not office.is_busy())
            assert office.b.layer.files.lookup(shared, name).ino == made.ino

    together(tmp_path, work, linked=linked)


def test_nobody_makes_names_in_a_directory_that_is_being_given_away(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        files = office.a.layer.files
        await files.exclusively(shared, b"open", 0)
        _, (handle, _) = files.create(shared, b"open", 0o644, ME, os.O_RDWR | os.O_EXCL, 0)
        await office.a.write(handle, b"a recorder")
        asking = asyncio.ensure_future(lock_file(office.b, b"cut.lock", shared))
        leases = office.a.layer.directories
        assert leases is not None
        await office.until(lambda: leases.rows.changes(shared))
        assert not is_admitted(office.a, shared)
        assert not asking.done()
        await asking
        await office.a.close(handle)

    together(tmp_path, work)


@pytest.mark.usefixtures("cut_off")
def test_what_is_made_after_a_giving_that_came_to_nothing_is_in_the_log_before_the_next(
    tmp_path: Path,
) -> None:
    """Names hold up a directory for five seconds, those that are made then as well."""

    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        files, leases = office.a.layer.files, office.a.layer.directories
        assert leases is not None

        async def made(name: bytes) -> int:
            await files.exclusively(shared, name, 0)
            _, (handle, _) = files.create(shared, name, 0o644, ME, os.O_RDWR | os.O_EXCL, 0)
            await office.a.write(handle, b"ana")
            return handle

        handles = [await made(b"open")]
        asking = asyncio.ensure_future(lock_file(office.b, b"cut.lock", shared))
        await office.until(lambda: leases.rows.changes(shared))
        office.links.cut, office.a.door.reachable = True, False
        making = asyncio.ensure_future(made(b"cut.lock"))
        await asyncio.sleep(8.0)  # until then the other has asked by an entry, which comes first
        office.a.door.reachable = True
        handles.append(await making)
        with pytest.raises(NameTaken):
            await asking
        for handle in handles:
            await office.a.close(handle)
        await office.until(lambda: not office.is_busy())

    together(tmp_path, work, linked=True)


def test_who_was_given_a_directory_has_it_from_when_he_was_last_heard_of(tmp_path: Path) -> None:
    """When it was given he does not know: others may have read it long ago. But they have heard of him."""

    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        asking = asyncio.ensure_future(lock_file(office.b, b"cut.lock", shared))
        while row_of(office.a, shared) is None:  # his entry that asks was read
            await asyncio.sleep(0.001)
        asking.cancel()  # its program was killed
        await office.until(lambda: (row := row_of(office.b, shared)) is not None and row.given)
        assert not is_admitted(office.a, shared)
        assert is_admitted(office.b, shared)
        await asyncio.sleep(LEASE_TTL_S)
        assert not is_admitted(office.b, shared)
        before = entries(office)
        await lock_file(office.b, b"cut.lock", shared)
        assert entries(office) == before + 1

    together(tmp_path, work)


def test_in_an_office_one_entry_hands_a_directory_on_whoever_rested_how_long(
    tmp_path: Path,
) -> None:
    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        for number, seat in enumerate((office.b, office.a, office.b, office.a)):
            await asyncio.sleep((0.5, 2 * LEASE_TTL_S)[number // 2])
            before = entries(office)
            files = seat.layer.files
            await files.exclusively(shared, b"lock %d" % number, 0)
            assert is_admitted(seat, shared)
            assert entries(office) == before + 1

    together(tmp_path, work, linked=True)


def test_in_an_office_the_names_that_were_made_go_in_the_entry_that_hands_the_directory_on(
    tmp_path: Path,
) -> None:
    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        for holder, asker in ((office.a, office.b), (office.b, office.a)):
            await asyncio.sleep(1)
            before = entries(office)
            name = b"lock of %s" % holder.name.encode()
            await lock_file(holder, name, shared)
            with pytest.raises(NameTaken):
                await lock_file(asker, name, shared)
            assert entries(office) == before + 1

    together(tmp_path, work, linked=True)


@pytest.mark.parametrize("linked", [True, False], ids=["linked", "by the log alone"])
def test_a_lock_that_is_a_directory_or_was_moved_keeps_the_other_out_as_a_file_does(
    tmp_path: Path, linked: bool
) -> None:
    """`mkdir` locks, locks that are taken by renaming one's own file, and one that is moved aside."""

    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"bins")
        await office.until(lambda: not office.is_busy())
        taken = await directory(office.a, b"cut.lock", shared)
        for make in (lock_file, linked_in, directory):
            with pytest.raises(NameTaken):
                await make(office.b, b"cut.lock", shared)
        with pytest.raises(NameTaken):
            await moved_in(office.b, b"cut.lock", shared)
        files = office.a.layer.files
        files.rename(shared, b"cut.lock", shared, b"cut.stale", 0)  # let go by moving it aside
        await office.until(lambda: not office.is_busy())
        assert office.b.layer.files.lookup(shared, b"cut.stale").ino == taken
        won: list[InodeNo] = []
        for outcome in await asyncio.gather(  # noqa: TID251  # both are wanted, whatever they are
            moved_in(office.b, b"cut.lock", shared),
            directory(office.a, b"cut.lock", shared),
            return_exceptions=True,
        ):
            if not isinstance(outcome, BaseException):
                won.append(outcome)
                continue
            assert isinstance(outcome, NameTaken)
        await office.until(lambda: not office.is_busy())
        for seat in (office.a, office.b):
            assert [seat.layer.files.lookup(shared, b"cut.lock").ino] == won
        assert not any("conflict" in name for seat in (office.a, office.b) for name in seat.names())

    together(tmp_path, work, linked=linked)


def test_a_film_that_uploads_for_an_hour_keeps_nobody_out_of_its_directory(tmp_path: Path) -> None:
    """A move waits for the content of its file, and `mv` asks for one that replaces nothing."""

    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        files = office.a.layer.files
        office.a.layer.daemon.uploads = False
        _, (handle, _) = files.create(shared, b"film.part", 0o644, ME, os.O_RDWR, 0)
        await files.write(handle, 0, b"f" * 1_000_000)
        await office.a.close(handle)
        await files.exclusively(shared, b"film.mov", 0)
        files.rename(shared, b"film.part", shared, b"film.mov", RENAME_NOREPLACE)
        await asyncio.sleep(20)
        begun = asyncio.get_running_loop().time()
        await lock_file(office.b, b"cut.lock", shared)
        assert asyncio.get_running_loop().time() - begun < 20
        begun = asyncio.get_running_loop().time()
        await lock_file(office.a, b"another.lock", shared)
        assert asyncio.get_running_loop().time() - begun < 20

    together(tmp_path, work)


@pytest.mark.usefixtures("cut_off")
def test_who_is_silent_loses_it_and_his_late_work_is_a_conflict_copy(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        office.a.door.reachable = False
        late = await lock_file(office.a, b"cut.lock", shared)
        begun = asyncio.get_running_loop().time()
        asking = asyncio.ensure_future(lock_file(office.b, b"cut.lock", shared))
        while not asking.done():
            assert not (is_admitted(office.a, shared) and is_admitted(office.b, shared))
            await asyncio.sleep(0.25)
        won = await asking
        assert LEASE_TTL_S - 1 < asyncio.get_running_loop().time() - begun < ANSWER_S
        with pytest.raises(LeaseUndecided):
            await lock_file(office.a, b"another", shared)
        office.a.door.reachable = True
        await office.until(lambda: not office.is_busy())
        for seat in (office.a, office.b):
            tree = seat.layer.replica.tree
            assert seat.layer.files.lookup(shared, b"cut.lock").ino == won
            [(_, name)] = tree.names_of(late)
            assert b"(conflict, ana" in name
        assert not (is_admitted(office.a, shared) and is_admitted(office.b, shared))

    together(tmp_path, work)


@pytest.mark.usefixtures("cut_off")
@pytest.mark.parametrize("make", [lock_file, linked_in, directory])
def test_who_comes_back_late_does_not_get_ahead_of_a_name_that_is_not_committed_yet(
    tmp_path: Path, make: Make
) -> None:
    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        office.a.door.reachable = False
        await lock_file(office.a, b"cut.lock", shared)
        await make(office.a, b"other", shared)
        won = await lock_file(office.b, b"cut.lock", shared)
        await make(office.b, b"theirs", shared)
        office.b.door.reachable = False  # before any of it is committed
        office.a.door.reachable = True
        before = entries(office)
        await asyncio.sleep(10.0)
        assert entries(office) - before <= 2, "he asks, and waits"
        office.b.door.reachable = True
        await office.until(lambda: not office.is_busy())
        for seat in (office.a, office.b):
            names = sorted(seat.layer.replica.tree.names_in(shared))
            assert seat.layer.files.lookup(shared, b"cut.lock").ino == won
            assert [name for name in names if b"conflict" not in name] == [
                b"cut.lock",
                b"other",
                b"theirs",
            ]
            assert sum(b"cut (conflict, ana" in name for name in names) == 1

    together(tmp_path, work)


@pytest.mark.usefixtures("cut_off")
def test_late_names_wait_for_no_longer_than_that_for_one_who_is_gone(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        office.a.door.reachable = False
        await lock_file(office.a, b"cut.lock", shared)
        await lock_file(office.b, b"another", shared)
        await office.until(lambda: not office.b.layer.replica.pending.has_work())
        office.b.door.reachable = False
        office.a.door.reachable = True
        begun = asyncio.get_running_loop().time()
        await office.until(lambda: not office.a.layer.replica.pending.has_work())
        assert asyncio.get_running_loop().time() - begun < LATE_S
        assert b"cut.lock" in list(office.a.layer.replica.tree.names_in(shared))

    together(tmp_path, work)


@pytest.mark.usefixtures("cut_off")
def test_without_a_bucket_names_are_made_here_and_people_are_told(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("does not answer")

    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        await asyncio.sleep(LEASE_TTL_S)
        office.a.door.reachable = False
        begun = asyncio.get_running_loop().time()
        await lock_file(office.a, b"first", shared)
        waited_s = asyncio.get_running_loop().time() - begun
        assert waited_s <= PATIENCE_S + 1
        assert "names" in office.a.alerts()
        for number in range(20):
            await lock_file(office.a, b"%d" % number, shared)
            await asyncio.sleep(3)
        assert asyncio.get_running_loop().time() - begun - waited_s < 61, "nobody waits any more"
        await lock_file(office.b, b"first", shared)
        office.a.door.reachable = True
        await office.until(lambda: not office.is_busy() and "names" not in office.a.alerts())
        names = list(office.a.layer.replica.tree.names_in(shared))
        assert sum(name.startswith(b"first (conflict, ana") for name in names) == 1

    together(tmp_path, work, exclusive="alone")


def test_who_waits_for_one_who_works_never_goes_on_alone(tmp_path: Path) -> None:
    """Two editors at one bin: a lock file, three saves by rename, and it is the other's turn.

    A turn takes more than five seconds here, for nobody is told of news.
    """

    async def work(office: WriteOffice) -> None:
        has: set[str] = set()

        async def saved(seat: WriteSeat) -> None:
            files, new = seat.layer.files, b"%s.new" % seat.name.encode()
            _, (handle, _) = files.create(ROOT, new, 0o644, ME, os.O_RDWR, 0)
            await seat.write(handle, seat.name.encode())
            await seat.close(handle)
            files.rename(ROOT, new, ROOT, b"reel.bin", 0)

        async def editor(seat: WriteSeat) -> None:
            for _ in range(ROUNDS):
                while True:
                    try:
                        await lock_file(seat, b"reel.lck")
                        break
                    except NameTaken:
                        await asyncio.sleep(0.1)
                has.add(seat.name)
                for _ in range(3):
                    await saved(seat)
                    await asyncio.sleep(0.1)
                    assert len(has) == 1
                has.discard(seat.name)
                seat.layer.files.unlink(ROOT, b"reel.lck")
                await asyncio.sleep(0.1)

        async with asyncio.TaskGroup() as tasks:
            for seat in (office.a, office.b):
                tasks.create_task(editor(seat))
        await office.until(lambda: not office.is_busy())
        assert office.a.names() == office.b.names() == ["reel.bin"]
        assert not office.a.alerts() + office.b.alerts()

    together(tmp_path, work, exclusive="alone")


@pytest.mark.usefixtures("cut_off")
def test_where_no_word_but_the_buckets_counts_a_program_is_told_to_try_again(
    tmp_path: Path,
) -> None:
    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        await asyncio.sleep(LEASE_TTL_S)
        office.a.door.reachable = False
        begun = asyncio.get_running_loop().time()
        with pytest.raises(LeaseUndecided):
            await lock_file(office.a, b"first", shared)
        assert asyncio.get_running_loop().time() - begun < ANSWER_S + 2

    together(tmp_path, work)


@pytest.mark.usefixtures("cut_off")
def test_a_directory_that_others_may_know_is_ours_no_longer_than_its_lease(tmp_path: Path) -> None:
    """Its entry is in the log, and whoever made it does not know."""

    async def work(office: WriteOffice) -> None:
        unsent = await directory(office.a, b"unsent")
        assert is_admitted(office.a, unsent)
        await office.until(lambda: not office.is_busy())
        office.a.door.faults = ["applied"]
        known = await directory(office.a, b"known")
        await office.until(lambda: not office.a.door.faults)
        office.a.door.reachable = False
        later = await directory(office.a, b"later")
        await office.until(lambda: office.b.layer.replica.tree.attributes(known) is not None)
        await asyncio.sleep(LEASE_TTL_S)
        assert not is_admitted(office.a, known)
        assert is_admitted(office.a, later), "nobody has seen it"
        await lock_file(office.b, b"cut.lock", known)

    together(tmp_path, work)


def test_a_name_that_is_there_is_refused_without_asking(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        await lock_file(office.a, b"cut.lock")
        await office.until(lambda: not office.is_busy())
        before = entries(office)
        with pytest.raises(NameTaken):
            await lock_file(office.b, b"cut.lock")
        assert entries(office) == before

    together(tmp_path, work)


def test_a_directory_that_goes_while_somebody_waits_for_it_is_missing(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        office.a.layer.files.rmdir(ROOT, b"shared")
        with pytest.raises(FileMissing):
            await lock_file(office.b, b"cut.lock", shared)

    together(tmp_path, work)


def test_who_unmounts_holds_nobody_up(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        shared = await directory(office.a, b"shared")
        await office.until(lambda: not office.is_busy())
        assert office.a.layer.directories is not None
        office.a.layer.directories.resign()
        await office.until(lambda: not office.is_busy())
        row = decoded_lease(office.b.layer.replica.tree.lease(ROOT, TREE_LEASE))
        assert row is not None
        assert not row.holder
        begun = asyncio.get_running_loop().time()
        await lock_file(office.b, b"cut.lock", shared)
        assert asyncio.get_running_loop().time() - begun < 2

    together(tmp_path, work)
