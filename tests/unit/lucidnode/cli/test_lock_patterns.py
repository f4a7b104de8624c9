"""What may follow `--lock-on-open`."""

from __future__ import annotations

import click
import pytest

from lucidnode.cli.lock_patterns import lock_patterns
from lucidnode.cli.persistent_mounts import MAX_PATTERNS


def test_nothing_said_is_not_none_and_patterns_are_of_small_letters_and_each_once() -> None:
    assert lock_patterns(()) is None
    assert lock_patterns(("none",)) == ()
    assert lock_patterns(("*.PSD", "*.psd", "Cut*")) == ("*.psd", "cut*")


@pytest.mark.parametrize(
    "given",
    [
        ("none", "*.psd"),
        ("",),
        ("cuts/*.psd",),
        ("x" * 256,),
        tuple(f"*.{number}" for number in range(MAX_PATTERNS + 1)),
    ],
)
def test_what_is_no_pattern_of_names_is_refused(given: tuple[str, ...]) -> None:
    with pytest.raises(click.BadParameter):
        lock_patterns(given)
