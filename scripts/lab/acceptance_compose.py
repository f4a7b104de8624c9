"""The compose file, run for real: the image is built, the office comes up, works, heals and goes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lab import containers
from lab.command import run
from lab.containers import compose, debian_image, podman, said_by
from lab.errors import CommandFailed, LabError
from lab.patience import until
from lab.places import REPOSITORY

PACKAGES = (*containers.PACKAGES, "podman-compose")

_BASE = "docker.io/library/debian:12-slim"
_STORE_IMAGE = "docker.io/chrislusf/seaweedfs:4.48"
"""The names that Dockerfile and compose file say; what is behind them here is made here."""

_FUSE = Path("/dev/fuse")
_FOOTAGE_BYTES = 20_000_000
_FILES = ("docker-compose.lan.yml", "docker-compose.seaweed.yml")
_OURS = "lucidnode-office-"
"""What the offices of runs are called, with the process that runs one."""

_UP_S = 240.0
_BACK_S = 120.0
_NODES = ("a", "b", "c")


class _Office:
    """The containers of one run of the compose file."""

    def __init__(self, project: str, folder: Path) -> None:
        """*folder* holds the compose files, and the secret beside them."""
        self._project = project
        self._folder = folder

    def compose(self, *words: str, within: float = 60.0) -> str:
        options = [word for name in _FILES for word in ("-f", str(self._folder / name))]
        return compose(*options, "-p", self._project, *words, env={}, within=within)

    def container(self, service: str) -> str:
        """Return the container of *service*. podman-compose and Docker's name it each in its way."""
        label = f"label=com.docker.compose.service={service}"
        mine = _label(self._project)
        found = podman("ps", "-aq", "--filter", label, "--filter", mine).split()
        if len(found) != 1:
            raise LabError(f"{len(found)} containers of {service}")
        return found[0]

    def run(self, service: str, *words: str, within: float = 60.0) -> str:
        return podman("exec", self.container(service), *words, within=within)

    def facts(self, service: str, topic: str) -> Any:
        return json.loads(self.run(service, "lucidnode", topic, "--json"))

    def log(self, service: str) -> str:
        return said_by(self.container(service))

    def is_healthy(self, service: str) -> bool:
        with contextlib.suppress(CommandFailed):
            self.run(service, "node-entry", "healthy")
            return True
        return False


def run_alone(_extent: float) -> str:
    """See the module."""
    begun = time.monotonic()
    environment = ("PIP_CERT=/etc/ssl/certs/ca-certificates.crt",)
    debian_image(_BASE, (), environment)
    _make_store()
    podman(
        "build", "--network", "host", "-t", "lucidnode", str(REPOSITORY), within=containers.MAKE_S
    )
    size = int(podman("image", "inspect", "-f", "{{.Size}}", "lucidnode"))
    built = time.monotonic() - begun
    _sweep()
    name = f"{_OURS}{os.getpid()}"
    with _for_everybody(_FUSE), containers.network_of_its_own(name), _office(name) as office:
        begun = time.monotonic()
        for name in _NODES:
            until(
                partial(office.is_healthy, name),
                within=_UP_S,
                what=f"{name} has no drive",
            )
        up = time.monotonic() - begun
        _nobody_is_root(office)
        digest = _written(office, "a", "reel.mov")
        for name in ("b", "c"):
            _read(office, name, "reel.mov", digest)
        back = _dies_and_is_back(office)
        _read(office, "b", "reel.mov", digest)
        other = _written(office, "b", "cut.mov")
        _read(office, "a", "cut.mov", other)
    return (
        f"built in {built:.0f} s, {size / 1e6:.0f} MB; three drives after {up:.0f} s; "
        f"{_FOOTAGE_BYTES / 1e6:.0f} MB of each of two nodes read by the others; a node whose daemon "
        f"was killed back after {back:.0f} s; nothing left"
    )


