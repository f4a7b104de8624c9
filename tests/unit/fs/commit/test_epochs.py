"""What a member writes counts until his era has ended in the journal, and never behind that.

Seats with a real roster, keys, replicas and committers, around one bucket.
"""

from __future__ import annotations

import pytest
from epoch_office import Office, forged, in_step

from lucidnode.fs.errors import KeyMissing, ReadOnly
from lucidnode.fs.format.block import open_block, seal
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.node.client.journal import EntryHeader, empty_link, entry_hash


async def test_nothing_of_a_revoked_member_counts_behind_the_first_entry_of_the_new_epoch(
    office: Office, expected_warnings: list[str]
) -> None:
    ada, bo, cy = office.seat("ada"), office.seat("bo"), office.seat("cy")
    await in_step(office, ada, bo, cy)
    office.put_out("bo")
    async with office.running(ada, cy):
        await ada.hear_of_era()
        await office.clock.until(lambda: ada.head() == cy.head() == (2, 2))
        # He writes on, with all he had: the right place, the right link, his key, the old epoch.
        stands_on = ada.node.replica.pending.head().link
        office.bucket.entries[3] = forged(bo, b"by bo", bo.access.keys(), stands_on)
        await office.settled(ada, cy)
        ada.node.create(b"by ada")
        await office.settled(ada, cy)
    late = await office.caught_up("cy")
    assert ada.names == cy.names == late.names == {b"first", b"by ada"}
    assert ada.head() == late.head() == (4, 2)
    assert "made it in epoch 1, after one of epoch 2" in ada.causes()
    expected_warnings += ["counts as empty"] * 3


async def test_what_he_wrote_before_the_era_ended_in_the_journal_counts_for_everybody(
    office: Office,
) -> None:
    ada, bo = office.seat("ada"), office.seat("bo")
    await in_step(office, ada, bo)
    office.put_out("bo")
    bo.door.shown = len(office.studio.entries) - 1  # nobody told him yet
    bo.node.create(b"by bo")
    async with office.running(bo):
        await office.clock.until(bo.is_settled)
    async with office.running(ada):
        await ada.hear_of_era()
        await office.clock.until(lambda: ada.head() == (3, 2))
    late = await office.caught_up("cy")
    assert ada.names == late.names == {b"first", b"by bo"}


async def test_who_is_put_out_cannot_make_the_new_epoch_up(
    office: Office, expected_warnings: list[str]
) -> None:
    ada, bo = office.seat("ada"), office.seat("bo")
    await in_step(office, ada, bo)
    office.put_out("bo")
    await ada.access.refresh("none")
    keys = ProjectKeys.of(office.project, {2: b"?" * 32})
    office.bucket.entries[2] = forged(bo, b"by bo", keys)
    async with office.running(ada):
        await office.settled(ada)
    assert (ada.names, ada.head()) == ({b"first"}, (2, 1))
    expected_warnings += ["counts as empty"]


async def test_work_of_others_that_waited_goes_on_in_the_new_epoch(
    office: Office, expected_warnings: list[str]
) -> None:
    ada, cy = office.seat("ada"), office.seat("cy")
    await in_step(office, ada, cy)
    cy.node.create(b"sent, who knows")
    cy.daemon.reachable = False
    async with office.running(cy):
        await office.clock.pass_by(20)
        cy.node.create(b"never sent")
    assert cy.node.replica.pending.in_flight() is not None  # sealed in epoch 1
    office.put_out("bo")
    async with office.running(ada):
        await ada.hear_of_era()
        await office.clock.until(lambda: ada.head() == (2, 2))
    cy.daemon.reachable = True
    async with office.running(ada, cy):
        await office.settled(ada, cy)
    assert ada.names == cy.names == {b"first", b"sent, who knows", b"never sent"}
    assert [EntryHeader.parse(entry).epoch for entry in office.bucket.entries.values()][:2] == [
        1,
        2,
    ]
    assert EntryHeader.parse(office.bucket.entries[3]).epoch == 2
    assert cy.head()[1] == 2
    expected_warnings += ["no route to the bucket"] * 2


async def test_blocks_are_sealed_in_the_new_epoch_by_who_had_the_keys_before(
    office: Office,
) -> None:
    ada = office.seat("ada")
    keys = ada.access.keys()  # as every part of a mount has them
    bo = office.seat("bo")
    assert seal(keys, b"content")[0].epoch == 1
    office.put_out("bo")
    await ada.access.refresh("none")
    name, sealed = seal(keys, b"content")
    assert name.epoch == 2
    cy = office.seat("cy")
    assert open_block(cy.access.keys(), name, sealed).rstrip(b"\0") == b"content"
    with pytest.raises(KeyMissing):
        open_block(bo.access.keys(), name, sealed)


async def test_the_epoch_of_a_journal_outlives_a_crash(office: Office) -> None:
    ada, cy = office.seat("ada"), office.seat("cy")
    await in_step(office, ada, cy)
    office.put_out("bo")
    async with office.running(ada, cy):
        await ada.hear_of_era()
        await office.clock.until(lambda: ada.head() == cy.head() == (2, 2))
    for seat in (ada, cy):  # who made the entry, and who read it
        seat.node.crash()
        assert seat.head() == (2, 2)


