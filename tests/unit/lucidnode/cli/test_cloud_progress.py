"""What is left while a command waits: of files, and of the cache that it clears."""

from __future__ import annotations

from pathlib import Path

from lucidnode.cli.cache import to_clear
from lucidnode.cli.cloud_progress import not_told, still_to_go


def test_what_is_left_is_what_the_daemon_says_and_else_the_whole_file(tmp_path: Path) -> None:
    film, note, theirs = (tmp_path / name for name in ("film", "note", "theirs"))
    for path in (film, note, theirs):
        path.write_bytes(b"x" * 1000)
    listed = [
        {"mountpoint": str(tmp_path), "path": "film", "bytes_left": 400},
        {"mountpoint": str(tmp_path), "path": "theirs", "bytes_left": None},
        {"mountpoint": str(tmp_path), "path": "of nobody who waits", "bytes_left": 7},
    ]
    status = {"on_their_way": listed}
    assert still_to_go([film], status) == 400
    assert still_to_go([film, note], status) == 1400, "it lists the first hundred alone"
    assert still_to_go([theirs], status) == 1000
    assert still_to_go([film, tmp_path / "deleted meanwhile"], None) == 1000
    assert still_to_go([], status) == 0
    (tmp_path / "way").symlink_to(tmp_path)
    assert still_to_go([tmp_path / "way" / "film"], status) == 400


def test_nothing_is_left_of_a_cleared_cache_in_which_much_is_pinned() -> None:
    assert to_clear({"bytes": 9000, "pinned_bytes": 4000}) == 5000
    assert to_clear({"bytes": 4000, "pinned_bytes": 4000}) == 0
    assert to_clear({"bytes": 3000, "pinned_bytes": 4000}) == 0, (
        "not all that is pinned has come yet"
    )


def test_what_is_amiss_is_told_once_while_a_command_waits() -> None:
    def alert(cause: str) -> dict[str, object]:
        return {"mountpoint": "", "cause": cause, "remedy": "Wait.", "count": 1, "since": 0}

    told: set[str] = set()
    away = {"alerts": [alert("The bucket is away.")]}
    [line] = not_told(away, told)
    assert line.startswith("The bucket is away. Wait.")
    assert list(not_told(away, told)) == []
    assert len(list(not_told({"alerts": [*away["alerts"], alert("It is full.")]}, told))) == 1
    assert list(not_told(None, told)) == []