@contextlib.contextmanager
def _office(project: str) -> Iterator[_Office]:
    """Have the office up, and look that `down` leaves nothing."""
    with tempfile.TemporaryDirectory(prefix="lucidnode-office-") as path:
        for name in _FILES:
            shutil.copy(REPOSITORY / name, path)
        secret = Path(path, "studio-secret-key")
        secret.touch(mode=0o600)
        secret.write_text(os.urandom(20).hex() + "\n")
        os.chown(secret, 1000, 1000)
        Path(path).chmod(0o711)  # who reads the secret in a container is user 1000
        office = _Office(project, Path(path))
        try:
            office.compose("up", "-d", within=containers.MAKE_S)
            yield office
        except BaseException:
            for name in ("bucket", *_NODES):
                with contextlib.suppress(CommandFailed, LabError):
                    print(name, office.log(name))
            raise
        finally:
            office.compose("down", "-v", within=containers.MAKE_S)
            # Docker's does that, Debian's podman-compose not. There is none if it did not come up.
            if f"{project}_office" in _networks():
                podman("network", "rm", f"{project}_office")
        for kind in (("ps", "-a"), ("volume", "ls")):
            if left := podman(*kind, "-q", "--filter", _label(project)).split():
                raise LabError(f"`down` left {left} ({kind[0]})")


def _label(project: str) -> str:
    return f"label=com.docker.compose.project={project}"


def _networks() -> list[str]:
    return podman("network", "ls", "--format", "{{.Name}}").split()


def _sweep() -> None:
    """Remove what a run left that was killed."""
    for network in _networks():
        project = network.removesuffix("_office")
        number = project.removeprefix(_OURS)
        if project == network or not number.isdecimal() or Path("/proc", number).exists():
            continue
        for kind in ("container", "volume"):
            all_of_it = ("-a",) if kind == "container" else ()
            if left := podman(kind, "ls", *all_of_it, "-q", "--filter", _label(project)).split():
                podman(kind, "rm", "-f", *left)
        podman("network", "rm", network)
        with contextlib.suppress(CommandFailed):
            run(["ip", "netns", "delete", project])


def _make_store() -> None:
    """Make the image of the bucket's server from the program that the lab has."""
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        raise LabError("weed is not installed; run scripts/setup --tests")
    with tempfile.TemporaryDirectory(prefix="lucidnode-weed-") as path:
        shutil.copy(program.resolve(), Path(path, "weed"))
        Path(path, "Dockerfile").write_text(
            f'FROM {_BASE}\nCOPY weed /usr/bin/weed\nENTRYPOINT ["weed"]\n'
        )
        podman("build", "-t", _STORE_IMAGE, path, within=containers.MAKE_S)


@contextlib.contextmanager
def _for_everybody(device: Path) -> Iterator[None]:
    """Have *device* open to everybody, as udev has it on a Debian; here it may be root's alone."""
    before = stat.S_IMODE(device.stat().st_mode)
    device.chmod(0o666)
    try:
        yield
    finally:
        device.chmod(before)


def _nobody_is_root(office: _Office) -> None:
    for name in _NODES:
        if office.run(name, "id", "-u").strip() != "1000":
            raise LabError(f"{name} runs as root")


def _written(office: _Office, service: str, file: str) -> str:
    """Write footage at *service*; return its digest, once it is in the cloud."""
    path = f"/mnt/demo/{file}"
    office.run(service, "sh", "-c", f"head -c {_FOOTAGE_BYTES} /dev/urandom > {path}")
    office.run(service, "lucidnode", "wait", path, within=_BACK_S)
    return office.run(service, "sha256sum", path).split()[0]


def _read(office: _Office, service: str, file: str, digest: str) -> None:
    def is_same() -> bool:
        with contextlib.suppress(CommandFailed):
            return office.run(service, "sha256sum", f"/mnt/demo/{file}").split()[0] == digest
        return False

    until(is_same, within=_BACK_S, what=f"{service} does not read {file} as it was written")


def _dies_and_is_back(office: _Office) -> float:
    """Kill the daemon of b, and return after how many seconds its drive was there again."""
    before = office.run("b", "cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat").split()
    begun = time.monotonic()
    office.run("b", "sh", "-c", "kill -9 $(cat /proc/[0-9]*/stat | awk '/lucidnode/ {print $1}')")

    def is_another() -> bool:
        with contextlib.suppress(CommandFailed, LabError):
            now = office.run("b", "cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat").split()
            return now[22] != before[22] and office.is_healthy("b")
        return False

    until(is_another, within=_BACK_S, what="b, whose daemon was killed, is not back")
    return time.monotonic() - begun
