"""What two readings of the log of members make of the studio."""

from __future__ import annotations

import pytest
from studio_fixture import Studio

from lucidnode.fs.errors import NotAMember
from lucidnode.fs.membership.log_difference import LogDifference, log_difference
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.roster_entry import entry_hash, stand_in


def test_who_and_what_only_one_of_them_knows_is_named() -> None:
    studio = Studio()
    common = list(studio.entries)
    studio.join("viewer", "Bo")
    here = list(studio.entries)
    studio.entries = list(common)
    studio.project("trailer")
    studio.invite("editor")
    assert log_difference(here, studio.entries, studio.ada) == LogDifference(
        Seq(2),
        ["Bo, edit-2: viewer"],
        ["project trailer", "an invite as editor for Bo"],
        lists_me=True,
    )


def test_a_bucket_that_holds_less_differs_and_one_that_goes_on_does_not() -> None:
    studio = Studio()
    studio.join()
    less = studio.entries[:2]
    assert log_difference(less, studio.entries, studio.ada) is None
    assert log_difference(studio.entries, studio.entries, studio.ada) is None
    difference = log_difference(studio.entries, less, studio.ada)
    assert difference is not None
    assert difference.first == 3


def test_who_belongs_to_the_studio_by_the_bucket_alone_is_told_and_by_neither_refused() -> None:
    studio = Studio()
    who = studio.join(name="Bo")
    here = [studio.entries[0], *(stand_in(entry_hash(one)) for one in studio.entries[1:])]
    difference = log_difference(here, studio.entries, who)
    assert difference is not None
    assert (difference.first, difference.only_here, difference.lists_me) == (2, [], False)
    assert len(difference.only_shown) == 2
    with pytest.raises(NotAMember):
        log_difference(studio.entries, here, who)
