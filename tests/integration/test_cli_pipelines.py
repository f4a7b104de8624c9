"""What pipelines use, on a real mount: events, waiting, conflicts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from cli_fixture import LUCIDNODE, Workstation, until, workstation

from lucidnode import api
from lucidnode.fs.errors import Invalid, MountPointMissing

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    root = tmp_path_factory.mktemp("pipelines")
    with workstation(root / "a") as station:
        station.unlocked("init", f"file://{root}/bucket")
        station.change_settings(mdns=False)
        station.ok("exit")
        station.unlocked("project", "create", "demo")
        station.unlocked("mount", "demo", station.folder / "drive")
        yield station


@pytest.fixture
def drive(station: Workstation) -> Path:
    return station.folder / "drive"


@contextlib.contextmanager
def following(station: Workstation, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run `lucidnode events --follow --json WORDS` until it follows, and end it."""
    with subprocess.Popen(
        [LUCIDNODE, "events", "--follow", "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=station.environment,
        cwd=station.folder,
    ) as process:
        assert process.stderr is not None
        assert "following from entry" in process.stderr.readline()
        try:
            yield process
        finally:
            process.terminate()


def upto(process: subprocess.Popen[str], path: str) -> list[dict[str, Any]]:
    """Return what *process* told up to the first event of *path*."""
    assert process.stdout is not None
    told: list[dict[str, Any]] = []
    while not told or told[-1]["path"] != path:
        line = process.stdout.readline()
        assert line, "it ended"
        told.append(json.loads(line))
    return told


def newest(station: Workstation) -> int:
    """Return the number of the newest entry, once nothing waits."""
    until(lambda: not station.status()["mounts"][0]["pending"])
    return int(station.status()["mounts"][0]["head"])


def test_who_follows_hears_what_happens_also_after_the_mount_died_and_came_back(
    station: Workstation, drive: Path
) -> None:
    since = newest(station)
    with following(station) as process:
        (drive / "shots").mkdir()
        (drive / "shots" / "a.exr").write_bytes(b"frame")
        (drive / "shots" / "a.exr").rename(drive / "shots" / "b.exr")
        (drive / "first").touch()
        told = upto(process, "first")
        os.kill(station.status()["mounts"][0]["pid"], signal.SIGKILL)
        until(lambda: os.access(drive / "shots" / "b.exr", os.R_OK))
        (drive / "second").touch()
        told += upto(process, "second")
    newest(station)
    lines = station.ok("events", "demo", "--since", str(since), "--json").out.splitlines()
    again = [json.loads(line) for line in lines]
    assert again[: len(told)] == told, "nothing twice, nothing missed"
    assert len({event["workstation"] for event in again} | {""}) == 2
    assert {"first", "second", "shots", "shots/b.exr"} <= {event["path"] for event in again}


def test_globs_choose_and_lines_name_who_and_what(station: Workstation, drive: Path) -> None:
    since = newest(station)
    for name in ("one.exr", "two.mov"):
        (drive / name).write_bytes(name.encode())
    station.ok("wait", drive / "one.exr", drive / "two.mov")
    told = station.ok("events", "--since", str(since), "--path", "*.exr").out
    assert '"one.exr"' in told
    assert "two.mov" not in told
    assert " by " in told
    assert station.run("events").code == 2, "neither --follow nor --since"
    assert station.run("events", "--follow", "nowhere").code == 7


def test_wait_returns_when_all_is_in_the_cloud_and_says_what_is_not(
    station: Workstation, drive: Path
) -> None:
    (drive / "deep" / "er").mkdir(parents=True)
    film = drive / "deep" / "er" / "film"
    with film.open("wb") as open_file:
        open_file.write(b"a frame")
        open_file.flush()
        late = station.run("wait", "--timeout", "0", "--json", drive / "deep")
        assert late.code == 15
        assert str(film) in late.err
        assert json.loads(late.out)["waiting"][-1] == str(film)
    done = json.loads(station.ok("wait", "--json", drive / "deep").out)
    assert (done["files"], done["waiting"]) == (3, [])
    assert os.getxattr(film, "user.lucid.state") == b"cloud"


class Receiver(BaseHTTPRequestHandler):
    """Takes everything, and keeps it."""

    taken: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append(json.loads(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_webhook_is_told_of_entries_until_it_is_removed(
    station: Workstation, drive: Path
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/hook"
        added = json.loads(
            station.ok("webhook", "add", url, "--project", "demo", "--paths", "--json").out
        )
        assert len(added["secret"]) == 64
        station.ok("webhook", "test", added["id"])
        assert Receiver.taken == [{"event": "test"}]
        until(lambda: station.facts("webhook list")["webhooks"][0]["behind"])
        (drive / "told").touch()
        until(lambda: len(Receiver.taken) > 1)
        [change] = Receiver.taken[1]["changes"]
        assert (change["event"], change["path"]) == ("create", "told")
        assert station.run("webhook", "add", "ftp://nowhere").code == 1
        station.ok("webhook", "remove", added["id"])
        assert station.run("webhook", "test", added["id"]).code == 1
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def test_a_file_is_taken_listed_released_and_broken(station: Workstation, drive: Path) -> None:
    file = drive / "reel.txt"
    file.write_text("one")
    seq = newest(station)
    taken = json.loads(station.ok("lock", "take", file, "--json").out)
    assert [each["path"] for each in taken["files"]] == [str(file)]
    [lease] = station.facts("lock list")["leases"]
    assert (lease["path"], lease["device"], lease["taken"]) == ("reel.txt", "", True)
    assert "somebody locked it" in station.ok("lock", "list", "demo").out
    assert os.getxattr(file, "user.lucid.lock") == b"taken"
    station.ok("lock", "release", file)
    assert not station.facts("lock list")["leases"]
    station.ok("lock", "take", file)
    station.ok("lock", "break", "--yes", file)
    assert not station.facts("lock list")["leases"]
    assert station.run("lock", "take", drive).code == 1
    assert station.run("lock", "take", station.folder).code == 7
    newest(station)
    told = station.ok("events", "demo", "--since", str(seq), "--json").out
    kinds = [json.loads(line)["event"] for line in told.splitlines()]
    assert [kind for kind in kinds if kind.endswith("lock")] == ["lock", "unlock"] * 2


def test_wait_knows_what_it_cannot_wait_for(station: Workstation, drive: Path) -> None:
    assert station.run("wait", station.folder).code == 7
    missing = station.run("wait", drive / "missing")
    assert (missing.code, "missing" in missing.err) == (1, True)


def test_a_conflict_is_named_and_settled_by_keeping_one_version(
    station: Workstation, drive: Path
) -> None:
    [mount] = station.facts("conflicts list")["mounts"]
    assert "no conflicts" in station.run("conflicts", "list", drive).err
    mine = f"(conflict, {mount['workstation']}, 2026-03-01 10-00-00)"
    (drive / "cuts").mkdir()
    cases: dict[tuple[str, str], str] = {
        ("mine", f"a {mine}.prproj"): "copy",
        ("theirs", f"b {mine}.prproj"): "first",
        ("mine", "c (conflict, berta, 2026-03-01 10-00-00, 2).prproj"): "first",
        ("theirs", "d (conflict, berta, 2026-03-01 10-00-00).prproj"): "copy",
    }
    # The same on the dashboard, which can keep both as well.
    on_page: dict[tuple[str, str], str] = {
        ("mine", f"e {mine}.prproj"): "copy",
        ("theirs", f"f {mine}.prproj"): "first",
        ("dismiss", f"g {mine}.prproj"): "first",
    }
    for _, name in (*cases, *on_page):
        (drive / "cuts" / f"{name[0]}.prproj").write_text("first")
        (drive / "cuts" / name).write_text("copy")
    newest(station)
    # Names of this shape that a person typed count from the next start of the mount on.
    os.kill(station.status()["mounts"][0]["pid"], signal.SIGKILL)
    until(lambda: len(station.status()["conflicts"]) == len(cases) + len(on_page))
    shown = station.ok("status").out
    assert all(str(drive / "cuts" / name) in shown for _, name in cases)
    since = newest(station)
    for (whose, name), kept in cases.items():
        copy = drive / "cuts" / name
        assert station.run("conflicts", "keep", whose, copy).code == 2, "nobody to ask"
        assert station.ok("conflicts", "keep", whose, "--yes", copy).err.endswith(
            "1 conflict settled\n"
        )
        assert not copy.exists()
        assert (drive / "cuts" / f"{name[0]}.prproj").read_text() == kept
    for (order, name), kept in on_page.items():
        assert (
            drive / "cuts" / name
        ).read_text() == "copy"  # and the kernel keeps that it is there
        _settle_on_the_page(station, mount["mountpoint"], f"cuts/{name}", order)
        assert not (drive / "cuts" / name).exists()
        assert (drive / "cuts" / f"{name[0]}.prproj").read_text() == kept
    assert (drive / "cuts" / f"g {mine}.prproj".replace("conflict", "version")).exists()
    until(lambda: station.status()["mounts"][0]["conflicts"] == 0)
    assert station.status()["conflicts"] == []
    newest(station)
    told = station.ok("events", "--since", str(since)).out
    assert told.count(" settled ") == len(cases) + len(on_page)
    assert station.run("conflicts", "keep", "mine", drive / "cuts" / "a.prproj").code == 2


def _settle_on_the_page(station: Workstation, mountpoint: str, path: str, order: str) -> None:
    """Do what a button of the dashboard does."""
    address, _, token = station.facts("dashboard")["url"].partition("?token=")
    [shown] = [
        each
        for each in station.status()["conflicts"]
        if (each["mountpoint"], each["path"]) == (mountpoint, path)
    ]
    request = urllib.request.Request(
        f"{address}conflicts",
        json.dumps({"project": shown["project"], "path": path, "order": order}).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # on loopback
        assert answer.status == 200


def test_a_program_finds_a_project_waits_and_hears_what_happens(
    station: Workstation, drive: Path
) -> None:
    [project] = api.projects(station.home)
    assert api.project("demo", station.home) == project == api.project(project.id, station.home)
    assert (project.name, project.mountpoint) == ("demo", drive)
    since = newest(station)
    film = project.path("by program")
    film.write_bytes(b"frames")
    project.wait(film, "by program", timeout_s=60)
    assert project.state("by program") == "cloud"
    told = list(project.events(since, follow=False))
    # Once, or more often where an entry was ended between the making of the file and its closing.
    assert {event.path for event in told if isinstance(event, api.ProjectEvent)} == {"by program"}
    following = project.events(since)
    assert next(following) == told[0]
    following.close()
    assert project.conflicts() == []
    for outside in ("../elsewhere", "/etc/passwd"):
        with pytest.raises(Invalid):
            project.path(outside)
    with pytest.raises(MountPointMissing, match="not mounted here"):
        api.project("nowhere", station.home)


def test_fsspec_reaches_a_project_by_its_name(station: Workstation, drive: Path) -> None:
    since = newest(station)
    files = fsspec.filesystem("lucidnode", home=str(station.home))
    assert [each["name"] for each in files.ls("lucidnode://")] == ["demo"]
    files.makedirs("demo/pipe/in")
    with files.open("lucidnode://demo/pipe/in/a.bin", "wb") as made:
        made.write(b"a block")
    local = station.folder / "local"
    local.write_bytes(b"put here")
    files.put(str(local), "demo/pipe/in/b.bin")
    files.get("demo/pipe/in/b.bin", str(station.folder / "back"))
    assert (station.folder / "back").read_bytes() == b"put here"
    files.wait("demo/pipe", timeout_s=60)
    found = files.info("lucidnode://demo/pipe/in/a.bin")
    assert (found["type"], found["size"], found["state"]) == ("file", 7, "cloud")
    assert files.ls("demo/pipe/in", detail=False) == ["demo/pipe/in/a.bin", "demo/pipe/in/b.bin"]
    assert files.cat_file("demo/pipe/in/a.bin", 2, 5) == b"blo"
    assert files.find("demo/pipe") == ["demo/pipe/in/a.bin", "demo/pipe/in/b.bin"]
    files.mv("demo/pipe/in/a.bin", "demo/pipe/c.bin")
    files.copy("demo/pipe/c.bin", "demo/pipe/d.bin")
    files.rm("demo/pipe/in", recursive=True)
    assert files.glob("demo/pipe/*") == ["demo/pipe/c.bin", "demo/pipe/d.bin"]
    with fsspec.open("lucidnode://demo/pipe/d.bin", home=str(station.home)) as copied:
        assert copied.read() == b"a block"
    with pytest.raises(FileNotFoundError):
        files.info("demo/pipe/missing")
    files.wait("demo/pipe", timeout_s=60)
    newest(station)
    told = list(files.events("demo/pipe", since, follow=False))
    assert {"pipe/in/b.bin", "pipe/d.bin"} <= {event.path for event in told}
