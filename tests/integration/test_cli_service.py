"""The service of a home: what is listed is there while it runs, and ended in order with it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_fixture import LUCIDNODE, PASSPHRASE, Workstation, until, workstation

from lucidnode.cli.exit_codes import Exit
from lucidnode.fs.kernel.mountpoint import mounted_at

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(300)]


class Manager:
    """What systemd is to a service: hears its notices."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self.heard: list[str] = []
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(self.address)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while said := self._line.recv(4096).decode():
            self.heard.append(said)


@contextlib.contextmanager
def service(station: Workstation, manager: Manager) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service as a service manager does."""
    manager.heard.clear()
    log = os.open(station.home / "service.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    process = subprocess.Popen(
        [LUCIDNODE, "service", "run", "--passphrase-file", station.words],
        env={**station.environment, "NOTIFY_SOCKET": manager.address},
        stdin=subprocess.DEVNULL,
        stderr=log,
    )
    os.close(log)
    try:
        until(lambda: "READY=1" in manager.heard, 120, lambda: manager.heard)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def listed(station: Workstation) -> Any:
    return station.facts("service status")["mounts"]


def test_a_drive_that_is_listed_is_there_while_the_service_runs(tmp_path: Path) -> None:
    manager = Manager(tmp_path)
    with workstation(tmp_path / "a") as station:
        drive = station.folder / "drive"
        station.unlocked("init", f"file://{station.folder}/bucket")
        station.unlocked("project", "create", "demo")
        station.unlocked("mount", "demo", drive)
        said = station.unlocked("mount", "--persist", "demo", drive).err
        assert "demo is mounted at" in said
        assert "it comes back at every start once the service is there" in said
        assert station.facts("status")["persistent"] == [
            {"project": "demo", "mountpoint": str(drive), "mounted": True, "cause": ""}
        ]
        assert re.search(
            rf"^{drive} +local +0 +0 +none yet +yes *$", station.ok("status").out, re.MULTILINE
        )
        by_hand = listed(station)[0]
        assert by_hand["condition"] == "mounted"
        assert by_hand["cause"].endswith("would bring it back: `lucidnode service install`")
        wrong = station.run("mount", "--persist", "--foreground", "demo", drive)
        assert wrong.code == Exit.USAGE
        (drive / "take").write_text("before")
        said = station.ok("umount", drive).err
        assert "it comes back at the next start; --forget takes it off the list" in said
        with service(station, manager) as first:
            assert (drive / "take").read_text() == "before"
            for running in station.processes():
                assert PASSPHRASE.encode() not in Path(f"/proc/{running}/cmdline").read_bytes()
                assert PASSPHRASE.encode() not in Path(f"/proc/{running}/environ").read_bytes()
            pid = station.status()["mounts"][0]["pid"]
            assert [m["condition"] for m in listed(station)] == ["mounted"]
            second = station.run("service", "run", "--passphrase-file", station.words)
            assert "runs already" in second.err
            os.kill(first.pid, signal.SIGHUP)
            assert first.wait(60) == Exit.FAILED  # so that its successor is started
        with service(station, manager) as process:
            assert station.status()["mounts"][0]["pid"] == pid
            kept = (station.home / "mounts.json").read_bytes()
            (station.home / "mounts.json").write_text("{")
            assert "mounts.json is damaged" in station.ok("status").err
            (station.home / "mounts.json").write_bytes(kept)
            station.ok("umount", drive)
            until(lambda: listed(station)[0]["condition"] == "unmounted")
            assert f"! {drive}: demo is not mounted: it was unmounted" in station.ok("status").out
            station.unlocked("mount", "demo", drive)
            until(lambda: listed(station)[0]["condition"] == "mounted")
            assert station.status()["mounts"][0]["mountpoint"] == str(drive)
            process.terminate()
            assert process.wait(60) == 0
            until(lambda: "STOPPING=1" in manager.heard)  # by a thread that reads it
            assert mounted_at(drive) is None
            until(lambda: not station.processes())
        assert station.ok("umount", "--forget", drive).err == f"{drive} comes back no more\n"
        assert listed(station) == []
        for file in station.home.rglob("*"):
            assert not file.is_file() or PASSPHRASE.encode() not in file.read_bytes()
        assert "no service" in station.run("service", "remove").line
