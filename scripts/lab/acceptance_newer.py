"""The next Debian and its newer Python: set up as a developer does, all unit tests, and a drive in use."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lab import containers
from lab.command import run
from lab.containers import debian_image, podman
from lab.errors import LabError
from lab.places import REPOSITORY

PACKAGES = containers.PACKAGES

_RELEASE = "trixie"
_IMAGE = f"localhost/lucidnode-{_RELEASE}:1"
_OF_TESTS = "dbus-daemon git gnome-keyring procps strace"
_SETUP = f"""\
set -eu
cd /root
tar -xf /tmp/tree.tar
cd lucidnode
git init -q . && git add -A && git -c user.name=x -c user.email=x@localhost commit -qm tree
apt-get -q update
DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends {_OF_TESTS}
scripts/setup
.venv/bin/python --version
"""
_TESTS = "cd /root/lucidnode && .venv/bin/python -m pytest -q -p no:cacheprovider -n 2 tests/unit"
_USE = """\
set -eu
cd /root/lucidnode
PATH=$PWD/.venv/bin:$PATH
echo 'correct horse battery' > /root/passphrase
chmod 600 /root/passphrase
lucidnode --version
lucidnode init file:///root/studio --passphrase-file /root/passphrase
lucidnode project create demo --passphrase-file /root/passphrase
lucidnode mount demo /root/drive --passphrase-file /root/passphrase
head -c 5000000 /dev/urandom > /root/film.mov
cp /root/film.mov /root/drive/
lucidnode wait /root/drive/film.mov
lucidnode evict /root/drive/film.mov
cmp /root/film.mov /root/drive/film.mov
lucidnode umount /root/drive
lucidnode exit
"""
_SETUP_S = 1800.0
_TESTS_S = 3600.0


def run_alone(_extent: float) -> str:
    """See the module."""
    debian_image(
        _IMAGE,
        ("git", "procps"),
        ("PIP_CERT=/etc/ssl/certs/ca-certificates.crt",),
        release=_RELEASE,
    )
    machine = f"lucidnode-{_RELEASE}-{os.getpid()}"
    podman(
        "run",
        "-d",
        "--name",
        machine,
        "--privileged",
        "--device",
        "/dev/fuse",
        _IMAGE,
        "sleep",
        "infinity",
    )
    try:
        archive = Path(f"/var/tmp/{machine}.tar")  # removed at once
        run(
            [
                "git",
                "-C",
                str(REPOSITORY),
                "archive",
                "--prefix=lucidnode/",
                "-o",
                str(archive),
                "HEAD",
            ]
        )
        podman("cp", str(archive), f"{machine}:/tmp/tree.tar")
        archive.unlink()
        said = podman("exec", machine, "sh", "-c", _SETUP, within=_SETUP_S)
        python = said.split()[-1]
        used = podman("exec", machine, "sh", "-c", _USE, within=300)
        if "with the kernel channel" not in used:
            raise LabError(f"no compiled channel on Python {python}: {used}")
        told = podman("exec", machine, "sh", "-c", _TESTS, within=_TESTS_S)
        passed = re.findall(r"(\d+) passed", told)
        return f"Debian {_RELEASE}, Python {python}: a drive made and used, {passed[-1]} unit tests passed"
    finally:
        podman("rm", "-f", "-t", "5", machine)
