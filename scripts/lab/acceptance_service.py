"""The service under a real systemd that boots in a container: the drive is back by itself, always."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from lab.containers import PACKAGES as CONTAINERS
from lab.errors import CommandFailed, LabError
from lab.patience import until
from lab.places import REPOSITORY
from lab.systemd_machine import SystemdMachine, systemd_machine

PACKAGES = CONTAINERS

_LUCIDNODE = str(REPOSITORY / ".venv/bin/lucidnode")
_BUCKET = "/srv/studio"
_WORDS = "correct horse battery"
_PENDING_BYTES = 8_000_000

_BACK_S = 240.0
"""Bound for a drive to be back, on a busy machine; a hang takes half a minute to be taken for one."""


class _Person:
    """One user of the machine, with one home and the project `demo` at ~/drive."""

    def __init__(self, machine: SystemdMachine, name: str, unit: str, *manager: str) -> None:
        self.machine = machine
        self.name = name
        self.unit = unit
        self.home = f"/home/{name}/.local/share/lucidnode"
        self.drive = f"/home/{name}/drive"
        self.words = f"/home/{name}/passphrase"
        self._manager = manager
        machine.root("useradd", "-m", name)
        self.run("sh", "-c", f"umask 077; echo '{_WORDS}' > {self.words}")

    def run(self, *words: str) -> str:
        return self.machine.user(self.name, *words)

    def lucidnode(self, *words: str) -> str:
        return self.run(_LUCIDNODE, *words)

    def unlocked(self, *words: str) -> str:
        return self.lucidnode(*words, "--passphrase-file", self.words)

    def facts(self, *topic: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.lucidnode(*topic, "--json"))
        return found

    def systemctl(self, *words: str) -> str:
        command = ("systemctl", *self._manager, *words)
        return self.run(*command) if self._manager else self.machine.root(*command)

    def process(self, *words: str) -> int:
        """Return the one process of this home with the arguments *words*; a keeper's has `keep`."""
        found = self.machine.processes(self.home, *words)
        if "keep" not in words:
            found = [pid for pid in found if pid not in self.machine.processes(self.home, "keep")]
        if not found:
            raise CommandFailed(f"no process of {self.name} with {words}")
        return found[0]

    def has(self, file: str, content: str) -> bool:
        try:
            return self.run("cat", f"{self.drive}/{file}") == content
        except CommandFailed:
            return False

    def save(self, file: str, content: str) -> None:
        self.run(
            "sh", "-c", f"printf %s '{content}' > {self.drive}/{file} && sync {self.drive}/{file}"
        )


def run_alone(_extent: float) -> str:
    """See the module."""
    with systemd_machine(f"lucidnode-{os.getpid()}") as machine:
        machine.root("install", "-d", "-m", "777", _BUCKET)
        first = _of_the_machine(machine)
        said = [*_crashes(first), *_hangs(first)]
        _persons_will(first)
        _pending(first)
        second = _of_a_login(first)
        said.append(_reboot(first, second))
        _wrong_passphrase(second)
        _keyring(second)
        _removed(first)
    return "; ".join(said)


def _of_the_machine(machine: SystemdMachine) -> _Person:
    """Return a user whose drive a unit of the machine mounts; systemd has the passphrase."""
    person = _Person(machine, "ann", "lucidnode-ann.service")
    person.unlocked("init", f"file://{_BUCKET}")
    person.unlocked("project", "create", "demo")
    person.unlocked("mount", "--persist", "demo", person.drive)
    before = person.process("mount-process")
    machine.root(
        _LUCIDNODE, "--home", person.home, "service", "install", "--system",
        "--passphrase-file", person.words,
    )  # fmt: skip
    if person.process("mount-process") != before:
        raise LabError("the service did not take what was mounted as its own")
    person.save("first", "saved at the root of the drive by its user")
    machine.root("systemd-analyze", "verify", f"/etc/systemd/system/{person.unit}")
    return person


