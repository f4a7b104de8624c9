"""A cookie in a listing is found again: from memory, from the names that are there, or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.errors import Invalid
from lucidnode.fs.files.listing import DOT_DOT, MAX_KNOWN_NAMES, Listings, cookie_of
from lucidnode.fs.replica.inode import ROOT, InodeNo

OTHER = InodeNo(77)


@given(st.binary(max_size=255))
def test_cookies_fit_what_programs_seek_to_and_mean_no_dot(name: bytes) -> None:
    assert DOT_DOT < cookie_of(name) < 2**63


def test_a_cookie_outlives_its_name() -> None:
    names = [b"a", b"b"]
    listings = Listings(lambda _: iter(names))
    [cookie] = listings.hand_out(ROOT, [b"b"])
    names.remove(b"b")
    assert listings.name_at(ROOT, cookie) == b"b"


@pytest.mark.parametrize("directory", [ROOT, OTHER])
def test_a_cookie_that_was_forgotten_is_found_by_its_name(directory: InodeNo) -> None:
    asked: list[InodeNo] = []

    def names(asking: InodeNo) -> Iterator[bytes]:
        asked.append(asking)
        return iter([b"a", b"b"])

    listings = Listings(names)
    [first] = listings.hand_out(ROOT, [b"a"])
    listings.hand_out(directory, (b"%d" % number for number in range(MAX_KNOWN_NAMES)))
    assert listings.name_at(ROOT, first) == b"a"
    assert asked == [ROOT]
    assert listings.name_at(directory, cookie_of(b"7")) == b"7"
    assert asked == [ROOT]


def test_a_cookie_nobody_knows_is_an_error_and_not_the_end_of_the_listing() -> None:
    listings = Listings(lambda directory: iter([b"a"] if directory == ROOT else []))
    [cookie] = listings.hand_out(ROOT, [b"gone"])
    for directory, unknown in ((ROOT, cookie + 1), (OTHER, cookie)):
        with pytest.raises(Invalid):
            listings.name_at(directory, unknown)
