"""docs/security.md, "Attackers": who has less than a member, or was one, against real daemons that work."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from cli_fixture import Workstation, until, workstation

from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.format.journal_entry import EntryBody, seal_entry
from lucidnode.fs.format.sodium import random_bytes
from lucidnode.fs.project_home import project_directory
from lucidnode.fs.replica.inode import ROOT, Kind
from lucidnode.fs.replica.intents import Create
from lucidnode.fs.replica.replica import Replica
from lucidnode.membership import unlock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.journal import entry_hash
from lucidnode.node.client.wire import CommitReply, CommitRequest

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(200)]

WORDS = b"what nobody outside may read"


class Forger:
    """Whoever has Bo's home and a program of his own: signs by Bo's daemon, and asks no rule."""

    def __init__(self, bo: Workstation, bucket: Path, project: ProjectId) -> None:
        self._bo = bo
        self._project = project
        self._mine = unlock(bo.home, bo.words.read_text().strip())
        self._journal = bucket / "p" / project / "journal"
        self.learn()

    def newest(self) -> tuple[int, bytes]:
        """Return number and link of what stands last in the journal."""
        path = max(self._journal.iterdir())
        return int(path.name), entry_hash(path.read_bytes())

    def learn(self) -> None:
        """Take the keys of now, as long as he is given any."""
        access = self._open()
        self._keys, self._device = access.keys(), access.device

    def forge(self, name: bytes) -> None:
        """Put an entry that makes the file *name* into the next slot, with the keys he has."""
        copy = self._bo.folder / f"copy-{name.decode()}"
        shutil.copytree(project_directory(self._bo.home, self._project), copy)
        with closing(Replica.open(copy / "replica.db", self._keys.replica, "forger")) as replica:
            made = Create(ROOT, name, replica.new_ino(), Kind.FILE, 0o644, 0, 0, time.time_ns())
            replica.apply(made)
            batch = replica.pending.next_batch(None)
            assert batch is not None
        seq, link = self.newest()
        unsigned = seal_entry(
            self._keys,
            Seq(seq + 1),
            link,
            self._device,
            EntryBody(time.time_ns(), batch.changeset),
            attempt=random_bytes(16),
            nonce=random_bytes(32),
        )
        reply = asyncio.run(self._commit(Seq(seq + 1), unsigned))
        assert reply.outcome == "committed", reply

    def _open(self) -> ProjectAccess:
        async def opened() -> ProjectAccess:
            async with DaemonClient(self._bo.home / SOCKET_FILE) as client:
                return await ProjectAccess.open(client.roster, self._mine, self._project)

        return asyncio.run(opened())

    async def _commit(self, seq: Seq, unsigned: bytes) -> CommitReply:
        async with DaemonClient(self._bo.home / SOCKET_FILE) as client:
            return await client.journal.commit(self._project, seq, CommitRequest(unsigned, []))


def _listens(station: Workstation) -> set[int]:
    """Return the ports at which the daemon of *station* listens for anybody."""
    found = [
        one
        for pid in station.processes("daemon")
        for one in psutil.Process(pid).net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    ]
    return {one.laddr.port for one in found if one.laddr.ip not in {"127.0.0.1", "::1"}}


def _heard(port: int, said: bytes) -> bytes:
    """Return what whoever listens on *port* answers to a stranger who says *said*."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(said)
        heard = b""
        try:
            while more := connection.recv(4096):
                heard += more
        except ConnectionResetError:
            pass
        return heard


def _others_go_on(here: Path, there: Path, name: str) -> None:
    (here / name).write_text(name)
    until(lambda: (there / name).is_file() and (there / name).read_text() == name)


def test_strangers_viewers_who_forge_and_members_who_were_put_out_change_nothing(
    tmp_path: Path,
) -> None:
    bucket = tmp_path / "bucket"
    with (
        workstation(tmp_path / "a") as ada,
        workstation(tmp_path / "b") as bo,
        workstation(tmp_path / "c") as cy,
    ):
        ada.unlocked("init", f"file://{bucket}", "--name", "Ada")
        ada.unlocked("project", "create", "demo")
        for station in (bo, cy):
            ticket, code = ada.unlocked("invite", "--unattended").out.split()
            station.unlocked(
                *("join", ticket, "--code-file", station.secret_file("code", code)),
                *("--name", station.folder.name),
            )
        addresses = ada.status()["addresses"]
        bo.change_settings(peers=[f"127.0.0.1:{addresses['control_port']}"])
        drives = [station.folder / "drive" for station in (ada, bo, cy)]
        for station, drive in zip((ada, bo, cy), drives, strict=True):
            station.unlocked("mount", "demo", drive)
        here, of_bo, of_cy = drives
        (here / "scene").write_bytes(WORDS * 1000)
        until(lambda: (of_bo / "scene").is_file() and (of_cy / "scene").is_file())
        until(lambda: ada.status()["peers"] == 1)

        # A stranger on the LAN gets not one byte, and nothing about blocks.
        for said in (
            bytes(64),
            b"\x16\x03\x01\x00\x05hello" + bytes(200),
            b"GET / HTTP/1.1\r\n\r\n",
        ):
            assert _heard(addresses["control_port"], said.ljust(300, b"\0")) == b""
        asked = b"GET /b/" + b"0" * 32 + b"/" + b"0" * 64 + b"?fetch=1 HTTP/1.1\r\nHost: x\r\n\r\n"
        told = {_heard(port, asked) for port in _listens(ada)}
        assert any(one.startswith(b"HTTP/1.1 401") for one in told), told
        assert all(one.endswith(b"\r\n\r\n") for one in told if one), told
        # Who has the bucket alone reads neither contents nor names.
        stored = [path.read_bytes() for path in bucket.rglob("*") if path.is_file()]
        assert not [one for one in stored if WORDS in one or b"scene" in one or b"demo" in one]

        # A viewer who forges: well signed, in the right place, with the key of the epoch.
        (project,) = [ProjectId(path.name) for path in (bucket / "p").iterdir()]
        forger = Forger(bo, bucket, project)
        forger.forge(
            b"by-an-editor"
        )  # so that it is no fault of the forgery when one does not count
        until(lambda: all((drive / "by-an-editor").exists() for drive in drives))
        ada.unlocked("members", "role", bo.folder.name, "viewer", "--yes")
        until(lambda: "viewer" in bo.ok("status").out)
        forger.learn()
        forger.forge(b"by-a-viewer")
        _others_go_on(here, of_cy, "after the viewer")
        until((of_bo / "after the viewer").is_file)
        for drive in drives:
            assert not (drive / "by-a-viewer").exists()

        # Put out: no peer of his within two seconds, and what he signs counts for nobody.
        begun = time.monotonic()
        listed = json.loads(ada.unlocked("devices", "list", "--json").out)["devices"]
        (device,) = [one["device_id"] for one in listed if one["member"] == bo.folder.name]
        ada.unlocked("devices", "revoke", device, "--yes")
        returned = time.monotonic()
        until(lambda: ada.status()["peers"] == 0, 2.0 + returned - begun)
        _others_go_on(here, of_cy, "without him")
        forger.forge(b"by-who-is-out")
        _others_go_on(here, of_cy, "after all")
        for drive in (here, of_cy):
            assert not (drive / "by-who-is-out").exists()

        # A bucket that goes back to the log of members of before brings nobody back.
        max((bucket / "roster").iterdir()).unlink()
        members = json.loads(cy.unlocked("members", "list", "--json").out)["members"]
        assert [one["member"] for one in members] == ["Ada", "c"]
        _others_go_on(here, of_cy, "whatever the bucket shows")
