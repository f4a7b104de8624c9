"""What `lucidnode doctor` makes of what it sees."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from lucidnode.cli.app import cli
from lucidnode.cli.exit_codes import Exit
from lucidnode.discovery.listening import Announced
from lucidnode.doctor import Finding, alone, clock, daemon, disk, kernel, office
from lucidnode.node.config import NodeConfig, save_config

CONFIG = NodeConfig(
    studio="s",
    genesis="ab" * 32,
    lan_key="cd" * 32,
    bucket_url="file:///none",
    min_free=0,
    mdns=False,
)
BO: dict[str, tuple[tuple[str, ...], int]] = {"b" * 32: (("10.0.0.2", "fe80::1%3"), 7450)}


@pytest.mark.parametrize(
    ("own", "heard", "others", "reached", "verdict", "words"),
    [
        ("a", {}, {}, [], "amiss", "blocked on this machine"),
        ("a", {"a": ((), 1)}, {}, [], "note", "nobody else announces"),
        (None, {}, {}, [], "note", "nobody else announces"),
        ("a", {"a": ((), 1), **BO}, BO, [], "amiss", "10.0.0.2:7450) and take no connection"),
        ("a", {"a": ((), 1), **BO}, BO, ["10.0.0.2:7450"], "amiss", "answers, and is not"),
    ],
)
def test_why_a_workstation_is_alone(
    own: str | None,
    heard: dict[str, tuple[tuple[str, ...], int]],
    others: dict[str, tuple[tuple[str, ...], int]],
    reached: list[str],
    verdict: str,
    words: str,
) -> None:
    found = alone(own, Announced(heard), others, reached)
    assert (found.verdict, words in found.found) == (verdict, True), found
    assert found.remedy


def test_workstations_of_another_release_are_told_where_nobody_else_is_heard() -> None:
    own: dict[str, tuple[tuple[str, ...], int]] = {"own": (("10.0.0.1",), 1)}
    found = alone("own", Announced(own, 2), {}, [])
    assert (found.verdict, "2 other workstation(s)" in found.found) == ("note", True)
    assert "bring all workstations to one release" in found.remedy
    assert "another release" not in alone("own", Announced({**own, **BO}, 2), BO, []).found


async def test_workstations_that_were_named_and_are_not_connected_are_tried(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    config = msgspec.structs.replace(CONFIG, peers=[f"127.0.0.1:{port}"])
    async with server:
        (answers,) = await office(tmp_path, config, None, None)
    (deaf,) = await office(tmp_path, config, None, None)
    assert (answers.verdict, deaf.verdict) == ("amiss", "amiss")
    assert answers.found == f"127.0.0.1:{port} answers, and is not connected"
    assert deaf.found == f"127.0.0.1:{port} of office.peers take no connection from here"
    linked = {"peers": [{"state": "linked"}]}
    (well,) = await office(tmp_path, config, None, linked)
    assert well.verdict == "well"


def test_a_clock_is_judged_by_the_store() -> None:
    assert clock(59).verdict == clock(-59).verdict == "well"
    assert clock(-7200).verdict == "amiss"


def test_a_disk_is_written_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    found = disk(tmp_path / "cache", CONFIG)
    assert "MB/s" in found.found, found
    assert list(tmp_path.iterdir()) == []
    with_file = tmp_path / "file"
    with_file.touch()
    assert disk(with_file, CONFIG).verdict == "amiss"
    full = disk(tmp_path, msgspec.structs.replace(CONFIG, min_free=2**59))
    assert (full.verdict, "writing stops" in full.found) == ("amiss", True), full


def test_what_can_mount_here_is_told() -> None:
    assert kernel() == Finding("FUSE", "well", "this user can mount")
    assert daemon(None).verdict == "note"
    assert daemon({"mounts": [{"mountpoint": "/drive"}]}).found == "runs; mounted: /drive"


def test_a_bucket_that_is_gone_is_amiss_with_a_remedy_and_the_exit_code_says_so(
    tmp_path: Path,
) -> None:
    save_config(tmp_path, CONFIG)
    ended = CliRunner().invoke(cli, ["--home", str(tmp_path), "doctor", "--json"])
    assert ended.exit_code == Exit.FAILED, ended.output
    found = {one["what"]: one for one in json.loads(ended.output)["findings"]}
    assert found["bucket"]["verdict"] == "amiss", found
    assert found["daemon"]["verdict"] == "note"
    shown = CliRunner().invoke(cli, ["--home", str(tmp_path), "doctor"]).output
    assert "!!  bucket: " in shown
    assert "ok  FUSE: " in shown
