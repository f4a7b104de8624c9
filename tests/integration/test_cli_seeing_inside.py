"""`lucidnode log` and `lucidnode stats`: what programs ask of a real mount, as it happens."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import opentimelineio as otio
import pytest
import yaml
from cli_fixture import LUCIDNODE, Workstation, until, workstation
from lab.places import REPOSITORY

MONITORING = REPOSITORY / "docs" / "monitoring"

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    root = tmp_path_factory.mktemp("inside")
    with workstation(root / "a", {"LUCIDNODE_LOG": "debug"}) as one:
        one.unlocked("init", f"file://{root}/bucket")
        one.change_settings(mdns=False)
        one.ok("exit")
        one.unlocked("project", "create", "demo")
        one.unlocked("mount", "demo", one.folder / "drive")
        yield one


@contextlib.contextmanager
def _following(one: Workstation, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run `lucidnode log --access WORDS` until it follows, and end it."""
    with subprocess.Popen(
        [LUCIDNODE, "log", "--access", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=one.environment,
        cwd=one.folder,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "following; Ctrl-C ends it\n"
        try:
            yield process
        finally:
            process.terminate()


def _until(process: subprocess.Popen[str], line: Callable[[str], bool]) -> list[str]:
    """Return what *process* said up to the first *line* that is wanted."""
    assert process.stdout is not None
    said: list[str] = []
    while not said or not line(said[-1]):
        said.append(process.stdout.readline())
        assert said[-1], "it ended"
    return said


def _until_it_is_told(process: subprocess.Popen[str], drive: Path) -> None:
    """Ask for a name that is not there again and again, until the first request is told."""
    told = threading.Event()

    def ask() -> None:
        while not told.wait(0.02):
            (drive / "nothing").exists()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        _until(process, lambda line: "lookup" in line)
    finally:
        told.set()
        asking.join()


def test_a_running_daemon_goes_by_settings_as_they_are_changed(one: Workstation) -> None:
    try:
        one.ok("config", "set", "cache.limit", "1GiB")
        one.ok("config", "set", "savings.price-per-gb", "0.5")
        assert one.facts("cache show")["limit"] == 1 << 30
        assert one.facts("savings")["price_per_gb"] == 0.5
        # Nobody listens there; that it was dialled shows in nothing but that it is no error.
        one.ok("config", "set", "office.peers", "127.0.0.1:9")
    finally:
        for name in ("cache.limit", "savings.price-per-gb", "office.peers"):
            one.ok("config", "unset", name)
    assert one.facts("savings")["price_per_gb"] == 0.09


def test_requests_are_told_as_they_end_without_names(one: Workstation) -> None:
    drive = one.folder / "drive"
    with _following(one, str(drive)) as process:
        _until_it_is_told(process, drive)
        (drive / "secret name").write_text("text")
        said = _until(process, lambda line: "] release (" in line)
    assert not any("secret" in line for line in said)
    ours = [line for line in said if f"[pid:{os.getpid()}]" in line]
    assert any("lookup (ino=1): ENOENT <" in line for line in ours)
    assert any("create (ino=1): OK <" in line for line in ours)
    [write] = [line for line in ours if "write (" in line]
    assert re.search(r"offset=0, size=4\): OK <\d+\.\d+", write)


def test_names_are_told_to_who_asks_for_them(one: Workstation) -> None:
    drive = one.folder / "drive"
    (drive / "folder").mkdir(exist_ok=True)
    with _following(one, "--names", "--json", "demo") as process:
        _until_it_is_told(process, drive)
        (drive / "folder" / "named").write_text("text")
        said = _until(process, lambda line: '"write"' in line)
    requests: list[dict[str, Any]] = [json.loads(line) for line in said]
    assert requests[-1]["name"] == "folder/named"
    assert "folder/named" in {each["name"] for each in requests if each["operation"] == "create"}


def test_who_follows_what_is_not_mounted_is_told_so(one: Workstation) -> None:
    ended = one.run("log", "--access", "other")
    assert ended.code != 0
    assert ended.line == "other is not mounted here: `lucidnode status` shows what is mounted"
    assert one.run("log", "--names").code == 2


def test_where_the_logs_are(one: Workstation) -> None:
    places = one.facts("log")
    assert set(places) == {"daemon", str(one.folder / "drive")}
    assert all(Path(place).exists() for place in places.values())


def test_statistics_show_what_goes_on(one: Workstation) -> None:
    drive = one.folder / "drive"
    with subprocess.Popen(
        [LUCIDNODE, "stats", "--json", "2", "2"],
        stdout=subprocess.PIPE,
        text=True,
        env=one.environment,
    ) as process:
        assert process.stdout is not None
        number = 0
        while process.poll() is None:
            (drive / f"file {number}").write_bytes(os.urandom(100_000))
            number += 1
            time.sleep(0.05)  # noqa: TID251  # a test thread, not a loop
        reports = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    assert len(reports) == 2
    assert any(report["operations"].get("create") for report in reports)
    assert any(report["bytes_per_second"]["written"] for report in reports)
    header, *lines = one.ok("stats", "0.1", "3").out.splitlines()
    assert len(lines) == 3
    assert len(header.split()) == len(reports[0]["bytes_per_second"]) + 3, "no two columns in one"
    assert one.ok("stats", "--operations", "0.1", "1").out.startswith("operation")


def test_the_metrics_of_the_daemon_have_the_requests_of_its_mounts(one: Workstation) -> None:
    (one.folder / "drive" / "counted").exists()
    # A mount tells of its requests about once a second.
    until(lambda: 'lucidnode_request_seconds_count{operation="lookup"}' in _metrics(one))


def test_the_board_and_the_rules_for_alarms_ask_for_metrics_that_there_are(
    one: Workstation,
) -> None:
    text = _metrics(one)
    families = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    there = set(families)
    there |= {f"{name}_bucket" for name, kind in families.items() if kind == "histogram"}
    labels = set(re.findall(r"[{,](\w+)=", text)) | {"instance"}  # which Prometheus adds
    board = json.loads((MONITORING / "grafana.json").read_text())
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    assert len(asked) > 15
    for expression in asked:
        assert set(re.findall(r"\blucidnode_\w+", expression)) <= there, expression
        assert set(re.findall(r"[{,] *(\w+)(?:=|!=|=~)", expression)) <= labels, expression
        assert expression.count("(") == expression.count(")"), expression
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(numbers) == len(set(numbers))
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        assert {"alert", "expr", "labels", "annotations"} <= rule.keys()
        assert {"summary", "description"} == rule["annotations"].keys()


def test_the_shell_offers_the_projects_that_are_mounted_here(one: Workstation) -> None:
    asked = {"_LUCIDNODE_COMPLETE": "bash_complete", "COMP_WORDS": "lucidnode quota de"}
    done = subprocess.run(
        [LUCIDNODE],
        capture_output=True,
        text=True,
        check=True,
        env={**one.environment, **asked, "COMP_CWORD": "2"},
    )
    assert (done.stdout, done.stderr) == ("plain,demo\n", "")


def test_a_file_that_is_locked_here_is_listed(one: Workstation) -> None:
    drive = one.folder / "drive"
    assert "no file is locked here" in one.ok("lock", "list").err
    with (drive / "bins.db").open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        listed = one.ok("lock", "list", "demo").out
        assert str(drive / "bins.db") in "".join(listed.split("\n"))
        assert "this workstation" in listed
        assert {
            "mountpoint": str(drive),
            "path": "bins.db",
            "device": "",
            "wanted_by": None,
            "locked": True,
            "holders": [
                {
                    "device": "",
                    "program": Path("/proc/self/comm").read_text().strip(),
                    "pid": os.getpid(),
                    "exclusive": True,
                    "start": 0,
                    "last": None,
                }
            ],
        } in one.facts("lock list")["locks"]
    assert "no file is locked here" in one.ok("lock", "list").err


def test_what_of_a_file_is_here_why_and_how_it_comes_and_goes(one: Workstation) -> None:
    drive = one.folder / "drive"
    reel, folder = drive / "reels" / "reel.mov", drive / "reels"
    folder.mkdir()
    content = os.urandom(5_000_000)
    reel.write_bytes(content)
    (folder / "note.txt").write_text("x" * 100)
    one.ok("wait", folder)

    def cached() -> Any:
        [found] = json.loads(one.ok("cached", folder, "--json").out)["paths"]
        return found

    assert cached() == {
        "path": str(folder),
        "files": 2,
        "bytes": 5_000_100,
        "here": 5_000_100,
        "not_in_the_cloud_yet": 0,
        "blocks": 6,
        "blocks_here": 6,
    }
    assert json.loads(one.ok("evict", folder, "--json").out)["blocks"] == 6
    assert (cached()["here"], cached()["blocks_here"]) == (0, 0)
    assert "away; asked next: the cloud" in one.ok("why", reel).out
    warmed = json.loads(one.ok("warm", reel, folder, "--json").out)
    assert warmed["from_office"] == 0
    assert 5_000_100 <= warmed["from_cloud"] < 6_000_000
    assert [each["here"] for each in warmed["paths"]] == [5_000_000, 5_000_100]
    assert "0 B of it came now" in one.ok("warm", folder).err  # nothing leaves the cloud twice
    blocks = json.loads(one.ok("why", reel, "--json").out)["blocks"]
    assert [each["offset"] for each in blocks] == [number * 1024 * 1024 for number in range(5)]
    assert {each["place"] for each in blocks} == {"cache"}
    assert {each["came_from"] for each in blocks} == {"bucket"}
    assert all(each["took_seconds"] > 0 for each in blocks)
    shown = one.ok("why", reel).out
    assert "the cloud" in shown
    assert len(shown.splitlines()) == 2  # five blocks of which the same is said
    assert len(one.ok("why", "--blocks", reel).out.splitlines()) == 6
    assert "100 %" in one.ok("cached", reel, folder).out
    assert reel.read_bytes() == content


def test_of_a_cut_what_it_shows_is_brought_and_nothing_else(one: Workstation) -> None:
    rushes = one.folder / "drive" / "rushes"
    rushes.mkdir()
    # Whole blocks: the ends of two files that are written together may lie in one.
    for name in ("A001.mov", "A002.mov"):
        (rushes / name).write_bytes(os.urandom(20 * 1024 * 1024))
    one.ok("wait", rushes)
    one.ok("evict", rushes)
    at = otio.opentime.RationalTime
    clips = [
        otio.schema.Clip(
            name,
            otio.schema.ExternalReference(
                f"file:///Volumes/Film/rushes/{name}.mov",
                otio.opentime.TimeRange(at(0, 25), at(2500, 25)),
            ),
            otio.opentime.TimeRange(at(1250, 25), at(25, 25)),
        )
        for name in ("A001", "A009")
    ]
    track = otio.schema.Track("V1", clips)
    cut = otio.schema.Timeline("reel", tracks=[track])
    otio.adapters.write_to_file(cut, str(one.folder / "reel.otio"))
    words: list[str | Path] = ["warm", "--timeline", one.folder / "reel.otio", one.folder / "drive"]
    done = one.ok(*words, "--json")
    assert "nowhere below there: A009.mov" in done.err
    [found] = json.loads(done.out)["paths"]
    assert found["path"] == str(rushes / "A001.mov")
    # The middle of it, and the two ends where its index may be.
    assert 4_000_000 < found["here"] == found["bytes"] < 8_000_000
    [whole, other] = json.loads(
        one.ok("cached", rushes / "A001.mov", rushes / "A002.mov", "--json").out
    )["paths"]
    assert whole["here"] == found["here"]
    assert other["here"] == 0
    assert "0 B of it came now" in one.ok(*words).err
    refused = one.run("warm", "--timeline", one.folder / "reel.otio", rushes / "A002.mov")
    assert "none of the 2 files of reel.otio is below there" in refused.line


def test_a_bundle_for_who_helps_names_nothing_and_nobody(one: Workstation) -> None:
    (one.folder / "drive" / "secret name").write_text("text")
    bundle = one.folder / "support.tar.gz"
    one.ok("support-bundle", bundle)
    assert bundle.stat().st_mode & 0o077 == 0
    with tarfile.open(bundle) as archive:
        files = {
            entry.name: archive.extractfile(entry).read().decode()  # type: ignore[union-attr]  # a file
            for entry in archive.getmembers()
        }
    assert {"about.json", "doctor.json", "metrics.txt", "daemon.log", "mount-1.log"} <= {
        name.removeprefix("lucidnode-support/") for name in files
    }
    assert "lucidnode_request_seconds" in files["lucidnode-support/metrics.txt"]
    settings = json.loads((one.home / "node.json").read_text())
    token = one.facts("dashboard")["url"].partition("token=")[2]
    forbidden = [settings["lan_key"], settings["genesis"], token, str(one.folder), "secret name"]
    assert not [(name, word) for name, text in files.items() for word in forbidden if word in text]
    assert "support.tar.gz" in one.run("support-bundle", bundle).line  # it is not replaced


def test_what_is_not_in_a_drive_or_too_much_for_the_cache_is_said(one: Workstation) -> None:
    assert "is in no mounted project" in one.run("cached", one.folder).line
    assert one.run("warm", one.folder / "nothing").code == 2
    large = one.folder / "drive" / "large"
    large.write_bytes(os.urandom(70 * 1024 * 1024))
    one.ok("wait", large)
    one.ok("config", "set", "cache.limit", "64MiB")
    try:
        assert "do not fit into the cache" in one.run("warm", large).line
    finally:
        one.ok("config", "unset", "cache.limit")


def test_what_is_pinned_stays_and_is_followed(one: Workstation) -> None:
    drive = one.folder / "drive"
    kept = drive / "kept" / "today"
    kept.mkdir(parents=True)
    (kept / "reel.mov").write_bytes(os.urandom(3_000_000))
    one.ok("wait", kept)
    one.ok("evict", kept)

    def pins() -> Any:
        return one.facts("pin list")["pins"]

    def pinned_bytes() -> int:
        return int(one.facts("cache show")["pinned_bytes"])

    def until_here(size: int) -> None:
        end = time.monotonic() + 30
        # What was just written is here before the mount has told that it belongs to a pin.
        while [each["here"] for each in pins()] != [size] or pinned_bytes() < size:
            assert time.monotonic() < end, pins()
            threading.Event().wait(0.2)

    assert pins() == []
    link = drive / "link"
    link.symlink_to("kept/today")
    said = one.ok("pin", "set", link).err  # what it leads to
    assert f"{kept} is pinned: 3.0 MB; 3.0 MB are being fetched" in said
    one.ok("pin", "unset", link)
    assert pins() == []
    assert f"{kept} is pinned: 3.0 MB" in one.ok("pin", "set", kept).err
    until_here(3_000_000)
    (kept / "more.mov").write_bytes(os.urandom(1_000_000))
    one.ok("wait", kept)
    until_here(4_000_000)
    assert json.loads(one.ok("evict", kept, "--json").out)["blocks"] == 0
    told = one.ok("evict", kept).err.strip()
    assert re.fullmatch(r"freed nothing; pinned, and staying: [1-9] blocks?", told)
    assert "4.0 MB are pinned, and stay" in one.ok("cache", "clear").err
    (drive / "kept" / "today").rename(drive / "kept" / "yesterday")
    moved = drive / "kept" / "yesterday"
    [pin] = pins()
    assert (pin["path"], pin["here"], pin["why"]) == (str(moved), 4_000_000, "")
    shown = one.ok("pin", "list").out
    assert "100 %" in shown
    assert str(moved) in shown
    assert "of it pinned" in one.ok("cache", "show").out
    # It is known while the project is not mounted, and after a restart.
    one.ok("umount", drive)
    one.ok("exit")
    assert "are pinned, and stay" in one.unlocked("cache", "clear").err
    [away] = one.facts("pin list")["not_mounted"]
    assert away["here"] == away["bytes"] >= 4_000_000
    one.unlocked("mount", "demo", drive)
    assert "is not pinned" in one.run("pin", "unset", drive / "kept").line
    one.ok("pin", "unset", moved)
    # What was pinned in a folder that is gone is unpinned by the path that the list shows.
    gone = drive / "gone"
    gone.mkdir()
    (gone / "cut").touch()
    one.ok("pin", "set", gone / "cut")
    shutil.rmtree(gone)
    [lost] = pins()
    assert not lost["is_there"]
    one.ok("pin", "unset", lost["path"])
    assert pins() == []
    assert pins() == []
    assert json.loads(one.ok("evict", moved, "--json").out)["blocks"] == 4
    large = drive / "large to pin"
    large.write_bytes(os.urandom(60 * 1024 * 1024))
    one.ok("wait", large)
    one.ok("config", "set", "cache.limit", "64MiB")
    try:
        assert "pins may take 53.7 MB" in one.run("pin", "set", large).line
    finally:
        one.ok("config", "unset", "cache.limit")


def test_a_thumbnailer_is_held_to_the_beginning_of_a_file_and_shown(one: Workstation) -> None:
    clip, mib = one.folder / "drive" / "clip.mov", 1024 * 1024
    content = os.urandom(6 * mib)
    clip.write_bytes(content)
    one.ok("wait", clip)
    one.ok("evict", clip)
    _forget_pages(clip)
    one.change_settings(indexer_rate=None)
    one.ok("config", "set", "indexers.per-file", "2MiB")
    # The program that the desktop starts, by its name; what it is, nobody asks.
    thumbnailer = one.folder / "totem-video-thumbnailer"
    shutil.copy(shutil.which("head") or "", thumbnailer)
    began = subprocess.run([thumbnailer, "-c", "100000", clip], check=False, capture_output=True)
    assert began.stdout == content[:100_000]
    ended = subprocess.run(
        [thumbnailer, "-c", str(6 * mib), clip], check=False, capture_output=True
    )
    assert ended.returncode != 0
    assert b"Input/output error" in ended.stderr
    assert content.startswith(ended.stdout)

    def agree() -> bool:
        [said] = one.status()["indexers"]
        return _of_indexers(_metrics(one)) == {
            what: {said["program"]: said[f"{what}_bytes"]} for what in ("fetched", "withheld")
        }

    until(agree)  # once what was on its way for it has come
    [said] = one.status()["indexers"]
    assert said["program"] == "totem-video-thumbnailer"
    assert mib <= said["fetched_bytes"] <= 4.1 * mib, "no more than 2 MiB each time"
    assert mib <= said["withheld_bytes"] <= 5 * mib
    assert "last from totem-video-thumbnailer at" in one.ok("why", clip).out
    # Nobody else is held back, and what is here then is the thumbnailer's as well.
    assert clip.read_bytes() == content
    _forget_pages(clip)
    near = subprocess.run([thumbnailer, "-c", str(6 * mib), clip], check=False, capture_output=True)
    assert near.stdout == content
    one.ok("evict", clip)
    _forget_pages(clip)
    one.ok("config", "set", "indexers.programs", "none")
    free = subprocess.run([thumbnailer, "-c", str(6 * mib), clip], check=False, capture_output=True)
    assert free.stdout == content


def _metrics(one: Workstation) -> str:
    address, _, token = one.facts("dashboard")["url"].partition("?")
    with urllib.request.urlopen(f"{address}metrics?{token}") as answer:
        text: str = answer.read().decode()
    return text


def _of_indexers(metrics: str) -> dict[str, dict[str, float]]:
    """Return how many bytes the metrics say were fetched for, and withheld from, each program."""
    found: dict[str, dict[str, float]] = {"fetched": {}, "withheld": {}}
    line = re.compile(
        r'^lucidnode_indexer_(\w+)_bytes_total\{program="([^"]+)"\} (\S+)$', re.MULTILINE
    )
    for what, program, value in line.findall(metrics):
        found[what][program] = float(value)
    return found


def _forget_pages(path: Path) -> None:
    """Have the kernel drop what it holds of the file *path*."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
