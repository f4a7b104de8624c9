"""What happened to files is told by command, and comes back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_fixture import Workstation, until, workstation

from lucidnode.cli.exit_codes import Exit
from lucidnode.imported_tree import survey

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(300)]


class Studio:
    """A workstation with the project demo mounted at *drive*."""

    def __init__(self, station: Workstation) -> None:
        self.station = station
        station.unlocked("init", f"file://{station.folder}/bucket")
        station.unlocked("project", "create", "demo")
        self.drive = station.folder / "drive"
        station.unlocked("mount", "demo", self.drive, "--durability", "cloud")

    def commit(self) -> None:
        """Have all that was done in the bucket."""
        directory = os.open(self.drive, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def blocks(self) -> set[str]:
        return {path.name for path in self.station.folder.glob("bucket/p/*/block/*/*")}

    def events(self, path: str | Path) -> list[tuple[str, str]]:
        found = json.loads(self.station.unlocked("history", path, "--json").out)["events"]
        return [(event["what"], event["path"]) for event in found]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with workstation(tmp_path_factory.mktemp("station") / "a") as station:
        yield Studio(station)


def test_a_path_of_the_mount_or_of_the_project_tells_its_past(studio: Studio) -> None:
    station, film = studio.station, studio.drive / "film"
    film.mkdir()
    (film / "cut").write_text("one")
    (film / "cut").rename(film / "final")
    studio.commit()
    (film / "final").unlink()
    studio.commit()
    assert studio.events(film / "final") == [
        ("deleted", "film/final"), ("renamed", "film/final"), ("created", "film/cut"),
    ]  # fmt: skip
    assert studio.events("demo:film/final") == studio.events(film / "final")
    rows = station.unlocked("history", film).out.splitlines()
    assert rows[0].split() == ["version", "when", "who", "what", "size", "path"]
    assert "film/cut -> film/final" in rows[2]
    none = station.run("history", "demo:film/x", "--passphrase-file", station.words)
    assert none.line == "nothing called film/x was ever in this project"
    outside = station.run("history", "/etc/passwd", "--passphrase-file", station.words)
    assert "lies in no project that is mounted here" in outside.line


def test_what_was_deleted_is_listed_and_comes_back_with_what_it_was(studio: Studio) -> None:
    station, reel = studio.station, studio.drive / "reel"
    (reel / "in").mkdir(parents=True)
    (reel / "in" / "a").write_bytes(bytes(range(256)) * 8192)
    os.utime(reel / "in" / "a", (5, 7))
    studio.commit()
    blocks = studio.blocks()
    shutil.rmtree(reel)
    studio.commit()
    lost = json.loads(station.unlocked("undelete", studio.drive, "--json").out)["deleted"]
    assert ("reel", True) in [(each["path"], each["directory"]) for each in lost]
    told = json.loads(station.unlocked("undelete", reel, "--json").out)
    assert (told["files"], told["bytes"]) == (1, 2 * 1024 * 1024)
    assert (reel / "in" / "a").read_bytes() == bytes(range(256)) * 8192
    assert (reel / "in" / "a").stat().st_mtime == 7
    assert studio.blocks() == blocks, "it shares them"
    again = station.run("undelete", reel / "in" / "a", "--passphrase-file", station.words)
    assert again.line == "reel/in/a was not deleted"


def test_an_earlier_content_replaces_the_present_one_only_after_a_question(studio: Studio) -> None:
    station, note = studio.station, studio.drive / "note"
    note.write_text("first")
    then = str(json.loads(station.unlocked("history", note, "--json").out)["events"][0]["version"])
    note.write_text("second")
    refused = station.run("restore", note, "--at", then, "--passphrase-file", station.words)
    assert refused.code == Exit.USAGE
    assert "has another content now: note" in refused.err
    assert note.read_text() == "second"
    early = station.run("restore", note, "--at", "1d", "--passphrase-file", station.words)
    assert early.line.startswith(
        "note was not there in version 0, the empty project: `lucidnode history`"
    )
    station.unlocked("restore", note, "--at", then, "--to", studio.drive / "as it was")
    assert (studio.drive / "as it was").read_text() == "first"
    station.unlocked("restore", note, "--at", then, "--yes")
    assert note.read_text() == "first"
    (member,) = json.loads(station.unlocked("usage", note, "--json").out)["members"]
    assert (member["bytes"], member["files"]) == (5, 1)
    assert station.unlocked("usage", note).out.split()[-1] == member["member"] != "known"
    assert not station.status()["alerts"]


def test_a_clone_shares_the_blocks_of_what_is_there_and_of_what_was(studio: Studio) -> None:
    station, drive = studio.station, studio.drive
    (drive / "the cut" / "in").mkdir(parents=True)
    (drive / "the cut" / "in" / "take").write_bytes(os.urandom(2 * 1024 * 1024))
    studio.commit()
    blocks = studio.blocks()
    (drive / "the cut" / "in" / "take").chmod(0o640)  # not sent yet: the command waits for it
    station.unlocked("clone", drive / "the cut", drive / "the cut with music")
    copy = drive / "the cut with music" / "in" / "take"
    assert copy.stat().st_mode & 0o777 == 0o640
    assert copy.read_bytes() == (drive / "the cut" / "in" / "take").read_bytes()
    assert copy.stat().st_ino != (drive / "the cut" / "in" / "take").stat().st_ino
    assert studio.blocks() == blocks
    (drive / "the cut" / "in" / "take").write_text("another")
    studio.commit()
    before = str(
        json.loads(station.unlocked("history", copy, "--json").out)["events"][0]["version"]
    )
    told = json.loads(
        station.unlocked("clone", "demo:the cut", "demo:was", "--at", before, "--json").out
    )
    assert (told["files"], told["bytes"], told["replaced"]) == (1, 2 * 1024 * 1024, 0)
    assert (drive / "was" / "in" / "take").read_bytes() == copy.read_bytes()
    words = ("--passphrase-file", station.words)
    there = station.run("clone", "demo:the cut/in", "demo:was", *words)
    assert there.line == "was/in is there already: name another place"
    inside = station.run("clone", "demo:the cut", "demo:the cut/in", *words)
    assert inside.line == "the cut/in/the cut lies in the cut"
    none = station.run("diff", "demo:nowhere", "--from", "1", *words)
    assert "has nowhere" in none.line


def test_what_is_exported_is_what_is_mounted(studio: Studio) -> None:
    station, out = studio.station, studio.station.folder / "out"
    shot = studio.drive / "shot"
    shot.mkdir()
    (shot / "frame").write_bytes(bytes(range(256)) * 8192)
    (shot / "small").write_text("small")
    os.utime(shot / "frame", ns=(1, 2_000_000_003))
    studio.commit()
    told = json.loads(station.unlocked("export", "demo:shot", out, "--json").out)
    assert (told["files"], told["missing"]) == (2, [])
    assert (out / "frame").read_bytes() == (shot / "frame").read_bytes()
    assert (out / "small").read_text() == "small"
    assert (out / "frame").stat().st_mtime_ns == 2_000_000_003
    (out / "small").unlink()
    again = json.loads(station.unlocked("export", "demo:shot", out, "--resume", "--json").out)
    assert (again["files"], again["unchanged"]) == (1, 1)
    station.unlocked("export", "demo:shot", studio.station.folder / "out.tar", "--tar")
    with tarfile.open(studio.station.folder / "out.tar") as archive:
        assert sorted(archive.getnames()) == ["shot", "shot/frame", "shot/small"]


def test_the_past_is_mounted_beside_the_present_and_comes_back_when_its_process_dies(
    studio: Studio,
) -> None:
    station, scene, then = studio.station, studio.drive / "scene", studio.station.folder / "then"
    scene.write_text("before")
    version = json.loads(station.unlocked("history", scene, "--json").out)["events"][0]["version"]
    scene.write_text("after")
    said = station.unlocked("mount", "demo", then, "--at", str(version)).err
    assert said.startswith(f"demo is mounted at {then} as it was: version {version}, of ")
    assert ((then / "scene").read_text(), scene.read_text()) == ("before", "after")
    with pytest.raises(OSError, match="Read-only"):
        (then / "scene").write_text("x")
    kill_past(station)
    until(lambda: shown(then / "scene") == "before")
    refused = station.run("exit")
    assert refused.line == (
        f"still mounted: {studio.drive}, {then}; run `lucidnode umount {studio.drive}` first"
    )
    kill_past(station)
    station.ok("umount", then)
    assert not station.processes("past-process"), "or it comes back once more"


def kill_past(station: Workstation) -> None:
    """Kill the one process that serves a mount of the past. It has a keeper."""
    kept = station.processes("keep")
    (server,) = (pid for pid in station.processes("past-process") if pid not in kept)
    os.kill(server, signal.SIGKILL)


def test_snapshots_are_below_a_directory_of_the_mount_that_asks_for_it(studio: Studio) -> None:
    station, drive = studio.station, studio.drive
    station.ok("umount", drive)
    station.unlocked("mount", "demo", drive, "--durability", "cloud", "--snapdir", "visible")
    below = drive / ".snapshots"
    rushes = drive / "rushes"
    rushes.mkdir()
    (rushes / "cut").write_text("before")
    (rushes / "again").hardlink_to(rushes / "cut")
    studio.commit()
    station.unlocked("snapshot", "create", "demo", "the first cut")
    (rushes / "cut").write_text("after")
    (rushes / "again").unlink()
    studio.commit()
    assert ".snapshots" in os.listdir(drive)
    then = below / "the first cut" / "rushes"
    assert ((then / "cut").read_text(), (rushes / "cut").read_text()) == ("before", "after")
    assert sorted(os.listdir(then)) == ["again", "cut"]
    assert (then / "cut").stat().st_ino == (then / "again").stat().st_ino
    assert (then / "cut").stat().st_ino != (rushes / "cut").stat().st_ino
    seen = [Path(folder).stat().st_ino for folder, _, _ in os.walk(drive)]
    assert len(seen) == len(set(seen))
    for change in ((then / "new").touch, below.rmdir, (then / "cut").unlink):
        with pytest.raises(OSError, match="Read-only"):
            change()
    # What walks over the project for us takes it as it is now.
    assert "rushes/cut" in survey(drive).files
    assert not [path for path in survey(drive).directories if path.startswith(".snapshots")]
    station.ok("wait", drive)
    assert "lies in a snapshot" in station.run("cached", then / "cut").err
    server = [
        pid for pid in station.processes("mount-process") if pid not in station.processes("keep")
    ]
    os.kill(server[0], signal.SIGKILL)
    until(lambda: shown(then / "cut") == "before")
    station.ok("umount", drive)
    until(lambda: not station.processes("copy-process"))
    assert not list(station.home.glob("projects/*/history/at-*"))
    station.unlocked("mount", "demo", drive, "--durability", "cloud")
    assert not below.exists()
    station.unlocked("snapshot", "delete", "demo", "the first cut", "--yes")


def shown(path: Path) -> str:
    """Return what is in *path*, or why it cannot be read."""
    try:
        return path.read_text()
    except OSError as error:
        return str(error)


def test_a_snapshot_is_a_name_that_all_commands_about_the_past_take(studio: Studio) -> None:
    station, page, then = studio.station, studio.drive / "page", studio.station.folder / "named"
    page.write_text("before")
    station.unlocked("snapshot", "create", "demo", "locked cut")
    page.write_text("after")
    made = json.loads(station.unlocked("snapshot", "list", "demo", "--json").out)["snapshots"]
    assert [(each["name"], each["scheduled"]) for each in made] == [("locked cut", False)]
    station.unlocked("snapshot", "mount", "demo", "locked cut", then)
    assert (then / "page").read_text() == "before"
    station.ok("umount", then)
    until(lambda: not station.processes("past-process"))
    assert not list(station.home.glob("projects/*/history/at-*"))
    station.unlocked("restore", page, "--at", "locked cut", "--to", studio.drive / "page then")
    assert (studio.drive / "page then").read_text() == "before"
    again = station.run(
        "snapshot", "create", "demo", "locked cut", "--passphrase-file", station.words
    )
    assert "there is a snapshot 'locked cut' already" in again.line
    assert again.code == Exit.FAILED, "it was typed rightly"
    misread = station.run("snapshot", "create", "demo", "15m", "--passphrase-file", station.words)
    assert "reads as a point in time" in misread.line
    assert not [name for name in os.listxattr(studio.drive) if "snapshot" in name]
    station.unlocked("snapshot", "delete", "demo", "locked cut", "--yes")
    assert not json.loads(station.unlocked("snapshot", "list", "demo", "--json").out)["snapshots"]


def test_what_is_imported_is_in_the_cloud_and_comes_out_as_it_was(studio: Studio) -> None:
    station = studio.station
    source, out = station.folder / "source", station.folder / "out again"
    (source / "reel").mkdir(parents=True)
    (source / "reel" / "frame").write_bytes(os.urandom(3_000_000))
    (source / "reel" / "small").write_text("small")
    os.link(source / "reel" / "small", source / "also")
    (source / "link").symlink_to("reel/frame")
    with contextlib.suppress(OSError):  # not every /tmp takes them
        os.setxattr(source / "reel" / "small", "user.grade", b"warm")
    os.utime(source / "reel" / "frame", ns=(1, 2_000_000_003))
    told = json.loads(station.ok("import", source, "demo:brought/in", "--json").out)
    assert (told["files"], told["unchanged"], told["left_out"]) == (4, 0, [])
    assert told["without_attributes"] == 0
    again = json.loads(station.ok("import", source, "demo:brought/in", "--json").out)
    assert (again["files"], again["unchanged"]) == (0, 4)
    assert sorted(os.listdir(studio.drive / "brought" / "in" / "reel")) == ["frame", "small"]
    station.unlocked("export", "demo:brought/in", out)
    assert (out / "reel" / "frame").read_bytes() == (source / "reel" / "frame").read_bytes()
    assert (out / "reel" / "frame").stat().st_mtime_ns == 2_000_000_003
    assert (out / "also").stat().st_ino == (out / "reel" / "small").stat().st_ino
    assert os.listxattr(studio.drive / "brought" / "in" / "also") == os.listxattr(source / "also")
    assert os.listxattr(out / "also") == os.listxattr(source / "also")
    assert (out / "link").readlink() == Path("reel/frame")


def test_a_quota_is_the_size_of_the_drive_and_stops_what_grows(studio: Studio) -> None:
    station, drive = studio.station, studio.drive

    def size() -> int:
        told = os.statvfs(drive)
        return told.f_blocks * told.f_frsize

    def df() -> list[int]:
        asked = ["df", "--block-size=1M", "--output=size,used,avail", str(drive)]
        return [int(each) for each in subprocess.check_output(asked).split()[-3:]]

    before = size()
    used = json.loads(station.unlocked("quota", "demo", "--json").out)["bytes"]
    limit = used + 5_000_000
    soft = used + 2_500_000
    set_to = station.unlocked("quota", "demo", f"--hard={limit}", f"--soft={soft}", "--json")
    assert json.loads(set_to.out) == {"bytes": used, "soft": soft, "hard": limit}
    taken = -(-used // 2**20)
    until(lambda: df() == [limit // 2**20, taken, soft // 2**20 - taken], 240)
    (drive / "small").write_bytes(bytes(1_000_000))
    with pytest.raises(OSError, match="quota"):
        (drive / "large").write_bytes(bytes(6_000_000))
    (drive / "small").write_bytes(bytes(1_000_000))
    station.unlocked("quota", "demo", "--off")
    until(lambda: size() >= before, 240)
    (drive / "large").write_bytes(bytes(6_000_000))
