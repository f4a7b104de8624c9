"""A mount exported by Debian's NFS-Ganesha, as `lucidnode gateway nfs` configures it, beside a second workstation."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from daemon_fixture import eventually, workstations

from lucidnode.nfs_gateway import NfsExport, nfs_configuration

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(180)]

STRANGER = "10.9.9.9"
"""The address of somebody who is no client, when he talks to himself."""

# A network, names for sockets and processes of its own: rpcbind knows one place for each.
_SERVER = """\
ip link set lo up
ip addr add {stranger}/32 dev lo
mount -t tmpfs tmpfs /run
mkdir /run/rpcbind /run/ganesha
rpcbind
exec ganesha.nfsd -F -f {configuration} -L {log} -p /run/ganesha.pid
"""


@dataclass(frozen=True)
class Gateway:
    """*here* is the mount that is exported, *there* that of another workstation."""

    here: Path
    there: Path
    folder: Path
    server: int

    def run(self, *words: str, host: str = "127.0.0.1") -> subprocess.CompletedProcess[bytes]:
        """Run a command of libnfs in the server's network; `@` begins a path of the export."""
        place = f"nfs://{host}{self.here}"
        asked = "?version=3&nfsport=2049&mountport=20048"
        spelt = [f"{place}/{word[1:]}{asked}" if word.startswith("@") else word for word in words]
        return subprocess.run(
            ["nsenter", f"--net=/proc/{self.server}/ns/net", *spelt],
            capture_output=True,
            check=False,
            timeout=60,
        )

    def ok(self, *words: str) -> bytes:
        done = self.run(*words)
        assert done.returncode == 0, done
        return done.stdout

    def lists(self, *names: str) -> bool:
        shown = self.run("nfs-ls", "@").stdout.decode()
        return {line.split()[-1] for line in shown.splitlines()} >= set(names)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("nfs")
    with workstations(tmp_path_factory.mktemp("pair"), 2) as [one, other]:
        one.mount()
        other.mount(consistency="strict")
        (folder / "state").mkdir()
        export = NfsExport("film", one.mountpoint, ["127.0.0.1"], 0, 0, folder / "state")
        configuration = folder / "ganesha.conf"
        configuration.write_text(nfs_configuration(export))
        script = _SERVER.format(
            stranger=STRANGER, configuration=configuration, log=folder / "ganesha.log"
        )
        inside = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            children = Path(f"/proc/{inside.pid}/task/{inside.pid}/children")
            eventually(lambda: bool(children.read_text().split()), 30)
            server = int(children.read_text().split()[0])
            there = Gateway(one.mountpoint, other.mountpoint, folder, server)
            eventually(lambda: there.run("nfs-ls", "@").returncode == 0, 60)
            yield there
        finally:
            inside.kill()
            inside.wait(20)
            complaints = (folder / "ganesha.log").read_text(errors="replace")
            assert "config_errs_to_log" not in complaints, complaints


def _has(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content


def test_files_go_both_ways(gateway: Gateway) -> None:
    clip = os.urandom(3 << 20)
    (gateway.folder / "clip").write_bytes(clip)
    gateway.ok("nfs-cp", str(gateway.folder / "clip"), "@Café.mov")
    eventually(partial(_has, gateway.there / "Café.mov", clip))
    (gateway.there / "reel").mkdir()
    (gateway.there / "reel" / "2.mov").write_bytes(clip[::-1])
    eventually(partial(_has, gateway.here / "reel" / "2.mov", clip[::-1]))
    gateway.ok("nfs-cp", "@reel/2.mov", str(gateway.folder / "back"))
    assert (gateway.folder / "back").read_bytes() == clip[::-1]


def test_what_another_workstation_changes_is_what_the_next_one_who_asks_sees(
    gateway: Gateway,
) -> None:
    (gateway.there / "notes").write_bytes(b"first")
    eventually(partial(_has, gateway.here / "notes", b"first"))
    assert gateway.ok("nfs-cat", "@notes") == b"first"
    (gateway.there / "notes").write_bytes(b"second, and longer")
    (gateway.there / "more").write_bytes(b"")
    eventually(partial(_has, gateway.here / "notes", b"second, and longer"))
    assert gateway.ok("nfs-cat", "@notes") == b"second, and longer"
    eventually((gateway.here / "more").exists)
    assert gateway.lists("notes", "more")
    (gateway.there / "notes").rename(gateway.there / "renamed")
    eventually((gateway.here / "renamed").exists)
    assert gateway.ok("nfs-cat", "@renamed") == b"second, and longer"
    assert gateway.run("nfs-cat", "@notes").returncode != 0


def test_who_is_no_client_gets_nothing(gateway: Gateway) -> None:
    (gateway.here / "kept").write_bytes(b"for clients")
    assert gateway.ok("nfs-cat", "@kept") == b"for clients"
    done = gateway.run("nfs-cat", "@kept", host=STRANGER)
    assert done.returncode != 0
    assert b"for clients" not in done.stdout
