"""Where a lab keeps things, and the lock that lets one command at a time change it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "scripts"

_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
"""Short, because it becomes part of namespace names and of Unix socket paths (108 bytes)."""


@dataclass(frozen=True, slots=True)
class Places:
    """The directory of one lab.

    <root>/lab.json          the record: what runs, and where
    <root>/s3, s3.json       the bucket server's files
    <root>/bucket            the bucket itself with --bucket file
    <root>/hostile.sock      where the proxy before the bucket takes its rules
    <root>/tls               its certificate, and the CA that workstations trust
    <root>/tickets           invitations, as they would travel by chat
    <root>/log/<who>.log
    <root>/<node>/home, passphrase, mount
    """

    name: str
    root: Path

    @staticmethod
    def of(name: str) -> Places:
        """Return the places of the lab called *name*."""
        if not _NAME.fullmatch(name):
            raise LabError(f"a lab's name is up to 12 small letters and digits, not {name!r}")
        # On a disk, never in /run or /tmp: caches hold gigabytes, and those may be memory.
        if os.geteuid() == 0:
            parent = Path("/var/lib/lucidnode-lab")
        else:
            cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            parent = Path(cache) / "lucidnode-lab"
        return Places(name, parent / name)

    @property
    def record(self) -> Path:
        return self.root / "lab.json"

    @property
    def tickets(self) -> Path:
        return self.root / "tickets"

    @property
    def control(self) -> Path:
        return self.root / "hostile.sock"

    @property
    def tls(self) -> Path:
        return self.root / "tls"

    def node(self, node: str) -> Path:
        return self.root / node

    def log(self, who: str) -> Path:
        return self.root / "log" / f"{who}.log"

    @property
    def marker(self) -> str:
        """The environment entry that every process of this lab carries."""
        return f"LUCIDNODE_LAB={self.root}"

    def is_marked(self, environment: bytes) -> bool:
        """Tell whether a process with *environment*, as /proc has it, is one of this lab.

        A daemon keeps of its environment what it needs: not the marker, but its home.
        """
        home = f"LUCIDNODE_HOME={self.root}/".encode()
        return any(
            entry == self.marker.encode() or entry.startswith(home)
            for entry in environment.split(b"\0")
        )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lab: commands that change it wait for each other."""
        path = self.root.parent / f".{self.name}.lock"
        handle = _lock(path)
        try:
            yield
        finally:
            if not self.root.exists():
                path.unlink()
                with contextlib.suppress(OSError):
                    path.parent.rmdir()  # unless another lab lives there
            os.close(handle)


def _lock(path: Path) -> int:
    """Return the open file *path* with its lock held."""
    while True:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # the last lab went, and its directory with it, in between
        fcntl.flock(handle, fcntl.LOCK_EX)
        # The one before us removed the file while we waited: such a lock guards nothing.
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(handle).st_ino == path.stat().st_ino:
                return handle
        os.close(handle)
