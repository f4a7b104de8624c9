"""Several commands at once: one does the work, and none of the others comes back later."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_fixture import LUCIDNODE, Workstation, until, workstation

from lucidnode.cli.exit_codes import Exit
from lucidnode.fs.kernel.mountpoint import mounted_at

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    """Return a workstation with two projects."""
    with workstation(tmp_path_factory.mktemp("once") / "a") as one:
        one.unlocked("init", f"file://{one.folder}/bucket")
        one.unlocked("project", "create", "demo")
        one.unlocked("project", "create", "other")
        yield one


def at_once(station: Workstation, *mounts: tuple[str, Path]) -> list[tuple[int, str]]:
    """Mount each project at its directory, all at once; returns how each command ended."""
    running = [
        subprocess.Popen(
            [LUCIDNODE, "mount", project, directory, "--passphrase-file", station.words],
            env=station.environment,
            cwd=station.folder,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for project, directory in mounts
    ]
    said = [process.communicate(timeout=100)[1] for process in running]
    return [(process.returncode, words) for process, words in zip(running, said, strict=True)]


@pytest.mark.parametrize(
    "mounts",
    [
        [("demo", "drive")] * 4,
        [("demo", "drive"), ("demo", "drive-2")],
        [("demo", "drive"), ("other", "drive")],
    ],
    ids=["one directory", "one project", "two projects at one directory"],
)
def test_of_several_mounts_at_once_one_mounts_and_nothing_comes_after_it(
    station: Workstation, mounts: list[tuple[str, str]]
) -> None:
    ended = at_once(station, *((project, station.folder / name) for project, name in mounts))
    codes = sorted(code for code, _ in ended)
    assert codes == [Exit.OK] + [Exit.MOUNT_POINT] * (len(mounts) - 1), ended
    assert all("already" in words for code, words in ended if code), ended
    [drive] = {Path(mount["mountpoint"]) for mount in station.status()["mounts"]}
    assert "is unmounted" in station.ok("umount", drive).err
    # Nobody is left who could mount it.
    until(lambda: not station.processes("mount-process"))
    assert mounted_at(drive) is None
    assert not station.status()["mounts"]
