"""Entries kept on disk: the highest ones, whole or not at all, and never a reason to fail."""

from __future__ import annotations

from pathlib import Path

from blake3 import blake3

from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.journal.kept_entries import KeptEntries

PROJECT = ProjectId("ab" * 16)


async def test_what_is_kept_is_found_by_the_next_daemon(tmp_path: Path) -> None:
    kept = KeptEntries(tmp_path / "entries")
    await kept.keep(PROJECT, Seq(1), b"one")
    await kept.keep(PROJECT, Seq(2), b"two")
    again = KeptEntries(tmp_path / "entries")
    assert await again.get(PROJECT, Seq(1)) == b"one"
    assert await again.get(PROJECT, Seq(3)) is None
    assert await again.newest(1) == {PROJECT: {Seq(2): blake3(b"two").digest()}}


async def test_the_lowest_give_way_and_no_more_is_kept_than_allowed(tmp_path: Path) -> None:
    for start in (1, 50):  # the books of the second are those of the disk
        kept = KeptEntries(tmp_path, limit=1000)
        for seq in range(start, start + 50):
            await kept.keep(PROJECT, Seq(seq), bytes(100))
    names = sorted(int(path.name) for path in (tmp_path / PROJECT).iterdir())
    assert names == list(range(90, 100))


async def test_a_damaged_file_counts_as_not_kept(tmp_path: Path) -> None:
    kept = KeptEntries(tmp_path)
    await kept.keep(PROJECT, Seq(1), b"one")
    path = tmp_path / PROJECT / f"{1:016d}"
    path.write_bytes(path.read_bytes()[:-1])
    assert await kept.get(PROJECT, Seq(1)) is None
    assert await kept.newest(8) == {}


async def test_a_disk_that_takes_nothing_keeps_nothing_and_nobody_fails(tmp_path: Path) -> None:
    (tmp_path / "entries").write_text("a file where a directory should be")
    kept = KeptEntries(tmp_path / "entries")
    await kept.keep(PROJECT, Seq(1), b"one")
    assert await kept.get(PROJECT, Seq(1)) is None
