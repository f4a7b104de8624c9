"""The package for Debian: built by Debian's tools, installed by apt into an empty machine, used by an ordinary user."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab import containers
from lab.command import run
from lab.containers import container, debian_image, podman
from lab.errors import LabError
from lab.places import REPOSITORY

PACKAGES = containers.PACKAGES

_EMPTY = "localhost/lucidnode-empty:1"
_TOOLS = re.compile(r"^#   apt install (.+)$", re.MULTILINE)
_TRUST = ("PIP_CERT=/etc/ssl/certs/ca-certificates.crt",)

_USE = """\
set -eu
export PATH=/usr/bin:/bin
printf 'correct horse battery\\n' > ~/passphrase
chmod 600 ~/passphrase
lucidnode --version
lucidnode init file://$HOME/studio --passphrase-file ~/passphrase
lucidnode project create demo --passphrase-file ~/passphrase
lucidnode mount demo ~/drive --passphrase-file ~/passphrase
head -c 5000000 /dev/urandom > ~/film.mov
cp ~/film.mov ~/drive/
lucidnode wait ~/drive/film.mov
lucidnode evict ~/drive/film.mov
cmp ~/film.mov ~/drive/film.mov
lucidnode status
lucidnode umount ~/drive
lucidnode exit
"""
_BUILD_S = 900.0


def run_alone(_extent: float) -> str:
    """See the module."""
    with tempfile.TemporaryDirectory(prefix="lucidnode-deb-", dir="/var/tmp") as path:
        package = _built(Path(path))
        with _machine("apt", "--cap-add", "SYS_ADMIN", "--device", "/dev/fuse") as machine:
            podman("cp", str(package), f"{machine}:/tmp/")
            _install(machine, f"/tmp/{package.name}")
            if "gcc" in _in(machine, "dpkg-query -W -f '${Package}\\n'").split():
                raise LabError("a compiler comes with the package")
            _in(machine, "useradd -m -s /bin/bash ed && chmod 666 /dev/fuse")
            said = podman("exec", "-u", "ed", "-w", "/home/ed", "-e", "HOME=/home/ed", machine,
                          "sh", "-c", _USE, within=300)  # fmt: skip
            if "with the kernel channel" not in said:
                raise LabError(f"the package has no compiled channel: {said}")
            for path_of in (
                "man/man1/lucidnode-mount.1.gz",
                "bash-completion/completions/lucidnode",
            ):
                _in(machine, f"test -s /usr/share/{path_of}")
            _in(
                machine,
                "apt-get -qy purge lucidnode && test ! -e /opt/venvs/lucidnode && test ! -e /usr/bin/lucidnode",
            )
        return f"{package.name}, {package.stat().st_size >> 20} MiB: installed by apt, a drive made and used, and removed"


def _built(scratch: Path) -> Path:
    """Build the package from what is committed. Returns its path."""
    archive = scratch / "tree.tar"
    run(
        ["git", "-C", str(REPOSITORY), "archive", "--prefix=lucidnode/", "-o", str(archive), "HEAD"]
    )
    [tools] = _TOOLS.findall((REPOSITORY / "scripts/deb").read_text("utf-8"))
    with _machine("build") as machine:
        _install(machine, tools)
        podman("cp", str(archive), f"{machine}:/tmp/")
        said = podman("exec", "-w", "/tmp", machine, "sh", "-c",
                      "tar -xf tree.tar && lucidnode/scripts/deb /tmp/out", within=_BUILD_S)  # fmt: skip
        package = scratch / Path(said.split()[-1]).name
        podman("cp", f"{machine}:/tmp/out/{package.name}", str(package))
    return package


def _install(machine: str, packages: str) -> None:
    _in(
        machine,
        "apt-get -q update && DEBIAN_FRONTEND=noninteractive"
        f" apt-get -qy install --no-install-recommends {packages}",
    )


def _in(machine: str, words: str) -> str:
    return podman("exec", machine, "sh", "-c", words, within=_BUILD_S)


@contextlib.contextmanager
def _machine(name: str, *words: str) -> Iterator[str]:
    debian_image(_EMPTY, (), _TRUST)
    called = f"lucidnode-deb-{name}-{os.getpid()}"
    with container(called, *words, _EMPTY, "sleep", "infinity") as machine:
        yield machine
