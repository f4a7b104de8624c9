"""The door to podman: images made of Debian's packages, in a store that the labs alone use."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

from lab.command import run
from lab.errors import CommandFailed

PACKAGES = ("aardvark-dns", "debootstrap", "iptables", "netavark", "podman", "runc")
"""What makes and runs containers."""

RELEASE = "bookworm"
"""Debian's, in every image."""

MAKE_S = 900.0
"""Bound for an image to be made, on a busy machine."""

_STORE = Path("/var/lib/lucidnode-lab/containers")

_SETTINGS = """\
[engine]
runtime = "runc"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
"""
"""crun fails on cgroups of both versions, and on limits above what this process may give."""

_PLACES = ("--root", str(_STORE / "store"), "--runroot", "/run/lucidnode-lab/containers")

_AUTHORITIES = Path("/usr/local/share/ca-certificates")


_network: ContextVar[tuple[str, ...]] = ContextVar("network", default=())
"""What has a command see the network that containers are joined to; nothing is this machine's."""


@contextlib.contextmanager
def network_of_its_own(name: str) -> Iterator[None]:
    """Have containers that begin within joined to a network namespace instead of this machine's.

    So no bridge or rule of theirs is ever on the host, where other labs listen. What is within fetches
    nothing from outside.
    """
    run(["ip", "netns", "add", name])
    try:
        run(["ip", "-n", name, "link", "set", "lo", "up"])
        before = _network.set(("nsenter", f"--net=/run/netns/{name}"))
        try:
            yield
        finally:
            _network.reset(before)
    finally:
        run(["ip", "netns", "delete", name])


def podman(*words: str, within: float = 60.0) -> str:
    """Return what a command of podman prints. Raises CommandFailed."""
    return run([*_network.get(), "podman", *_PLACES, *words], env=_environment(), within=within)


@contextlib.contextmanager
def container(name: str, *words: str) -> Iterator[str]:
    """Run the container *name* in the background as *words* of `podman run` say; leave nothing of it.

    Raises CommandFailed.
    """
    try:
        podman("run", "-d", "--name", name, *words)
        yield name
    finally:
        podman("rm", "-f", "--ignore", "-t", "5", name)


def podman_words(*words: str) -> list[str]:
    """Return the command line of a command of podman, for who runs it by himself (a terminal)."""
    settings = _environment()["CONTAINERS_CONF"]
    return ["env", f"CONTAINERS_CONF={settings}", "podman", *_PLACES, *words]


def said_by(container: str) -> str:
    """Return the last lines that a container wrote, to either of its outputs."""
    both = ["sh", "-c", 'exec "$0" "$@" 2>&1', "podman"]
    return run([*both, *_PLACES, "logs", "--tail", "20", container], env=_environment())


def compose(*words: str, env: Mapping[str, str], within: float = 60.0) -> str:
    """Return what a command of podman-compose prints, with *env* besides. Raises CommandFailed."""
    with tempfile.TemporaryDirectory(prefix="lucidnode-podman-") as path:
        # It hands podman no option that stands before the command.
        door = Path(path, "podman")
        program = " ".join((*_network.get(), str(shutil.which("podman")), *_PLACES))
        door.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        door.chmod(0o755)
        env = {**_environment(), **env, "PATH": f"{path}:{os.environ['PATH']}"}
        return run(["/usr/bin/podman-compose", *words], env=env, within=within)


def debian_image(name: str, packages: tuple[str, ...], environment: tuple[str, ...] = ()) -> str:
    """Return the image *name*, of Debian's smallest with *packages*, made if it is not there.

    The authorities that this machine trusts beyond Debian's are trusted there. *environment* is of
    words such as `A=b`. Raises CommandFailed.
    """
    with contextlib.suppress(CommandFailed):
        podman("image", "inspect", name)
        return name
    with tempfile.TemporaryDirectory(dir=_STORE) as scratch:
        root = Path(scratch, "root")
        names = f"--include={','.join((*packages, 'ca-certificates'))}"
        run(["debootstrap", "--variant=minbase", names, RELEASE, str(root)], within=MAKE_S)
        if _AUTHORITIES.is_dir():
            shutil.copytree(_AUTHORITIES, root / _AUTHORITIES.relative_to("/"), dirs_exist_ok=True)
            run(["chroot", str(root), "update-ca-certificates"], within=MAKE_S)
        shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
        archive = Path(scratch, "root.tar")
        run(["tar", "-C", str(root), "-cf", str(archive), "."], within=MAKE_S)
        shutil.rmtree(root)
        changes = [word for each in environment for word in ("-c", f"ENV {each}")]
        podman("import", *changes, str(archive), name, within=MAKE_S)
    return name


def _environment() -> dict[str, str]:
    _STORE.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = _STORE / "containers.conf"
    settings.write_text(_SETTINGS)
    return {**os.environ, "CONTAINERS_CONF": str(settings)}
