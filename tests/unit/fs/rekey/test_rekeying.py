"""What is older than the newest epoch is sealed anew; nobody sees that, and nobody loses by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from epoch_office import Office, Seat
from rekey_fixture import RekeyOffice

from lucidnode.fs.errors import KeyMissing
from lucidnode.fs.format.block import open_block
from lucidnode.fs.format.project_facts import REKEY, RekeyProgress, encoded_fact, rekey_progress_in
from lucidnode.fs.rekey.rekeying import is_told_otherwise
from lucidnode.fs.rekey.throttle import Throttle
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import Fact, NewExtent, Rename, Write

SLOW = 10_000.0
"""Bytes a second: others commit before what was read is named."""

FILM, SMALL = b"film " * 20_000, b"small"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    for seat in made.seats:
        seat.node.check()
        seat.node.close()


async def _put_out(office: Office) -> tuple[RekeyOffice, Seat, Seat, dict[bytes, InodeNo]]:
    """Have two files by Ada, of which a third shares a block, that Cy has as well; Bo is put out."""
    rekey, ada, cy = RekeyOffice(office), office.seat("ada"), office.seat("cy")
    inos = {name: ada.node.create(name) for name in (b"film", b"small", b"copy")}
    rekey.put(ada, inos[b"film"], FILM)
    rekey.put(ada, inos[b"film"], b"end of it", len(FILM))
    rekey.put(ada, inos[b"small"], SMALL)
    rekey.put(ada, inos[b"copy"], FILM, at=5, length=50_000)
    async with office.running(ada, cy):
        await office.settled(ada, cy)
        office.put_out("bo")
        await ada.hear_of_era()
        await cy.hear_of_era()
        await office.clock.until(lambda: ada.head()[1] == cy.head()[1] == 2)
    return rekey, ada, cy, inos


async def test_everything_lies_in_blocks_of_the_new_epoch_and_nothing_else_has_changed(
    office: Office,
) -> None:
    rekey, ada, cy, inos = await _put_out(office)
    before = {table: rows for table, rows in cy.node.rows().items() if table in {"inode", "name"}}
    seat, door = rekey.command(ada)
    told = await rekey.rekeyed(seat, door)
    assert told is not None
    assert (told.epoch, told.blocks, told.left_blocks, told.lost) == (2, 3, 0, {})
    assert len(door.fetched) == 3, "a block that two files lie in is read once"
    await rekey.followed(cy)
    assert rekey.epochs(cy) == {2}
    after = {table: rows for table, rows in cy.node.rows().items() if table in {"inode", "name"}}
    assert after == before, "times and versions stay"
    assert rekey.read(cy, inos[b"film"]) == FILM + b"end of it"
    assert rekey.read(cy, inos[b"small"]) == SMALL
    assert rekey.read(cy, inos[b"copy"]) == FILM[5:50_005]
    [extent] = cy.node.replica.tree.extents(inos[b"small"], 0, 5)
    with pytest.raises(KeyMissing):
        open_block(rekey.of_bo, extent.block, rekey.blocks[extent.block.id])
    assert set(door.fetched) <= door.evicted, "what nothing needs any more leaves the cache"
    said = rekey_progress_in(cy.node.replica.tree.fact(REKEY))
    assert said is not None
    assert (said.device, said.epoch, said.blocks, said.bytes) == (ada.daemon.device, 2, 0, 0)


async def test_a_second_run_does_nothing_and_says_nothing(office: Office) -> None:
    rekey, ada, _, _ = await _put_out(office)
    await rekey.rekeyed(*rekey.command(ada))
    entries = len(office.bucket.entries)
    seat, door = rekey.command(ada, "-again")
    told = await rekey.rekeyed(seat, door)
    assert told is not None
    assert (told.blocks, door.fetched, len(office.bucket.entries)) == (0, [], entries)


async def test_what_was_said_to_be_left_is_put_right_where_others_have_written_it_anew(
    office: Office,
) -> None:
    rekey, ada, cy, _ = await _put_out(office)
    assert not is_told_otherwise(cy.node.replica, 2), "nobody has said anything"
    seat, _ = rekey.command(ada)
    left = RekeyProgress(seat.daemon.device, 2, 1, 3, 1000)  # killed behind its first entry
    async with office.running(cy):
        cy.node.replica.apply(Fact(REKEY, encoded_fact(left)))
        for name in (b"film", b"small", b"copy"):
            cy.node.unlink(name)
        await office.settled(cy)
    assert rekey.epochs(cy) <= {2}
    assert is_told_otherwise(cy.node.replica, 2)
    await rekey.rekeyed(*rekey.command(ada, "-again"))
    await rekey.followed(cy)
    assert not is_told_otherwise(cy.node.replica, 2)
    assert is_told_otherwise(cy.node.replica, 3), "of the era before"


async def test_killed_at_any_step_the_next_one_goes_on(office: Office) -> None:
    rekey, ada, cy, inos = await _put_out(office)
    step = 0
    while True:
        seat, door = rekey.command(ada, f"-{step}")
        door.killed_at = step
        if (told := await rekey.rekeyed(seat, door)) is not None:
            break
        await rekey.followed(cy)
        assert rekey.read(cy, inos[b"film"]) == FILM + b"end of it"
        step += 1
    assert step > 6, "it was killed in the midst of it"
    assert told.left_blocks == 0
    await rekey.followed(cy)
    assert rekey.epochs(cy) == {2}
    assert rekey.read(cy, inos[b"small"]) == SMALL


async def test_a_writer_who_comes_first_wins_and_his_files_have_no_conflict(office: Office) -> None:
    rekey, ada, cy, inos = await _put_out(office)
    seat, door = rekey.command(ada)
    await rekey.followed(seat)

    def write() -> None:  # by Cy, when the blocks are being read: committed before they are named
        door.before_block = lambda: None
        rekey.put(cy, inos[b"film"], b"another beginning", 0)

    door.before_block = write
    async with office.running(cy):
        await rekey.through(rekey.rekeying(seat, door, SLOW).run())
        await office.settled(cy)
    expected = b"another beginning" + FILM[17:] + b"end of it"
    assert rekey.read(cy, inos[b"film"]) == expected
    await rekey.followed(ada)
    assert ada.names == cy.names == {b"film", b"small", b"copy"}
    assert rekey.read(ada, inos[b"film"]) == expected
    assert rekey.epochs(ada) == {2}


async def test_who_writes_at_that_moment_sees_nothing_of_it(office: Office) -> None:
    """The entry of the rekey comes first: what waits here is laid over it, and is no other version."""
    rekey, ada, cy, inos = await _put_out(office)
    rekey.put(cy, inos[b"film"], b"another beginning", 0)
    cy.daemon.reachable = False
    await rekey.rekeyed(*rekey.command(ada))
    cy.daemon.reachable = True
    async with office.running(cy):
        await office.settled(cy)
    await rekey.followed(ada)
    assert ada.names == {b"film", b"small", b"copy"}, "there is no conflict copy"
    assert rekey.read(ada, inos[b"film"]) == b"another beginning" + FILM[17:] + b"end of it"


async def test_who_deletes_and_moves_at_that_moment_does(office: Office) -> None:
    rekey, ada, cy, inos = await _put_out(office)
    cy.node.unlink(b"small")
    cy.node.replica.apply(Rename(ROOT, b"copy", ROOT, b"film", cy.node.time()))
    cy.daemon.reachable = False
    await rekey.rekeyed(*rekey.command(ada))
    cy.daemon.reachable = True
    async with office.running(cy):
        await office.settled(cy)
    await rekey.followed(ada)
    assert ada.names == {b"film"}
    assert rekey.read(ada, inos[b"copy"]) == FILM[5:50_005]


async def test_two_at_once_do_the_same_and_no_harm(office: Office) -> None:
    rekey, ada, cy, inos = await _put_out(office)
    (one, door), (other, their_door) = rekey.command(ada), rekey.command(cy, "-other", "cy")
    await rekey.followed(one)
    await rekey.followed(other)
    second = rekey.rekeying(other, their_door)
    async with office.running(cy):
        await rekey.through(rekey.rekeying(one, door).run())
        told = await rekey.through(second.run())  # on what it read before
        await office.settled(cy)
    assert told.left_blocks == 0
    assert rekey.epochs(cy) == {2}
    assert rekey.read(cy, inos[b"film"]) == FILM + b"end of it"
    assert cy.names == {b"film", b"small", b"copy"}


async def test_where_another_epoch_begins_meanwhile_all_of_it_is_sealed_in_that(
    office: Office,
) -> None:
    rekey, ada, _, _ = await _put_out(office)
    seat, door = rekey.command(ada)
    await rekey.followed(seat)

    def begin() -> None:
        door.before_block = lambda: None
        office.change_role("cy", "viewer")

    door.before_block = begin
    running = rekey.rekeying(seat, door)
    async with office.running(ada):
        await rekey.through(running.run())
        await ada.hear_of_era()
        await office.clock.until(lambda: ada.head()[1] == 3)
    told = await rekey.rekeyed(*rekey.command(ada, "-again"))
    assert told is not None
    assert told.left_blocks == 0
    await rekey.followed(ada)
    assert rekey.epochs(ada) == {3}


async def test_a_block_that_is_lost_is_named_and_the_rest_is_done(office: Office) -> None:
    rekey, ada, _, inos = await _put_out(office)
    [extent] = ada.node.replica.tree.extents(inos[b"small"], 0, 5)
    del rekey.blocks[extent.block.id]
    told = await rekey.rekeyed(*rekey.command(ada))
    assert told is not None
    assert told.lost.keys() == {extent.block.id}
    assert (told.blocks, told.left_blocks) == (2, 1)


async def test_what_is_copied_from_an_old_block_meanwhile_is_found_by_the_next_pass(
    office: Office,
) -> None:
    rekey, ada, cy, inos = await _put_out(office)
    seat, door = rekey.command(ada)
    await rekey.followed(seat)
    first = ada.node.replica.tree.extents(inos[b"film"], 0, 5)[0].block

    def copy() -> None:  # into a file that was passed by already: the first there is
        door.before_block = lambda: None
        into = NewExtent(len(SMALL), 100, first.id, 0)
        write = Write(min(inos.values()), [into], [first], cy.node.time())
        cy.node.replica.apply(write)

    door.before_block = copy
    async with office.running(cy):
        told = await rekey.through(rekey.rekeying(seat, door, SLOW).run())
        await office.settled(cy)
    assert told.left_blocks == 0
    assert rekey.epochs(cy) == {2}


async def test_it_is_held_to_its_rate(office: Office) -> None:
    throttle, clock = Throttle(1000.0, office.clock), office.clock
    rekey = RekeyOffice(office)
    began = clock.now

    async def work() -> None:
        for _ in range(5):
            await throttle.spend(2000)

    await rekey.through(work())
    assert clock.now - began == 10.0
