"""Programs that reach a project which nobody has mounted: by the API, and by fsspec."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from cli_fixture import Workstation, until, workstation
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

from lucidnode import api
from lucidnode.fs.errors import Invalid, MembershipError

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(180)]

_WRITER = """
import sys
from pathlib import Path
from lucidnode import api
home, words, name = sys.argv[1:]
with api.connect("demo", Path(home), passphrase_file=words) as project:
    with project.open(name, "w", parents=True) as file:
        file.write(name)
        file.flush()
        print("written", flush=True)
        sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    root = tmp_path_factory.mktemp("programs")
    with workstation(root / "a") as station:
        station.unlocked("init", f"file://{root}/bucket")
        station.change_settings(mdns=False)
        station.ok("exit")
        station.unlocked("project", "create", "demo")
        yield station


@pytest.fixture
def project(station: Workstation) -> Iterator[api.ConnectedProject]:
    with api.connect("demo", station.home, passphrase_file=station.words) as project:
        yield project


def open_at(station: Workstation) -> list[str]:
    return [mount["mountpoint"] for mount in station.status()["mounts"]]


def writer(station: Workstation, name: str) -> subprocess.Popen[str]:
    """Start a program that writes its own name into the file *name*, and waits before it closes that."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _WRITER, str(station.home), str(station.words), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=station.environment,
    )


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_programs_that_begin_at_once_share_one_that_has_it_open(station: Workstation) -> None:
    programs = [writer(station, f"at once/{number}") for number in range(2)]
    assert [told(program) for program in programs] == ["written"] * 2
    assert len(station.processes("files-process")) == 2, "it, and its keeper"
    with api.connect("demo", station.home) as project:
        assert project.list("at once") == [], "nothing has its name before it is whole"
        dead, other = programs
        dead.kill()
        dead.communicate()
        other.communicate("\n")
        assert [each.name for each in project.list("at once")] == ["1"]
        with project.open("at once/1") as file:
            assert file.read() == "at once/1"
        of_one = [
            event
            for event in project.events(0, follow=False)
            if isinstance(event, api.ProjectEvent) and event.path == "at once/1"
        ]
        assert [(event.event, event.old_path, event.size) for event in of_one] == [
            ("create", None, 9)
        ], "name and content come in one entry"


def test_files_come_and_go(project: api.ConnectedProject, station: Workstation) -> None:
    assert open_at(station) == [str(station.home / "projects" / project.id / "files.sock")]
    source = station.folder / "film"
    source.write_bytes(os.urandom(3_000_001))
    project.put(source, "out/film.mov")
    found = project.info("out/film.mov")
    assert (found.kind, found.size, found.state) == ("file", 3_000_001, "cloud")
    project.get("out/film.mov", station.folder / "back")
    assert (station.folder / "back").read_bytes() == source.read_bytes()
    project.copy("out/film.mov", "out/cut.mov")
    with project.open("out/cut.mov", "rb") as film:
        film.seek(-11, os.SEEK_END)
        assert film.read() == source.read_bytes()[-11:]
        project.remove("out/cut.mov")
        film.seek(0)
        assert film.read(10) == source.read_bytes()[:10], "an open file stays"
    project.move("out/film.mov", "out/last.mov")
    assert [each.path for each in project.list("out")] == ["out/last.mov"]
    with pytest.raises(FileExistsError):
        project.open("out/last.mov", "x")
    with pytest.raises(IsADirectoryError):
        project.open("out", "w")
    with pytest.raises(NotADirectoryError):
        project.info("out/last.mov/below")
    with pytest.raises(OSError, match=f"Errno {errno.ENOTEMPTY}"):
        project.remove("out")
    with pytest.raises(Invalid):
        project.info("../elsewhere")
    project.remove("out", recursive=True)
    assert not project.exists("out")


def test_what_is_not_finished_changes_nothing(project: api.ConnectedProject) -> None:
    with project.open("letter", "w") as file:
        file.write("first")
    with pytest.raises(UnicodeEncodeError), project.open("letter", "w") as file:
        file.write("second\udcff")
    project.open("letter", "wb").write(b"third")  # nobody closes it
    with project.open("letter", "a") as file:
        file.write(" and more")
    with project.open("letter") as file:
        assert file.read() == "first and more"
    assert project.info("letter").mode == 0o666 & ~os.umask(os.umask(0o22))
    assert [each.name for each in project.list() if each.name.startswith(".")] == []


def test_a_whole_directory_goes_there_and_back(
    project: api.ConnectedProject, station: Workstation
) -> None:
    tree = station.folder / "tree"
    for name in ("a/1", "a/b/2", "3"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    project.put(tree, "tree")
    project.get("tree", station.folder / "tree back")
    back = station.folder / "tree back"
    assert {
        str(path.relative_to(back)): path.read_text() for path in back.rglob("*") if path.is_file()
    } == {name: name for name in ("a/1", "a/b/2", "3")}
    assert project.state("tree/a/b/2") == "cloud"


def test_the_process_that_has_it_open_may_die(
    project: api.ConnectedProject, station: Workstation
) -> None:
    with project.open("kept", "w") as file:
        file.write("acknowledged")
    half = project.open("half", "wb")
    half.write(b"lost")
    half.flush()
    [pid] = [
        pid
        for pid in station.processes("files-process")
        if pid == station.status()["mounts"][0]["pid"]
    ]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(OSError, match="given up") as given_up:
        half.write(b"x" * 2_000_000)
    assert given_up.value.errno == errno.ESTALE
    half.discard()
    until(lambda: [mount["pid"] for mount in station.status()["mounts"]] not in ([], [pid]))
    assert project.exists("kept")
    with project.open("after", "w") as file:
        file.write("and on")
    assert not [each for each in project.list() if each.name == "half"]


async def test_asyncio_has_the_same(station: Workstation) -> None:
    async with await api.connect_async(
        "demo", station.home, passphrase_file=station.words
    ) as project:
        async with await project.open("async/a", "wb", parents=True) as file:
            await file.write(b"by a coroutine")
        found = [each async for each in _paths(project)]
        assert found == ["async/a"]
        async with await project.open("async/a") as file:
            await file.seek(5)
            assert await file.read() == b"coroutine"
        seen = [event async for event in project.events(0, follow=False)]
        assert any(isinstance(e, api.ProjectEvent) and e.path == "async/a" for e in seen)
        await project.remove("async", recursive=True)
        assert not await project.exists("async/a")


async def _paths(project: api.AsyncProject) -> Any:
    for each in await project.list("async"):
        await asyncio.sleep(0)
        yield each.path


class ProjectFixtures(AbstractFixtures):  # type: ignore[misc]  # fsspec has no types
    """What fsspec's own tests of any file system want to know of ours."""

    @pytest.fixture
    def fs(self, station: Workstation) -> Any:
        return fsspec.filesystem(
            "lucidnode", home=str(station.home), passphrase_file=str(station.words)
        )

    @pytest.fixture
    def fs_path(self) -> str:
        return "demo"


