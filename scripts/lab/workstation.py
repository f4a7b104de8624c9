"""One workstation: its home, its two processes, and how they start and stop."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lab.command import run
from lab.daemon_socket import ask
from lab.errors import CommandFailed, LabError
from lab.mounts import mounted_below
from lab.network import Network
from lab.patience import until
from lab.places import SCRIPTS, Places
from lab.private_ca import authority_in
from lab.process import Process
from lab.record import NodeRecord, NodeStatus, Pids
from lucidnode.node.dashboard.server import TOKEN_FILE

ENTRY = str(SCRIPTS / "node-entry")
PROJECT = "demo"

_STOP = 20.0
"""Seconds a mount and a daemon get to put things in order before they are killed."""


def environment(places: Places) -> dict[str, str]:
    """Return what every process of the lab starts with: little, and the lab's marker.

    Settings of the person's own Lucidnode, Python and AWS account must not leak in.
    """
    kept = ("TERM", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SHELL")
    clean = {name: os.environ[name] for name in kept if name in os.environ}
    # The tools of the interpreter that runs this: lucidnode and weed of the same environment.
    clean["PATH"] = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    marker, _, value = places.marker.partition("=")
    clean[marker] = value
    ca = authority_in(places.tls).ca_file
    if ca.exists():
        clean |= {"SSL_CERT_FILE": str(ca), "AWS_CA_BUNDLE": str(ca)}
    return clean


class Workstation:
    """Drives the processes of one node through scripts/node-entry. Changes its *record*."""

    def __init__(self, record: NodeRecord, places: Places, network: Network) -> None:
        self.record = record
        self._places = places
        self._network = network

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def home(self) -> Path:
        return self._places.node(self.name) / "home"

    @property
    def mount_point(self) -> Path:
        return self._places.node(self.name) / "mount"

    @property
    def socket(self) -> Path:
        return self.home / "daemon.sock"

    def environment(self) -> dict[str, str]:
        """Return what the node's processes, and commands run on it, find in their environment."""
        return {
            **environment(self._places),
            "HOME": str(self._places.node(self.name)),
            "LUCIDNODE_HOME": str(self.home),
            "LUCIDNODE_NAME": self.name,
            "LUCIDNODE_PROJECT": PROJECT,
            "LUCIDNODE_MOUNT": str(self.mount_point),
            "LUCIDNODE_TICKETS": str(self._places.tickets),
            "LUCIDNODE_PASSPHRASE": str(self._places.node(self.name) / "passphrase"),
        }

    # -- becoming a member -------------------------------------------------------------------

    def enrol(self, settings: Mapping[str, str], *, dashboard_port: int) -> None:
        """Found the studio (with LUCIDNODE_BUCKET among *settings*), or join it with a ticket."""
        self._places.node(self.name).mkdir(mode=0o700, exist_ok=True)
        self._step("enrol", settings)
        self._adjust(dashboard_port=dashboard_port, min_free=256 * 1024 * 1024)

    def found(self, guests: list[str], block_size: str) -> None:
        """Create the project and write a ticket for each of *guests*. The daemon must run."""
        wanted = {"LUCIDNODE_GUESTS": " ".join(guests), "LUCIDNODE_BLOCK_SIZE": block_size}
        self._step("found", wanted)

    def _step(self, step: str, settings: Mapping[str, str]) -> None:
        inside = self._network.entering(self.name)
        run([*inside, ENTRY, step], env={**self.environment(), **settings}, within=120)

    def _adjust(self, **settings: int) -> None:
        """Change settings in node.json: workstations here share one disk, perhaps one loopback."""
        path = self.home / "node.json"
        known = json.loads(path.read_bytes())
        path.write_text(json.dumps({**known, **settings}, indent=2))

    # -- its processes -----------------------------------------------------------------------

    def start_daemon(self) -> None:
        """Start the daemon and return once it answers."""
        self.record.daemon = self._start("daemon")
        self._await(self.record.daemon, "daemon", self._answers)

    def start_mount(self) -> None:
        """Start the mount process and return once the project is mounted."""
        self.record.mount = self._start("mount")
        self._await(self.record.mount, "mount", self._is_mounted)

    def _start(self, what: str) -> Process:
        arguments = {
            "LUCIDNODE_DAEMON_ARGS": " ".join(self.record.daemon_args),
            "LUCIDNODE_MOUNT_ARGS": " ".join(self.record.mount_args),
        }
        return Process.start(
            [*self._network.entering(self.name), ENTRY, what],
            log=self._log(what),
            env={**self.environment(), **arguments},
        )

    def _await(self, process: Process, what: str, ready: Callable[[], bool]) -> None:
        def settled() -> bool:
            if process.alive():
                return ready()
            said = self._log(what).read_text(errors="replace").strip().splitlines()[-5:]
            raise CommandFailed(f"the {what} of {self.name} ended: " + "\n".join(said))

        until(settled, within=60, what=f"the {what} of {self.name} was not ready")

    def _answers(self) -> bool:
        try:
            self.facts("status")
        except LabError:
            return False
        return True

    def _is_mounted(self) -> bool:
        try:
            # Not `stat`: of a dead mount the kernel answers that from its cache for a while.
            os.statvfs(self.mount_point)
        except OSError:
            return False  # what a killed process left; the new one clears it away
        # Asked last: the other way round, the dead mount may be cleared away in between.
        return bool(mounted_below(self.mount_point))

    def stop(self) -> None:
        """End both processes in order: the mount hands over to the daemon, then that goes."""
        for process in (self.record.mount, self.record.daemon):
            if process is not None:
                process.end(_STOP)
        self.record.mount = self.record.daemon = None

    def kill(self) -> None:
        """Kill both at once, as a power cut would. The dead mount stays where it is."""
        for process in (self.record.daemon, self.record.mount):
            if process is not None:
                process.kill()
        self.record.mount = self.record.daemon = None

    # -- facts -------------------------------------------------------------------------------

    def facts(self, topic: str) -> dict[str, Any]:
        """Return what the daemon says on *topic*. Raises LabError when none answers."""
        return ask(self.socket, topic)

    def talks_to(self, others: int) -> bool:
        """Return whether this one is linked with at least so many *others*."""
        return int(self.facts("status")["peers"]) >= others

    def await_cloud(
        self, paths: Iterable[Path], waiting: Callable[[int], None] | None = None
    ) -> None:
        """Return once *paths*, written here, are in the cloud and visible to all.

        Tells *waiting* the bytes that still have to be uploaded. Without it the daemon is asked
        nothing: to say all that it knows, 40 times a second, is work for it and for the mount.
        """
        left = list(paths)

        def done() -> bool:
            if waiting is not None:
                waiting(self.facts("status")["uploads"]["bytes"])
            while left and os.getxattr(left[-1], "user.lucid.state") == b"cloud":
                left.pop()
            return not left

        until(done, within=600, what=f"what {self.name} wrote is not in the cloud")

    def reads_dropped_blocks(self) -> bool:
        """Tell whether the mount still has block files open that its cache has dropped."""
        mount = self.record.mount
        if mount is None or not mount.alive():
            return False
        blocks = str(self.home / "cache" / "blocks")
        for entry in Path(f"/proc/{mount.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = str(entry.readlink())
                if target.startswith(blocks) and target.endswith(" (deleted)"):
                    return True
        return False

    def status(self) -> NodeStatus:
        """Return the node's line in `status --json`."""
        daemon, mount = self.record.daemon, self.record.mount
        return NodeStatus(
            name=self.name,
            address=self.record.address,
            mount=str(self.mount_point),
            cache_dir=str(self.home / "cache"),
            metrics_url=f"{self.record.dashboard}/metrics?token={self._token()}",
            socket=str(self.socket),
            pids=Pids(
                daemon=daemon.pid if daemon and daemon.alive() else None,
                mount=mount.pid if mount and mount.alive() else None,
            ),
            home=str(self.home),
            namespace=self._network.namespace(self.name),
            connected=self.record.connected,
        )

    def _token(self) -> str:
        """Return what its dashboard asks for, "" before its first start."""
        try:
            return (self.home / TOKEN_FILE).read_text().strip()
        except FileNotFoundError:
            return ""

    def _log(self, what: str) -> Path:
        return self._places.log(f"{self.name}.{what}")
