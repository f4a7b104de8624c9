"""A second real S3 engine: Ceph with its RADOS gateway, a cluster of one in memory, on loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.command import run
from lab.errors import CommandFailed
from lab.free_ports import free_ports
from lab.patience import until
from lab.process import Process

PACKAGES = ("ceph-mon", "ceph-osd", "ceph-mgr", "radosgw", "ceph-common")

_PATIENCE_S = 120.0
_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True)
class Gateway:
    """Where the store is, and the keys of one who may do everything."""

    endpoint: str
    access_key: str
    secret_key: str


@contextlib.contextmanager
def running_ceph() -> Iterator[Gateway]:
    """Run a cluster with free ports and an empty memory; leave nothing behind. Needs root."""
    with (
        tempfile.TemporaryDirectory(prefix="lucidnode-ceph-") as root,
        contextlib.ExitStack() as started,
    ):
        yield _Cluster(Path(root), started).start()


class _Cluster:
    """*started* ends all of it: it is killed, for nothing in it is worth an orderly end."""

    def __init__(self, root: Path, started: contextlib.ExitStack) -> None:
        self._root = root
        self._started = started
        self._id = str(uuid.uuid4())
        self._monitor, self._gateway = free_ports(2)
        self._config = root / "ceph.conf"
        self._keyring = root / "keyring"

    def start(self) -> Gateway:
        """Bring up monitor, manager, one OSD in memory, and the gateway."""
        self._write_config()
        self._make_keys()
        self._start_monitor()
        self._start_osd()
        self._start("ceph-mgr", "-i", "x")
        self._start("radosgw", "-n", "client.gateway")
        keys = secrets.token_hex(10), secrets.token_hex(20)
        until(self._answers, within=_PATIENCE_S, what="the gateway does not answer")
        self._run("radosgw-admin", "user", "create", "--uid=studio", "--display-name=Studio",
                  f"--access-key={keys[0]}", f"--secret-key={keys[1]}")  # fmt: skip
        return Gateway(f"http://127.0.0.1:{self._gateway}", *keys)

    def _write_config(self) -> None:
        for name in ("mon", "osd", "mgr", "run"):
            (self._root / name).mkdir()
        self._config.write_text(
            f"""[global]
fsid = {self._id}
mon host = [v1:127.0.0.1:{self._monitor}]
mon initial members = x
public network = 127.0.0.0/8
ms bind ipv6 = false
keyring = {self._keyring}
run dir = {self._root}/run
admin socket = {self._root}/run/$name.sock
log file = {self._root}/$name.log
mon data = {self._root}/mon
osd data = {self._root}/osd
mgr data = {self._root}/mgr
osd objectstore = memstore
memstore device bytes = 4294967296
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
auth allow insecure global id reclaim = false
rgw frontends = beast endpoint=127.0.0.1:{self._gateway}
rgw thread pool size = 64
"""
        )

    def _make_keys(self) -> None:
        everything = [
            "--cap",
            "mon",
            "allow *",
            "--cap",
            "osd",
            "allow *",
            "--cap",
            "mgr",
            "allow *",
        ]
        for number, name in enumerate(("mon.", "client.admin", "mgr.x", "client.gateway", "osd.0")):
            create = ["--create-keyring"] if number == 0 else []
            self._run(
                "ceph-authtool", *create, str(self._keyring), "--gen-key", "-n", name, *everything
            )

    def _start_monitor(self) -> None:
        at = f"[v1:127.0.0.1:{self._monitor}]"
        table = str(self._root / "monmap")
        self._run("monmaptool", "--create", "--addv", "x", at, "--fsid", self._id, table)
        self._run(
            "ceph-mon", "-i", "x", "--mkfs", "--monmap", table, "--keyring", str(self._keyring)
        )
        self._start("ceph-mon", "-i", "x")
        until(self._monitor_answers, within=_PATIENCE_S, what="the monitor does not answer")

    def _start_osd(self) -> None:
        name = str(uuid.uuid4())
        self._run("ceph", "osd", "new", name)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", name)
        self._start("ceph-osd", "-i", "0")
        self._run("ceph", "osd", "crush", "add", "0", "1", "root=default", "host=x")
        until(self._osd_is_up, within=_PATIENCE_S, what="the OSD does not come up")

    def _monitor_answers(self) -> bool:
        return self._says("health") is not None

    def _osd_is_up(self) -> bool:
        said = self._says("osd", "stat", "--format=json")
        return said is not None and json.loads(said)["num_up_osds"] == 1

    def _says(self, *words: str) -> str | None:
        try:
            return self._run("ceph", "--connect-timeout=5", *words)
        except CommandFailed:
            return None

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._gateway, timeout=2)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/")
                return connection.getresponse().status < 500
            except (OSError, http.client.HTTPException):
                return False

    def _run(self, program: str, *words: str) -> str:
        return run([program, "-c", str(self._config), *words], env=_ENV, within=_PATIENCE_S)

    def _start(self, program: str, *words: str) -> None:
        log = self._root / f"{program}.said"
        argv = [program, "-c", str(self._config), "-f", *words]
        self._started.callback(Process.start(argv, log=log, env=_ENV).kill)
