"""`lucidnode fsck` tells by its exit code whether a project is whole, and names what is not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cli_fixture import until, workstation

from lucidnode.cli.exit_codes import Exit

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(300)]


def test_damage_in_the_bucket_is_named_with_its_files(tmp_path: Path) -> None:
    with workstation(tmp_path / "a") as station:
        bucket = station.folder / "bucket"
        station.unlocked("init", f"file://{bucket}")
        station.unlocked("project", "create", "demo")
        drive = station.folder / "drive"
        station.unlocked("mount", "demo", drive, "--durability", "cloud")
        (drive / "film").mkdir()
        (drive / "film" / "cut").write_bytes(os.urandom(300_000))
        (drive / "film" / "cut").rename(drive / "film" / "final")
        directory = os.open(drive, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        whole = json.loads(station.unlocked("fsck", "demo", "--blocks", "--json").out)
        assert (whole["damaged"], whole["findings"], whole["replica"]) == (False, [], "mounted")
        assert whole["blocks_read"] == whole["blocks"] > 0
        station.ok("umount", drive)

        def replica() -> str:
            return str(json.loads(station.unlocked("fsck", "demo", "--json").out)["replica"])

        until(lambda: replica() == "right", 120)  # its process may still be ending
        blocks = list(bucket.glob("p/*/block/*/*"))
        for block in blocks:
            content = bytearray(block.read_bytes())
            content[1000] ^= 1
            block.write_bytes(content)
        spoilt = [block.read_bytes() for block in blocks]
        [journal] = bucket.glob("p/*/journal")
        foreign = journal.with_name("notes")
        foreign.touch()
        listed = station.unlocked("fsck", "demo").out
        assert "foreign: project notes: nothing of ours has such a name" in listed
        foreign.unlink()
        assert "nothing is missing or damaged" in listed, "its bytes were not asked for"
        altered = station.run(
            "fsck", "demo", "--blocks", "--json", "--passphrase-file", station.words
        )
        assert altered.code == Exit.DAMAGED
        found = json.loads(altered.out)["findings"]
        assert {(each["amiss"], *each["files"]) for each in found} == {("damaged", "film/final")}
        words = ("--passphrase-file", station.words)
        shown = station.run("repair", "demo", "--blocks", *words)
        assert shown.code == Exit.DAMAGED
        assert "  lie in them: film/final" in shown.out
        assert [block.read_bytes() for block in blocks] == spoilt, "nothing was changed"
        blocks[0].unlink()
        put = station.run("repair", "demo", "--blocks", "--put-back", "--yes", *words)
        assert put.code == 0, put
        assert f"right again: {len(blocks)} block" in put.out
        station.unlocked("fsck", "demo", "--blocks")
        station.ok("cache", "clear")
        for block in blocks:
            block.unlink()
        gone = station.run("repair", "demo", "--blocks", "--put-back", "--yes", *words)
        assert gone.code == Exit.DAMAGED
        assert "  without a block: film/final" in gone.out
        [entry] = bucket.glob("p/*/journal/0000000000000001")
        entry.unlink()
        told = station.run("fsck", "demo", "--passphrase-file", station.words)
        assert told.code == Exit.DAMAGED
        assert "missing: block " in told.out
        assert "  touches: film/final" in told.out
        assert "missing: journal 0000000000000001" in told.out
        assert "`lucidnode repair demo --put-back`" in told.out
