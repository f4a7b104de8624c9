"""What a person sees while a mount reads its journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lucidnode.cli.mount_progress import MountProgress


def test_a_mount_that_reads_its_journal_says_how_far_it_is_how_fast_and_how_long_it_takes() -> None:
    now = 100.0
    progress = MountProgress(Path("/home"), Path("/drive"), lambda: now)

    def said(head: int, upto: int | None) -> str:
        mounts: list[dict[str, Any]] = [
            {"mountpoint": "/elsewhere", "head": 5, "reading_to": None},
            {"mountpoint": "/drive", "head": head, "reading_to": upto},
        ]
        return progress.said({"mounts": mounts})

    assert progress.said(None) == progress.said({"mounts": []}) == ""
    assert said(1000, None) == "reading its journal, entry 1,000"
    now += 1
    assert said(1000, 9000) == "reading its journal, entry 1,000 of 9,000"
    now += 1
    assert said(1200, 9000) == "reading its journal, entry 1,200 of 9,000, 100/s, 78 s left"
    now += 100
    assert said(9000, 9000) == "reading its journal, entry 9,000 of 9,000, 78/s, 0 s left"
    # A daemon of an earlier release tells no end.
    assert progress.said({"mounts": [{"mountpoint": "/drive", "head": 9}]}).endswith("entry 9")


def test_a_first_mount_says_how_much_of_the_project_is_loaded() -> None:
    now = 100.0
    progress = MountProgress(Path("/home"), Path("/drive"), lambda: now)

    def said(done: int, total: int) -> str:
        progress.loaded(done, total)
        return progress.said({"mounts": []})

    assert progress.said(None) == ""
    assert said(0, 40_000_000) == "loading the project, 0 B of 40.0 MB"
    now += 2
    assert (
        said(4_000_000, 40_000_000) == "loading the project, 4.0 MB of 40.0 MB, 2.0 MB/s, 18 s left"
    )
    assert said(40_000_000, 40_000_000) == "loading the project, 40.0 MB: checking it"
    assert said(0, 30_000_000) == "loading the project, 0 B of 30.0 MB", "another checkpoint"
    mounts = [{"mountpoint": "/drive", "head": 9, "reading_to": 12}]
    assert progress.said({"mounts": mounts}) == "reading its journal, entry 9 of 12"
