"""Operations against operations, in both orders: nothing that a person put somewhere dies.

The rules are those of docs/semantics.md, "When two nodes change the same at once". Here is each of
the operations that differ in kind against each; `scripts/soak pairs` takes all there are.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from contested_pair import Pair
from contested_world import OPERATIONS

KINDS = (
    "create",
    "create in an empty directory",
    "mkdir",
    "write",
    "unlink",
    "unlink in a directory",
    "rename",
    "move out",
    "rename over",
    "save by renaming",
    "save by removing",
    "link",
    "rmdir",
    "remove a tree",
    "rename a directory",
    "move a directory into another",
    "rekey",
)


@pytest.mark.parametrize("second", KINDS)
def test_nothing_dies_whatever_meets(tmp_path: Path, second: str) -> None:
    pair = Pair(tmp_path)
    for first in KINDS:
        pair.try_out(first, second)
    pair.finish()


@pytest.mark.parametrize("second", ["write", "unlink", "rename over", "save by renaming"])
@pytest.mark.parametrize("winner_holds_open", [False, True])
def test_nothing_dies_while_files_are_open_and_bytes_unsaved(
    tmp_path: Path, second: str, winner_holds_open: bool
) -> None:
    pair = Pair(tmp_path)
    for first in (
        *("write", "unlink", "rename", "rename over", "save by renaming", "remove a tree"),
        "rekey",
    ):
        pair.try_out(first, second, winner_holds_open=winner_holds_open, loser_is_late=True)
    pair.finish()


def test_every_kind_is_an_operation() -> None:
    assert set(KINDS) <= OPERATIONS.keys()
