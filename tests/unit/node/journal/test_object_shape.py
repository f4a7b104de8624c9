"""Laws of what bytes look like for a slot of a log."""

from __future__ import annotations

import pytest
from journal_fixture import PROJECT, entry
from studio_fixture import Studio

from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.journal import PADDING
from lucidnode.node.client.roster_entry import stand_in
from lucidnode.node.journal.object_shape import ObjectShape, journal_shape, roster_shape

OTHER = ProjectId("cd" * 16)
ROSTER = Studio().entries[0]
ITEM = stand_in(bytes(32))


@pytest.mark.parametrize(
    ("body", "as_journal", "as_roster"),
    [
        (entry(2), ObjectShape.ENTRY, ObjectShape.ASTRAY),
        (entry(3), ObjectShape.ASTRAY, ObjectShape.ASTRAY),
        (ROSTER, ObjectShape.ASTRAY, ObjectShape.ASTRAY),  # number 1
        (ITEM, ObjectShape.ASTRAY, ObjectShape.ENTRY),
        (b"?" + entry(2)[1:], ObjectShape.DAMAGED, ObjectShape.FOREIGN),
        (bytes(len(entry(2)) + PADDING), ObjectShape.DAMAGED, ObjectShape.FOREIGN),
        (b"?" + entry(2), ObjectShape.FOREIGN, ObjectShape.FOREIGN),
        (entry(2)[:100], ObjectShape.FOREIGN, ObjectShape.FOREIGN),
        (b"<html>", ObjectShape.FOREIGN, ObjectShape.FOREIGN),
    ],
    ids=range(9),  # entries are signed with new keys in each process
)
def test_an_entry_counts_in_its_own_place_and_is_astray_in_any_other(
    body: bytes, as_journal: ObjectShape, as_roster: ObjectShape
) -> None:
    assert journal_shape(PROJECT, Seq(2), body) is as_journal
    assert roster_shape(Seq(2), body) is as_roster


def test_an_entry_of_another_project_is_astray() -> None:
    assert journal_shape(OTHER, Seq(2), entry(2)) is ObjectShape.ASTRAY
    assert roster_shape(Seq(1), ROSTER) is ObjectShape.ENTRY