class TestSomeOfFsspec(ProjectFixtures):
    """Some of each: all of them take minutes, for each change waits for the cloud."""

    test_open_exclusive = AbstractOpenTests.test_open_exclusive
    test_copy = AbstractCopyTests.test_copy_directory_to_existing_directory
    test_put = AbstractPutTests.test_put_directory_to_new_directory


if os.environ.get("FSSPEC_SUITE") == "whole":

    class TestCopy(AbstractCopyTests, ProjectFixtures):  # type: ignore[misc]
        pass

    class TestGet(AbstractGetTests, ProjectFixtures):  # type: ignore[misc]
        pass

    class TestPut(AbstractPutTests, ProjectFixtures):  # type: ignore[misc]
        pass

    class TestPipe(AbstractPipeTests, ProjectFixtures):  # type: ignore[misc]
        pass

    class TestOpen(AbstractOpenTests, ProjectFixtures):  # type: ignore[misc]
        pass


def test_a_transaction_of_fsspec_is_kept_or_given_up(station: Workstation) -> None:
    files = fsspec.filesystem("lucidnode", home=str(station.home))
    with files.transaction:
        with files.open("demo/kept.bin", "wb") as file:
            file.write(b"kept")
        assert not files.exists("demo/kept.bin")
    assert files.cat_file("demo/kept.bin") == b"kept"
    with pytest.raises(FileNotFoundError), files.transaction:  # noqa: PT012
        files.pipe_file("demo/given up.bin", b"given up")
        files.cat_file("demo/missing")
    assert not files.exists("demo/given up.bin")


def test_a_mount_takes_over_unless_a_program_is_at_work_and_gives_back(
    project: api.ConnectedProject, station: Workstation
) -> None:
    drive = station.folder / "drive"
    with project.open("at work", "w") as file:
        file.write("one")
        refused = station.run("mount", "demo", drive, "--passphrase-file", station.words)
        assert refused.code == 7
        assert refused.line.startswith("demo is in use without a mount: programs have 1 files open")
        assert not drive.exists()
    station.unlocked("mount", "demo", drive)
    assert open_at(station) == [str(drive)]
    assert (drive / "at work").read_text() == "one"
    with project.open("at work", "w") as file:
        file.write("two")
        assert (drive / "at work").read_text() == "one"
    assert (drive / "at work").read_text() == "two"
    with project.open("at work", "a") as file:
        file.write(" more")
    with pytest.raises(FileExistsError):
        project.open("at work", "x")
    project.copy("at work", "copied")
    assert [each.name for each in project.list() if "cop" in each.name] == ["copied"]
    project.wait("copied", timeout_s=60)
    station.ok("umount", drive)
    with project.open("copied") as file:
        assert file.read() == "two more"
    assert open_at(station)[0].endswith("files.sock")
    station.ok("umount", open_at(station)[0])
    assert open_at(station) == []


def test_who_cannot_be_asked_for_the_passphrase_is_told(station: Workstation) -> None:
    station.ok("lock")
    alone = "import sys, pathlib; from lucidnode import api; api.connect('demo', pathlib.Path(sys.argv[1]))"
    asked = subprocess.run(
        [sys.executable, "-P", "-c", alone, station.home],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=station.environment,
    )
    assert MembershipError.__name__ in asked.stderr
    assert "no terminal to ask for the passphrase" in asked.stderr
    assert asked.stderr.rstrip().endswith(
        "and name it with passphrase_file=, or `lucidnode unlock` before, where there is one"
    )
