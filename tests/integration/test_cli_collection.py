"""The commands that keep the past of a project, and free what is older."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_fixture import Workstation, workstation

from lucidnode.cli.exit_codes import Exit
from lucidnode.node.client.connection import DaemonClient
from lucidnode.node.client.ids import BlockId, ProjectId

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
    # The last of all ids: whatever chance has made of the others, nothing is listed behind it.
    stray = BlockId(bytes.fromhex("ff" * 32))
    path = station.folder / "bucket" / "p" / project / "block" / "ff" / stray.hex()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"nobody's")

    async def work() -> None:
        async with DaemonClient(station.home / "daemon.sock") as client:
            page = await client.blocks_in_bucket(ProjectId(project), None)
            assert bytes(stray) in page.ids
            assert page.is_last
            assert not (await client.blocks_in_bucket(ProjectId(project), stray)).ids
            answer = await client.delete_blocks(ProjectId(project), [stray])
            assert answer.deleted == [bytes(stray)]

    asyncio.run(work())
    assert blocks(station) == before
