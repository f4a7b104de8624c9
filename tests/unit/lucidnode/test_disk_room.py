"""What a person reads whose disk has too little room, when there is still a choice."""

from __future__ import annotations

from pathlib import Path

import pytest

from lucidnode.disk_room import check_for_founding
from lucidnode.node.cache.room import DiskSize
from lucidnode.node.client.errors import DiskFull

MIB, GIB = 2**20, 2**30
DIRECTORY = Path("/srv/cache")


def said(size: int, free: int, limit: int) -> str:
    with pytest.raises(DiskFull) as refused:
        check_for_founding(DIRECTORY, limit, lambda _directory: DiskSize(size, free))
    return str(refused.value)


def test_it_says_how_much_is_wanted_and_the_option_that_changes_it() -> None:
    assert said(1000 * GIB, 3 * GIB, 100 * GIB) == (
        "the disk of /srv/cache has only 3221 MB free, and a cache there wants 5436 MB, of which "
        "5369 MB are left to others: make room there, name another disk with --cache-dir, or take "
        "less with --cache-limit"
    )
    check_for_founding(DIRECTORY, 2 * GIB, lambda _directory: DiskSize(1000 * GIB, 3 * GIB))


def test_an_option_that_would_not_help_is_not_named() -> None:
    assert "--cache-limit" not in said(1000 * GIB, 100 * MIB, 100 * GIB)
    assert "wants 71 MB" in said(72 * MIB, 48 * MIB, 100 * GIB)