def _crashes(person: _Person) -> list[str]:
    """Kill each process, and each set of them that nobody else would bring back."""
    said = []
    for what, victims, stays in (
        ("the daemon", [("daemon",)], "mount-process"),
        ("the daemon and its keeper", [("keep", "daemon"), ("daemon",)], "mount-process"),
        ("the mount", [("mount-process",)], "daemon"),
        ("the mount and its keeper", [("keep", "mount-process"), ("mount-process",)], "daemon"),
        ("the service", [("service", "run")], "mount-process"),
        (
            "everything but the service",
            [("keep", "daemon"), ("keep", "mount-process"), ("daemon",), ("mount-process",)],
            None,
        ),
        (
            "everything",
            [
                ("service", "run"), ("keep", "daemon"), ("keep", "mount-process"), ("daemon",),
                ("mount-process",),
            ],
            None,
        ),
    ):  # fmt: skip
        content = f"before the death of {what}"
        person.save("crash", content)
        kept = person.process(stays) if stays else None
        pids = [person.process(*each) for each in victims]
        person.machine.send(signal.SIGKILL, *pids)
        seconds = _back(person, what, partial(_is_whole, person, content, pids))
        if stays and person.process(stays) != kept:
            raise LabError(f"the death of {what} took {stays} along")
        said.append(f"{what} {seconds:.0f} s")
    return [f"killed: {', '.join(said)}"]


def _hangs(person: _Person) -> list[str]:
    """Freeze the daemon, which the service kills, and the service, which systemd kills."""
    said = []
    for what, victim in (("daemon", ("daemon",)), ("service", ("service", "run"))):
        content = f"before the {what} froze"
        person.save("hang", content)
        pid, mount = person.process(*victim), person.process("mount-process")
        person.machine.send(signal.SIGSTOP, pid)
        seconds = _back(
            person,
            f"a frozen {what}",
            partial(_is_another, person, victim, pid),
        )
        if person.process("mount-process") != mount or not person.has("hang", content):
            raise LabError(f"a frozen {what} cost the mount")
        said.append(f"{what} {seconds:.0f} s")
    return [f"frozen: {', '.join(said)}"]


def _persons_will(person: _Person) -> None:
    """Unmount as a person: it stays away until the next start, also if the service dies."""
    person.lucidnode("umount", person.drive)
    person.machine.send(signal.SIGKILL, person.process("service", "run"))
    _back(person, "the service", lambda: person.facts("service", "status")["pid"] is not None)
    until(
        lambda: _condition(person) == "unmounted",
        within=_BACK_S,
        what="the service does not know that a person unmounted",
    )
    if _is_mounted(person):
        raise LabError("a drive that a person unmounted came back")
    person.systemctl("restart", person.unit)
    _back(person, "a start", lambda: _is_mounted(person))


def _pending(person: _Person) -> None:
    """Stop with uploads pending while the bucket takes nothing; nothing is lost."""
    machine = person.machine
    machine.root("chmod", "-R", "a-w", _BUCKET)
    made = f"head -c {_PENDING_BYTES} /dev/urandom > {person.drive}/pending && sha256sum {person.drive}/pending"
    before = person.run("sh", "-c", made)
    begun = time.monotonic()
    person.systemctl("stop", person.unit)
    seconds = time.monotonic() - begun
    if seconds > 30:
        raise LabError(f"the stop waited {seconds:.0f} s for a bucket that takes nothing")
    if machine.processes(person.home):
        raise LabError("something was left after a stop in order")
    if "drive" in machine.root("cat", "/proc/mounts"):
        raise LabError("the drive is mounted still after a stop in order")
    person.systemctl("start", person.unit)
    if person.run("sha256sum", f"{person.drive}/pending") != before:
        raise LabError("what waited for the bucket was lost")
    machine.root("chmod", "-R", "a+w", _BUCKET)

    def is_sent() -> bool:
        status = person.facts("status")
        return not status["uploads"]["blocks"] and not status["mounts"][0]["pending"]

    until(is_sent, within=_BACK_S, what="what waited was not sent")


def _of_a_login(first: _Person) -> _Person:
    """Return another user, of another workstation, with a unit of her own that lingers."""
    machine = first.machine
    second = _Person(machine, "bea", "lucidnode.service", "--user")
    machine.root("loginctl", "enable-linger", second.name)
    until(
        lambda: "running" in second.run("sh", "-c", "systemctl --user is-system-running || true"),
        within=60,
        what="the user's own service manager does not run",
    )
    ticket, code = first.unlocked("invite", "--unattended", "--for", second.name).splitlines()[:2]
    second.run("sh", "-c", f"umask 077; echo '{code}' > ~/code")
    second.unlocked("join", ticket, "--code-file", f"/home/{second.name}/code")
    second.unlocked("mount", "--persist", "demo", second.drive)
    second.unlocked("service", "install", "--keep", "file")
    compared = "cd drive && sha256sum first crash hang pending"
    if second.run("sh", "-c", f"cd && {compared}") != first.run("sh", "-c", f"cd && {compared}"):
        raise LabError("the second workstation sees other files")
    return second


