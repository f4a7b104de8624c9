"""The commands that keep the past of a project, and free what is older."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import later_collection
import msgspec
import pytest
from cli_fixture import PASSPHRASE, Workstation, workstation
from seaweed_fixture import running_seaweed

from lucidnode import membership
from lucidnode.cli.exit_codes import Exit
from lucidnode.fs.collection.daily import RoundFailed
from lucidnode.fs.collection.round_process import run_round
from lucidnode.fs.collection.round_spec import Collected
from lucidnode.fs.mount_spec import MountSpec
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.ids import BlockId, ProjectId, Seq

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    with workstation(tmp_path_factory.mktemp("station") / "a") as station:
        station.unlocked("init", f"file://{station.folder}/bucket")
        station.unlocked("project", "create", "demo")
        yield station


def blocks(station: Workstation) -> set[Path]:
    return set(station.folder.glob("bucket/p/*/block/*/*"))


def test_how_long_the_past_is_kept_is_shown_and_set(station: Workstation) -> None:
    def days() -> object:
        return json.loads(station.unlocked("retention", "show", "demo", "--json").out)["days"]

    assert days() == 30
    station.unlocked("retention", "set", "demo", "90")
    assert days() == 90
    refused = station.run("retention", "set", "demo", "29")
    assert refused.code == Exit.USAGE
    assert "30" in refused.err


def test_what_is_unused_is_shown_then_listed_and_nothing_goes_before_its_time(
    station: Workstation,
) -> None:
    drive = station.folder / "drive"
    station.unlocked("mount", "demo", drive, "--durability", "cloud")
    (drive / "kept").write_bytes(b"kept" * 3000)
    (drive / "gone").write_bytes(b"gone" * 3000)
    (drive / "gone").unlink()
    station.ok("umount", drive)
    before = blocks(station)

    def gc(*options: str) -> Any:
        return json.loads(station.unlocked("gc", "demo", *options, "--json").out)

    dry = gc()
    assert dry["dry_run"] is True
    assert dry["stored"]["blocks"] == len(before)
    assert dry["condemned"]["blocks"] == dry["stored"]["blocks"] - dry["used"]["blocks"] > 0
    listed = gc("--now")
    assert listed["condemned"] == dry["condemned"]
    standing = gc("--now")
    assert standing["standing"] == dry["condemned"]
    assert standing["condemned"]["blocks"] == standing["deleted"]["blocks"] == 0
    assert blocks(station) == before
    assert "due on" in station.unlocked("gc", "demo").err


def test_the_daemon_lists_and_deletes_what_it_is_told_to_and_nothing_else(
    station: Workstation,
) -> None:
    [project] = [path.name for path in station.folder.glob("bucket/p/*")]
    before = blocks(station)
    entries = len(list((station.folder / "bucket" / "p" / project / "journal").iterdir()))
    # The last of all ids: whatever chance has made of the others, nothing is listed behind it.
    stray = BlockId(bytes.fromhex("ff" * 32))
    path = station.folder / "bucket" / "p" / project / "block" / "ff" / stray.hex()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"nobody's")

    async def work() -> None:
        async with DaemonClient(station.home / "daemon.sock") as client:
            page = await client.collection.page(ProjectId(project), None)
            assert bytes(stray) in page.ids
            assert page.is_last
            assert not (await client.collection.page(ProjectId(project), stray)).ids
            assert await client.journal.end(ProjectId(project), Seq(0)) == entries
            answer = await client.collection.delete(ProjectId(project), [stray])
            assert answer.deleted == [bytes(stray)]

    asyncio.run(work())
    assert blocks(station) == before


def test_a_round_is_done_by_a_process_of_its_own(station: Workstation, tmp_path: Path) -> None:
    [project] = [path.name for path in station.folder.glob("bucket/p/*")]
    spec = MountSpec(
        home=str(station.home),
        mountpoint="/nowhere",
        membership=membership.unlock(station.home, PASSPHRASE),
        project=ProjectId(project),
        durability="local",
        read_only=False,
        allow_other=False,
        collection_requests=1000,
    )
    told = asyncio.run(run_round(spec, b""))
    assert told == Collected(due_ns=told.due_ns), "nothing is due, and nobody made an entry"
    with pytest.raises(RoundFailed, match="daemon"):
        asyncio.run(run_round(msgspec.structs.replace(spec, home=str(tmp_path)), b""))


class _Round:
    """A round by *station*, some days from now, that does one step after the other."""

    def __init__(self, station: Workstation, project: str, days: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, later_collection.__file__, str(station.home), project, str(days)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=station.environment | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        )
        self.says(PASSPHRASE)

    def says(self, words: str = "") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()

    def before(self, step: str) -> None:
        """Let it go on until it is about to do *step*."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(step):
                return
            self.says()
        raise AssertionError(f"it never came to {step}: {self._process.communicate()[1]}")

    def killed(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=20)

    def rest(self) -> str:
        """Let it go on to its end; return what it said last, or of what it died."""
        out, err = self._process.communicate("\n" * 100, timeout=60)
        return (out if self._process.returncode == 0 else err).splitlines()[-1]


@pytest.mark.slow
def test_a_collection_that_is_killed_anywhere_is_finished_by_another_workstation(
    tmp_path: Path,
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKOWNER", "AWS_SECRET_ACCESS_KEY": "owner-secret-0123456789"}
    with (
        running_seaweed() as store,
        workstation(tmp_path / "a", keys) as ada,
        workstation(tmp_path / "b", keys) as bo,
    ):
        ada.unlocked("init", "s3://studio", "--endpoint-url", store.endpoint, "--name", "Ada")
        ada.unlocked("project", "create", "demo")
        ticket, code = ada.unlocked("invite", "--unattended", "--for", "Bo").out.splitlines()
        bo.unlocked(
            *("join", f"@{bo.secret_file('ticket', ticket)}"),
            *("--code-file", bo.secret_file("code", code), "--name", "Bo"),
        )
        drive = ada.folder / "drive"
        ada.unlocked("mount", "demo", drive, "--durability", "cloud")
        (drive / "kept").write_bytes(b"kept" * 3000)
        (drive / "gone").write_bytes(b"gone" * 3000)
        (drive / "gone").unlink()
        project = ada.status()["mounts"][0]["project"]
        ada.ok("umount", drive)

        def figures(*options: str) -> Any:
            return json.loads(bo.unlocked("gc", "demo", "--json", *options).out)

        unused = figures()["condemned"]["blocks"]
        assert unused > 0
        for days, step, nothing_yet, done in (
            (0, "listing what is unused", "condemned", "standing"),
            (34, "looking at what has stood", "standing", "waiting"),
        ):
            broken = _Round(ada, project, days)
            broken.before(step)
            broken.killed()
            assert figures()[nothing_yet]["blocks"] == unused
            assert json.loads(_Round(bo, project, days).rest())["freed_blocks"] == 0
            assert figures()[done]["blocks"] == unused
        broken = _Round(ada, project, 36)
        broken.before("deleting")
        ada.kill("daemon")
        assert "freed_blocks" not in broken.rest()
        freed = json.loads(_Round(bo, project, 36).rest())["freed_blocks"]
        assert 0 <= freed <= unused
        after = figures()
        assert after["stored"] == after["used"]
        bo.unlocked("fsck", "demo", "--blocks")
        there = bo.folder / "drive"
        bo.unlocked("mount", "demo", there)
        assert (there / "kept").read_bytes() == b"kept" * 3000
        bo.ok("umount", there)
