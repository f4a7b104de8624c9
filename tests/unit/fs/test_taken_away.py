"""What a mount that changed places with a dead one does with the directory that the other was on."""

from __future__ import annotations

from pathlib import Path

from lucidnode.fs.mount import taken_away


def test_a_directory_that_somebody_else_has_removed_meanwhile_is_gone(tmp_path: Path) -> None:
    assert taken_away(tmp_path / "beside") == []


def test_an_empty_one_is_removed_and_one_with_files_is_kept(tmp_path: Path) -> None:
    empty, used = tmp_path / "empty", tmp_path / "used"
    empty.mkdir()
    used.mkdir()
    (used / "rushes").touch()
    assert (taken_away(empty), taken_away(used)) == ([], ["rushes"])
    assert not empty.exists()
    assert (used / "rushes").exists()