def _reboot(*persons: _Person) -> str:
    """Shut down in order and boot: all drives are there, and nobody was asked for anything."""
    for person in persons:
        person.save(f"reboot-{person.name}", "saved before the machine went down")
    persons[0].machine.reboot()
    begun = time.monotonic()
    for person in persons:
        _back(
            person,
            "a reboot",
            partial(person.has, f"reboot-{person.name}", "saved before the machine went down"),
        )
    return f"a reboot {time.monotonic() - begun:.0f} s after the boot"


def _wrong_passphrase(person: _Person) -> None:
    """Give a wrong passphrase: it is said, and the right one is enough to have the drive back."""
    person.run("sh", "-c", f"echo 'another one' > {person.words}")
    person.systemctl("restart", person.unit)
    until(
        lambda: _says(person, "not that of this workstation"),
        within=_BACK_S,
        what="a wrong passphrase is not said",
    )
    person.run("sh", "-c", f"echo '{_WORDS}' > {person.words}")
    _back(person, "the right passphrase", lambda: _is_mounted(person))


def _keyring(person: _Person) -> None:
    """Keep the passphrase in a desktop's keyring, which opens with the login."""
    unlock = (
        "printf login | gnome-keyring-daemon --replace --unlock --components=secrets > /dev/null"
    )
    mount = person.process("mount-process")
    person.run("sh", "-c", unlock)
    person.unlocked("service", "install", "--keep", "keyring")
    if person.process("mount-process") != mount:
        raise LabError("another place for the passphrase cost the mount")
    person.run("shred", "-u", person.words)
    person.machine.reboot()
    until(lambda: _says(person, "keyring"), within=_BACK_S, what="nothing is said of the keyring")
    person.run("sh", "-c", unlock)
    _back(person, "the keyring", lambda: _is_mounted(person))


def _removed(person: _Person) -> None:
    """Without its service nothing of a home runs, and nothing of it lies in systemd."""
    person.machine.root(_LUCIDNODE, "--home", person.home, "service", "remove")
    left = person.machine.root(
        "sh", "-c", f"find /etc -name 'lucidnode-{person.name}*'; cat /proc/mounts | grep -F {person.drive} || true"
    )  # fmt: skip
    if left or person.machine.processes(person.home):
        raise LabError(f"the service left something behind: {left}")


def _is_whole(person: _Person, content: str, gone: list[int]) -> bool:
    """Tell whether everything runs again in place of *gone*, and *content* can be read."""
    everything = (
        ("service", "run"), ("keep", "daemon"), ("keep", "mount-process"), ("daemon",),
        ("mount-process",),
    )  # fmt: skip
    try:
        pids = {person.process(*words) for words in everything}
    except CommandFailed:
        return False
    return not pids & set(gone) and person.has("crash", content) and _is_mounted(person)


def _is_another(person: _Person, words: tuple[str, ...], before: int) -> bool:
    return person.process(*words) != before and _is_mounted(person)


def _is_mounted(person: _Person) -> bool:
    try:
        return _condition(person) == "mounted" and bool(person.facts("status")["mounts"])
    except CommandFailed:
        return False


def _condition(person: _Person) -> str:
    return str(person.facts("service", "status")["mounts"][0]["condition"])


def _says(person: _Person, words: str) -> bool:
    """Tell whether the service says *words* of the drive that is not there."""
    try:
        return words in person.facts("service", "status")["mounts"][0]["cause"]
    except CommandFailed:  # the machine is booting
        return False


def _back(person: _Person, what: str, is_back: Callable[[], bool]) -> float:
    """Return after how many seconds the drive is back."""
    begun = time.monotonic()

    def looks() -> bool:
        try:
            return is_back()
        except CommandFailed:
            return False

    try:
        until(looks, within=_BACK_S, what=f"the drive of {person.name} is not back after {what}")
    except CommandFailed as error:
        log = person.machine.root("journalctl", "--no-pager", "-n", "40")
        raise CommandFailed(f"{error}; the journal says:\n{log}") from error
    return time.monotonic() - begun