async def test_an_epoch_begins_once_however_many_begin_it(office: Office) -> None:
    ada, cy = office.seat("ada"), office.seat("cy")
    await in_step(office, ada, cy)
    office.put_out("bo")
    async with office.running(ada, cy):
        await ada.hear_of_era()
        await cy.hear_of_era()
        await office.clock.until(lambda: ada.head() == cy.head() == (2, 2))
        await office.clock.pass_by(30)
    assert len(office.bucket.entries) == 2


async def test_a_viewer_who_forges_changes_nothing_for_anybody(
    office: Office, expected_warnings: list[str]
) -> None:
    ada, bo = office.seat("ada"), office.seat("bo")
    await in_step(office, ada, bo)
    office.change_role("bo", "viewer")
    await bo.access.refresh("none")
    assert not bo.access.may_write
    async with office.running(ada):
        await ada.hear_of_era()
        await office.clock.until(lambda: ada.head() == (2, 2))
    # He reads on, so he has the key of the new epoch; and the old one.
    link = ada.node.replica.pending.head().link
    assert bo.access.keys().current == 2
    office.bucket.entries[3] = forged(bo, b"new key", bo.access.keys(), link)
    async with office.running(ada):
        await office.settled(ada)
    # An editor again, later: what he forged meanwhile counts no more than it did.
    office.change_role("bo", "editor")
    async with office.running(ada):
        await ada.hear_of_era()
        await office.clock.until(lambda: ada.head() == (4, 3))
    late = await office.caught_up("cy")
    assert ada.names == late.names == {b"first"}
    assert late.head() == ada.head()
    expected_warnings += ["counts as empty"] * 2


async def test_an_editor_again_writes_again(office: Office) -> None:
    ada, bo = office.seat("ada"), office.seat("bo")
    await in_step(office, ada, bo)
    for role in ("viewer", "editor"):
        office.change_role("bo", role)
    await bo.access.refresh("none")
    bo.node.create(b"by bo")
    async with office.running(ada, bo):
        await office.settled(ada, bo)
    assert ada.names == {b"first", b"by bo"}
    assert ada.head()[1] == 3


async def test_nothing_counts_as_empty_while_the_bucket_does_not_show_the_log_of_members(
    office: Office, expected_warnings: list[str]
) -> None:
    ada, cy = office.seat("ada"), office.seat("cy")
    await in_step(office, ada, cy)
    office.put_out("bo")
    async with office.running(ada):
        await ada.hear_of_era()
        ada.node.create(b"by ada")
        await office.settled(ada)
    cy.door.shown, cy.door.answers = len(office.studio.entries) - 1, False
    async with office.running(cy):
        await office.clock.pass_by(60)
        assert cy.head() == (1, 1)
        assert "log of members" in cy.causes()
        cy.door.shown, cy.door.answers = None, True
        await office.settled(cy)
    assert cy.names == {b"first", b"by ada"}
    expected_warnings += ["cannot be read now"]


async def test_who_is_shown_an_older_log_of_members_is_told_by_what_the_others_write(
    office: Office, expected_warnings: list[str]
) -> None:
    ada, cy = office.seat("ada"), office.seat("cy")
    await in_step(office, ada, cy)
    office.put_out("bo")
    cy.door.shown = len(office.studio.entries) - 1
    async with office.running(ada, cy):
        await ada.hear_of_era()
        await office.clock.until(lambda: ada.head() == (2, 2))
        await office.settled(cy)
        assert cy.node.replica.pending.head().link == empty_link(
            entry_hash(office.bucket.entries[2])
        )
        cy.node.create(b"by cy")
        await office.clock.until(lambda: "another history" in ada.causes())
    assert ada.names == {b"first"}
    expected_warnings += ["counts as empty", "another history"]


async def test_a_member_who_is_put_out_is_read_only_with_the_reason_and_keeps_what_he_has(
    office: Office, expected_warnings: list[str]
) -> None:
    ada, bo = office.seat("ada"), office.seat("bo")
    await in_step(office, ada, bo)
    office.put_out("bo")
    async with office.running(ada):
        await ada.hear_of_era()
        await office.clock.until(lambda: ada.head() == (2, 2))
    bo.node.create(b"unsent")
    async with office.running(bo):
        await office.clock.until(lambda: bo.committer.stopped is not None)
    assert "an owner has put this workstation out" in str(bo.committer.stopped)
    assert bo.names == {b"first", b"unsent"}
    expected_warnings += ["read-only here until"]


async def test_a_viewer_follows_the_others_and_an_editor_again_goes_on(
    office: Office, expected_warnings: list[str]
) -> None:
    ada, bo = office.seat("ada"), office.seat("bo")
    await in_step(office, ada, bo)
    office.change_role("bo", "viewer")
    async with office.running(ada, bo):
        await bo.hear_of_era()
        assert "viewer" in str(bo.committer.stopped)
        with pytest.raises(ReadOnly):
            bo.node.create(b"by a viewer")
        await ada.hear_of_era()
        ada.node.create(b"by ada")
        await office.settled(ada, bo)
        assert bo.names == {b"first", b"by ada"}
        office.change_role("bo", "editor")
        await bo.hear_of_era()
        bo.node.create(b"by an editor")
        await ada.hear_of_era()
        await office.settled(ada, bo)
    assert ada.names == {b"first", b"by ada", b"by an editor"}
    assert bo.committer.stopped is None
    expected_warnings += ["made you a viewer"]
