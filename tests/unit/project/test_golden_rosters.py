"""A log of members of every format there was opens for ever, and says what it said."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Callable

import pytest
from lab.places import REPOSITORY

from lucidnode.node.client.roster_entry import MAX_FORMAT
from lucidnode.node.client.roster_rules import verified


def _golden() -> list[bytes]:
    """Return the log of the studio that release 0.1 made, whose bucket is kept as it was."""
    found: dict[str, bytes] = {}
    with tarfile.open(REPOSITORY / "tests" / "golden" / "format-1.tar.xz") as packed:
        for member in packed:
            file = packed.extractfile(member) if member.name.startswith("roster/") else None
            if file is not None:
                found[member.name] = file.read()
    return [found[name] for name in sorted(found)]


def _published(name: str) -> list[bytes]:
    vectors = json.loads((REPOSITORY / "docs" / "vectors" / f"{name}.json").read_text())
    return [bytes.fromhex(item) for item in vectors["items"]]


# The log; then its head, who is what, open invites, projects, the epoch, and what counts for nothing.
LOGS: dict[int, tuple[Callable[[], list[bytes]], tuple[object, ...]]] = {
    1: (_golden, (3, {"owner": 1}, 1, 1, 1, [])),
    2: (lambda: _published("eras"), (13, {"owner": 2}, 0, 2, 4, [])),
    3: (lambda: _published("projects"), (11, {"owner": 1, "editor": 1}, 0, 2, 4, [])),
    4: (
        lambda: _published("inviting"),
        (17, {"owner": 1, "editor": 2, "viewer": 1}, 0, 3, 2, [11, 12, 13]),
    ),
}


@pytest.mark.parametrize("number", range(1, MAX_FORMAT + 1))
def test_a_roster_of_each_format_says_what_it_said(number: int) -> None:
    log, told = LOGS[number]
    roster = verified(log(), None)
    roles = Counter(member.role for member in roster.members.values())
    voids = [void.seq for void in roster.voids]
    counts = len(roster.invites), len(roster.projects), roster.epoch
    assert roster.format == number
    assert (roster.head, roles, *counts, voids) == told
