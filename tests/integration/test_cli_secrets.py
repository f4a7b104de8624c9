"""Secrets stay where they belong: not in arguments, logs, or what others can open."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import stat
import subprocess
import threading
from pathlib import Path
from typing import Self

import pytest
from cli_fixture import PASSPHRASE, Workstation, workstation

from lucidnode import membership, node_key
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.node import sealed_file
from lucidnode.node.config import lan_key_of, load_config

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]

PROJECT, NAME = "a film that nobody knows of", "a file of which nobody may hear"


class Onlooker:
    """Reads all the arguments of all processes of this machine, over and over."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue


def spellings(secret: bytes) -> list[bytes]:
    return [secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"=")]


def keys(station: Workstation) -> list[bytes]:
    """Return every key that opens what the studio keeps secret from its bucket and daemons."""
    mine = membership.unlock(station.home, PASSPHRASE)
    entries = [path.read_bytes() for path in sorted((station.folder / "bucket/roster").iterdir())]
    projects = RosterView.read(entries, mine).projects()
    assert projects
    found = [mine.name_key, mine.keys.sign_seed, mine.keys.box_secret]
    for project in projects:
        found += [project.keys.replica, *_derived(project.keys)]
    return found


def _derived(project: ProjectKeys) -> list[bytes]:
    return [
        key
        for epoch in project.epochs.values()
        for key in dataclasses.astuple(epoch)
        if isinstance(key, bytes)
    ]


def of_the_device(station: Workstation) -> list[bytes]:
    """Return what lets somebody act as this device, or know the studio on a LAN."""
    mine = membership.unlock(station.home, PASSPHRASE)
    sealed_file.hold(station.home, key := node_key.open_kept(station.home, mine.keys))
    lan_key = lan_key_of(station.home, load_config(station.home))
    pem = station.opened("device.pem").splitlines()
    assert pem[0] == b"-----BEGIN PRIVATE KEY-----"
    private = base64.b64decode(pem[1])[-32:]  # PKCS #8 ends with the seed
    secret = station.opened("webhook.secret")
    return [*spellings(key), *spellings(lan_key), *spellings(private), pem[1], secret]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_secrets_are_in_no_file_and_no_argument_and_homes_are_closed(tmp_path: Path) -> None:
    with Onlooker() as onlooker, workstation(tmp_path / "a") as station:
        os.umask(0o022)
        station.unlocked("init", f"file://{station.folder}/bucket")
        station.unlocked("project", "create", PROJECT)
        ticket, code = station.unlocked("invite", "--unattended").out.split()
        mountpoint = station.folder / "mount"
        station.unlocked("mount", PROJECT, mountpoint)
        (mountpoint / NAME).write_bytes(b"phrase that nobody may find" * 1000)
        with workstation(tmp_path / "b") as second:
            code_file = second.secret_file("code", code)
            second.unlocked("join", ticket, "--code-file", code_file)
            second.unlocked("mount", PROJECT, second.folder / "mount", "--read-only")
            assert (second.folder / "mount" / NAME).stat().st_size > 0
            second.ok("umount", second.folder / "mount")
            second.ok("exit")
            code_file.unlink()
            second.words.unlink()
            looked_at = files(second.folder)
        station.ok("umount", mountpoint)
        station.ok("exit")
        secret = [spelling for key in keys(station) for spelling in spellings(key)]
        secret += of_the_device(station)
        secret += [PASSPHRASE.encode(), code.encode(), b"phrase that nobody may find"]
        names = [PROJECT.encode(), NAME.encode()]
        station.words.unlink()
        looked_at += files(station.folder)
        assert len(looked_at) > 20
        for path in looked_at:
            contents = path.read_bytes()
            assert not [one for one in secret + names if one in contents], path
        assert any(b"mount-process" in arguments for arguments in onlooker.seen)
        for arguments in onlooker.seen:
            assert not [one for one in secret if one in arguments]
        for home in (station.home, tmp_path / "b/home"):
            closed(home)


def closed(home: Path) -> None:
    """Check that nobody else gets into *home*, and that no file of its own relies on that."""
    for path in [home, *home.rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        elif not path.is_symlink():
            assert mode & 0o077 == 0, path
        stranger = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", path],
            capture_output=True,
            check=False,
        )
        assert stranger.returncode != 0, path


def test_the_sockets_file_is_for_us_alone(tmp_path: Path) -> None:
    with workstation(tmp_path / "a") as station:
        station.unlocked("init", f"file://{station.folder}/bucket")
        station.unlocked("daemon")
        assert stat.S_IMODE((station.home / "daemon.sock").stat().st_mode) == 0o600
        settings = json.loads((station.home / "node.json").read_text())
        assert "passphrase" not in settings
        station.ok("exit")
