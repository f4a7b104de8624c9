"""A machine that a real systemd boots, in a container: units, crashes, watchdogs and reboots are real.

Its root is Debian's, made by debootstrap and kept as an image for the next time. This repository is
mounted in it where it lies here, so the same virtual environment runs. It has no network.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
from collections.abc import Iterator

from lab.containers import RELEASE, container, debian_image, podman
from lab.errors import CommandFailed, LabError
from lab.patience import until
from lab.places import REPOSITORY

_INSIDE = (
    "dbus", "dbus-user-session", "fuse3", "gnome-keyring", "libpam-systemd", "procps", "python3",
    "systemd", "systemd-sysv",
)  # fmt: skip

_INIT = "mount --make-rshared / && exec /sbin/init"
"""Outside of a container systemd shares mounts itself; credentials of units need it."""

_BOOT_S = 60.0


class SystemdMachine:
    """A booted machine. Use `systemd_machine`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def root(self, *words: str, within: float = 120.0) -> str:
        """Return what a command prints that root runs there. Raises CommandFailed."""
        return podman("exec", self._name, *words, within=within)

    def user(self, who: str, *words: str, within: float = 120.0) -> str:
        """Return what a command prints that *who* runs, as in a login. Raises CommandFailed."""
        number = self.root("id", "-u", who).strip()
        environment = {
            "HOME": f"/home/{who}",
            "USER": who,
            "XDG_RUNTIME_DIR": f"/run/user/{number}",
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path=/run/user/{number}/bus",
        }
        options = [
            word for name, value in environment.items() for word in ("-e", f"{name}={value}")
        ]
        return podman("exec", "-u", who, *options, self._name, *words, within=within)

    def processes(self, *words: str) -> list[int]:
        """Return the processes whose command line has all of *words*, each as a whole argument."""
        found = []
        # The arguments are what they are: one that holds a space is met by no word of ours.
        for line in self.root("ps", "-eo", "pid=,args=").splitlines():
            pid, *arguments = line.split()
            if set(words) <= set(arguments):
                found.append(int(pid))
        return found

    def send(self, number: signal.Signals, *pids: int) -> None:
        """Send a signal to processes there, to all at once."""
        self.root("kill", f"-{number.value}", *map(str, pids))

    def boot(self) -> None:
        """Wait until it has booted."""
        until(self._is_up, within=_BOOT_S, what=f"the machine {self._name} has not booted")
        self.root("chmod", "666", "/dev/fuse")  # as udev does where there is one

    def reboot(self) -> None:
        """Shut down in order, and boot again."""
        podman("restart", "--time", "120", self._name, within=240.0)
        self.boot()

    def _is_up(self) -> bool:
        with contextlib.suppress(CommandFailed):
            # `degraded` ends with 1 as well, and is up.
            return "running" in self.root("sh", "-c", "systemctl is-system-running || true")
        return False


@contextlib.contextmanager
def systemd_machine(name: str) -> Iterator[SystemdMachine]:
    """Have a machine that boots with systemd, and leave nothing of it but its image."""
    if os.geteuid() != 0:
        raise LabError("a machine with a systemd of its own needs root here")
    image = _image()
    repository = f"{REPOSITORY}:{REPOSITORY}:ro"
    machine = SystemdMachine(name)
    with container(
        name, "--replace", "--systemd=always", "--cap-add", "SYS_ADMIN",
        "--device", "/dev/fuse", "--network", "none", "-v", repository, image, "sh", "-c", _INIT,
    ):  # fmt: skip
        machine.boot()
        yield machine


def _image() -> str:
    """Return the image to boot, made if it is not there."""
    made_of = hashlib.sha256(" ".join((RELEASE, *_INSIDE)).encode()).hexdigest()[:12]
    return debian_image(f"localhost/lucidnode-systemd:{made_of}", _INSIDE)
