"""Old blocks are sealed anew while people work: killed in the middle, and two at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_fixture import LUCIDNODE, Workstation, until, workstation

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(240)]

MIB = 1024 * 1024


def _epoch(block: Path) -> int:
    with block.open("rb") as file:
        header = file.read(8)
    return int.from_bytes(header[4:], "big") if header[:4] == b"LNB1" else 0  # being written


def _blocks(bucket: Path, epoch: int) -> list[Path]:
    return [path for path in bucket.glob("p/*/block/*/*") if _epoch(path) == epoch]


def _left(station: Workstation) -> Any:
    said = station.unlocked("project", "rekey", "demo", "--dry-run", "--json").out
    return json.loads(said)["left"]["blocks"]


def _begun(station: Workstation, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(LUCIDNODE, "project", "rekey", "demo", "--json"),
            *words,
            *("--passphrase-file", str(station.words)),
        ],
        env=station.environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def _seen(drive: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ctime_ns)
        for path in drive.iterdir()
    }


def test_what_is_there_is_sealed_anew_and_nobody_sees_more_of_it_than_that(tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    with workstation(tmp_path / "a") as ada, workstation(tmp_path / "b") as bo:
        ada.unlocked("init", f"file://{bucket}", "--name", "Ada")
        ada.unlocked("project", "create", "demo", "--block-size", "256K")
        ticket, code = ada.unlocked("invite", "--unattended", "--for", "Bo").out.splitlines()
        bo.unlocked(
            *("join", f"@{bo.secret_file('ticket', ticket)}"),
            *("--code-file", bo.secret_file("code", code), "--name", "Bo"),
        )
        drive = ada.folder / "drive"
        ada.unlocked("mount", "demo", drive)
        (drive / "film").write_bytes(os.urandom(4 * MIB))
        for number in range(20):
            (drive / f"note {number}").write_text(f"note {number}")
        until(lambda: not any(mount["pending"] for mount in ada.status()["mounts"]))
        ada.unlocked("members", "revoke", "Bo", "--yes")
        assert ada.status()["rekeys"] == []
        before, old = _seen(drive), _left(ada)
        assert old == len(_blocks(bucket, 1)) >= 17

        # Killed in the middle, while a program has a file open, which it reads on in.
        slow = _begun(ada, "--rate", "300kB/s")
        with (drive / "film").open("rb") as held:
            until(lambda: _blocks(bucket, 2))
            slow.send_signal(signal.SIGKILL)
            slow.communicate()
            with (drive / "note 3").open("r+") as note:
                note.write("gone on with")
            before["note 3"] = _seen(drive)["note 3"]

            # Two at once go on.
            both = [_begun(ada) for _ in range(2)]
            told = [json.loads(each.communicate(timeout=90)[0]) for each in both]
            assert [each.returncode for each in both] == [0, 0]
            assert [each["left"]["blocks"] for each in told] == [0, 0]
            assert held.read() == before["film"][0]

        assert _left(ada) == 0
        until(
            lambda: (
                [(said["left_blocks"], said["is_behind"]) for said in ada.status()["rekeys"]]
                == [(0, False)]
            )
        )
        assert "sealed without those who were put out, by" in ada.ok("status").out
        assert not list((ada.home / "projects").glob("*/rekey-*")), "what was killed is tidied up"

        # Nothing lies in a block that Bo has a key to: without them all of it is as it was.
        for block in _blocks(bucket, 1):
            block.unlink()
        ada.ok("umount", drive)
        ada.ok("cache", "clear")
        ada.unlocked("mount", "demo", drive)
        assert _seen(drive) == before
        assert "no conflict" in ada.ok("conflicts", "list").out + ada.ok("conflicts", "list").err
