"""Nobody changes a project that an owner has archived or deleted, and nothing is lost when it is back."""

from __future__ import annotations

import pytest
from epoch_office import Office, forged, in_step

from lucidnode.fs.errors import ReadOnly


async def test_an_archived_project_takes_nothing_of_anybody_and_is_followed(
    office: Office, expected_warnings: list[str]
) -> None:
    ada, bo = office.seat("ada"), office.seat("bo")
    command = office.seat("ada", "-command", beside=ada)
    command.is_mount = False
    forger = office.seat("bo", "-forger")
    await in_step(office, ada, bo, forger)
    bo.daemon.reachable = False
    async with office.running(ada, bo):
        bo.node.create(b"not sent")
        office.change_state("archived")
        for seat in (ada, bo):
            await seat.hear_of_era()
            assert "archived" in str(seat.committer.stopped)
            with pytest.raises(ReadOnly):
                seat.node.create(b"by a mount")
        bo.daemon.reachable = True
        # The owner's command draws the line; what an editor's program writes behind it is void.
        async with office.running(command):
            await command.hear_of_era()
            await office.clock.until(lambda: ada.head() == bo.head() == (2, 2))
        stands_on = ada.node.replica.pending.head().link
        await forger.access.refresh("none")
        assert forger.access.keys().current == 2
        office.bucket.entries[3] = forged(forger, b"forged", forger.access.keys(), stands_on)
        await office.clock.until(lambda: ada.head() == bo.head() == (3, 2))
        assert ada.names == {b"first"}
        assert bo.names == {b"first", b"not sent"}  # it stays where it was written
        office.change_state("active")
        for seat in (bo, ada):
            await seat.hear_of_era()
        await office.settled(ada, bo)
    late = await office.caught_up("cy")
    assert ada.names == bo.names == late.names == {b"first", b"not sent"}
    assert "read-only" not in bo.causes()
    expected_warnings += ["an owner has archived it"] * 2 + ["counts as empty"] * 3


async def test_who_was_off_while_it_was_archived_finds_that_nothing_of_his_counts(
    office: Office, expected_warnings: list[str]
) -> None:
    ada, bo = office.seat("ada"), office.seat("bo")
    command = office.seat("ada", "-command", beside=ada)
    command.is_mount = False
    await in_step(office, ada, bo, command)
    office.change_state("archived")
    bo.door.shown = len(office.studio.entries) - 1
    async with office.running(command):
        await command.hear_of_era()
        await office.clock.until(lambda: command.head() == (2, 2))
    bo.node.create(b"by bo")  # his workstation has heard of nothing
    async with office.running(bo):
        bo.door.shown = None
        await office.clock.until(lambda: bo.committer.stopped is not None)
        await office.clock.pass_by(30)
    late = await office.caught_up("cy")
    assert late.names == {b"first"}
    assert list(office.bucket.entries) == [1, 2]
    assert bo.node.replica.pending.has_work()
    expected_warnings += ["an owner has archived it"]


async def test_a_deleted_project_is_not_even_followed_until_it_is_brought_back(
    office: Office, expected_warnings: list[str]
) -> None:
    ada, bo = office.seat("ada"), office.seat("bo")
    await in_step(office, ada, bo)
    async with office.running(bo):
        office.change_state("deleted", office.clock.wall_ns() + 10**18)
        await bo.hear_of_era()
        assert "an owner has deleted it" in bo.causes()
        await office.clock.pass_by(10)
        asked = bo.daemon.reads
        await office.clock.pass_by(600)
        assert bo.daemon.reads == asked  # its journal may have left the bucket
        office.change_state("active")
        await bo.hear_of_era()
        bo.node.create(b"back")
        await office.settled(bo)
    late = await office.caught_up("cy")
    assert late.names == {b"first", b"back"}
    expected_warnings += ["an owner has deleted it"]
