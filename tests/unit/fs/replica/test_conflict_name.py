"""Names of conflict copies: recognisable, allowed, and never all taken."""

from __future__ import annotations

from itertools import islice

from hypothesis import example, given
from hypothesis import strategies as st

from lucidnode.fs.replica.conflict_name import (
    conflict_names,
    is_conflict_name,
    named,
    parted,
    version_names,
)
from lucidnode.fs.replica.tree.name_table import check_name

TIME = 1_763_850_615_000_000_000  # 2025-11-22 22:30:15 UTC

names = st.binary(min_size=1, max_size=255).filter(
    lambda name: name not in {b".", b".."} and b"/" not in name and b"\0" not in name
)


def first(name: bytes, device: str = "edit-2", time_ns: int = TIME) -> bytes:
    return next(conflict_names(name, device, time_ns))


def test_the_extension_stays_at_the_end() -> None:
    assert first(b"shot.v2.mov") == b"shot.v2 (conflict, edit-2, 2025-11-22 22-30-15).mov"


def test_a_leading_dot_starts_a_name_and_no_extension() -> None:
    assert first(b".prproj") == b".prproj (conflict, edit-2, 2025-11-22 22-30-15)"


def test_the_next_candidates_are_numbered() -> None:
    _, second, third = islice(conflict_names(b"a", "b", TIME), 3)
    assert second == b"a (conflict, b, 2025-11-22 22-30-15, 2)"
    assert third == b"a (conflict, b, 2025-11-22 22-30-15, 3)"


@given(names, st.text(max_size=300), st.integers(-(2**63), 2**63 - 1))
def test_every_candidate_may_stand_in_a_directory(name: bytes, device: str, time_ns: int) -> None:
    candidates = list(islice(conflict_names(name, device, time_ns), 12))
    for candidate in candidates:
        check_name(candidate)
        assert is_conflict_name(candidate)
    assert len(set(candidates)) == 12
    assert name not in candidates


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=80))
def test_long_utf8_names_are_cut_between_characters(name: str) -> None:
    raw = name.encode()[:255].decode(errors="ignore").encode()
    first(raw, device="schnittplatz-ü").decode()


def test_a_settled_conflict_has_a_name_that_says_whose_version_it_is() -> None:
    one, two = islice(version_names(first(b"shot.mov")), 2)
    assert one == b"shot (version, edit-2, 2025-11-22 22-30-15).mov"
    assert two == b"shot (version, edit-2, 2025-11-22 22-30-15, 2).mov"
    assert not is_conflict_name(one)
    assert not is_conflict_name(two)


@given(names, st.text(max_size=300), st.integers(-(2**63), 2**63 - 1))
@example(b"take.)", "", 0)
@example(b"take (2).v(1)", "edit (2), 2025-11-22 22-30-15)", 0)
def test_a_conflict_copy_says_beside_which_name_it_stands_and_whose_it_is(
    name: bytes, device: str, time_ns: int
) -> None:
    for copy in islice(conflict_names(name, device, time_ns), 3):
        original, whose = parted(copy)
        assert whose == named(device)
        assert original == name or len(copy) > 240, "a name that was cut"
