"""Two mounts, and users who change the same in the same moment."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from daemon_fixture import eventually, workstations

pytestmark = pytest.mark.fuse

_LINES = 60
"""What each of two logs, in some five commits of each node."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    with workstations(tmp_path_factory.mktemp("pair"), 2) as [one, other]:
        one.mount()
        other.mount()
        yield one.mountpoint, other.mountpoint


def _has_lines(path: Path, count: int) -> bool:
    return len(path.read_text().splitlines()) == count


def _holds(directory: Path, wanted: dict[str, str]) -> bool:
    """Tell whether *wanted* is in *directory* by now, and a moment later as well."""
    if {path.name: path.read_text() for path in directory.iterdir()} != wanted:
        return False
    threading.Event().wait(1)
    return {path.name: path.read_text() for path in directory.iterdir()} == wanted


def at_once(*works: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_who_log_at_the_same_time_end_with_all_lines_in_one_file(
    pair: tuple[Path, Path],
) -> None:
    logs = [mount / "render.log" for mount in pair]
    logs[0].touch()
    eventually(logs[1].exists)

    def log_on(path: Path, who: str) -> None:
        with path.open("a", buffering=1) as held:
            for number in range(_LINES):
                held.write(f"{who} {number}\n")
                with path.open("a") as once:
                    once.write(f"{who} {number} and a half\n")
                threading.Event().wait(0.02)

    at_once(lambda: log_on(logs[0], "one"), lambda: log_on(logs[1], "other"))

    def all_lines_of(who: str) -> list[str]:
        return [f"{who} {n}{rest}" for n in range(_LINES) for rest in ("", " and a half")]

    for log in logs:
        eventually(partial(_has_lines, log, 4 * _LINES))
    lines = logs[0].read_text().splitlines()
    assert logs[1].read_text().splitlines() == lines
    for who in ("one", "other"):
        assert [line for line in lines if line.startswith(f"{who} ")] == all_lines_of(who)
    assert not any(list(mount.glob("*conflict*")) for mount in pair)


def test_a_move_that_was_acknowledged_outlives_a_removal_elsewhere(
    pair: tuple[Path, Path],
) -> None:
    mover, remover = pair
    (mover / "keep").mkdir()
    moved = []
    for number in range(6):
        (mover / f"take{number}").mkdir()
        (mover / f"take{number}" / "m").write_text(f"take {number}")
        eventually((remover / f"take{number}" / "m").exists)
        (remover / f"take{number}" / "m").unlink()
        (remover / f"take{number}").rmdir()
        with contextlib.suppress(FileNotFoundError):  # it has heard of it: there is no race
            (mover / f"take{number}" / "m").rename(mover / "keep" / str(number))
            moved.append(number)
    assert moved, "no move was in time"
    wanted = {str(number): f"take {number}" for number in moved}

    for mount in pair:
        eventually(partial(_holds, mount / "keep", wanted))
