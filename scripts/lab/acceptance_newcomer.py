"""Somebody new follows the quick start of the README word for word, on two machines with nothing but Debian.

Each machine is a container with a fresh user, who may use sudo. What is typed is what the README has
in its blocks; prompts are answered as a person would.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping

from lab import containers
from lab.command import run
from lab.containers import container, debian_image, podman, podman_words
from lab.errors import CommandFailed, LabError
from lab.places import REPOSITORY

PACKAGES = containers.PACKAGES

_IMAGE = "localhost/lucidnode-newcomer:1"
_INSIDE = ("iproute2", "procps", "sudo")
_PROMPT = "ready-for-the-next> "
_LINE_S = 1200.0
"""Bound for one line; the first installs everything."""

_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FOOTAGE = "head -c 5000000 /dev/urandom > footage.mov"
_PASSPHRASE = "correct horse battery staple"
_WORDS = {
    "passphrase for this workstation:": _PASSPHRASE,
    "Repeat for confirmation:": _PASSPHRASE,
    "Passphrase:": _PASSPHRASE,
}


class _Terminal:
    """A shell of the fresh user on one machine, typed into as by a person."""

    def __init__(self, machine: str) -> None:
        self._screen, theirs = os.openpty()
        self._process = subprocess.Popen(
            podman_words("exec", "-it", "-u", "ed", "-w", "/home/ed/lucidnode", "-e", "HOME=/home/ed",
                         "-e", f"PS1={_PROMPT}", "-e", "TERM=dumb", machine, "bash", "--norc", "-i"),
            stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True,
        )  # fmt: skip
        os.close(theirs)
        try:
            self._until({_PROMPT: None})
        except BaseException:
            self.close()
            raise

    def type(self, line: str, answers: dict[str, str] | None = None) -> str:
        """Type *line*, answer what asks (by what the question holds), and return what was shown.

        Raises LabError if it fails.
        """
        os.write(self._screen, line.encode() + b"\n")
        shown = self._until({_PROMPT: None, **(answers or {})})
        os.write(self._screen, b"echo code:$?\n")
        code = re.findall(r"code:(\d+)", self._until({_PROMPT: None}))
        if code != ["0"]:
            raise LabError(f"`{line}` ended with {code}: {shown[-2000:]}")
        return shown

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        os.close(self._screen)

    def _until(self, answers: Mapping[str, str | None]) -> str:
        """Read until what is answered by None, the prompt; answer what else asks. Return all of it."""
        shown, at = "", 0
        deadline = time.monotonic() + _LINE_S
        while time.monotonic() < deadline:
            if select.select([self._screen], [], [], 1.0)[0]:
                shown += os.read(self._screen, 65536).decode(errors="replace")
            fresh = shown[at:]
            asked = [each for each in answers if each in fresh]
            if not asked:
                continue
            question = min(asked, key=fresh.index)
            answer = answers[question]
            if answer is None:
                return shown
            at += fresh.index(question) + len(question)
            os.write(self._screen, answer.encode() + b"\n")
        raise CommandFailed(f"nothing came of it in {_LINE_S:.0f} s: {shown[-2000:]}")


def run_alone(_extent: float) -> str:
    """See the module."""
    first, second = _blocks()
    debian_image(_IMAGE, _INSIDE, ("PIP_CERT=/etc/ssl/certs/ca-certificates.crt",))
    begun = time.monotonic()
    with _machine("one") as one, _machine("two") as two:
        _quick_start(one, first)
        seconds = time.monotonic() - begun
        two.type(first[0])
        _second_workstation(one, two, second)
    return (
        f"{len(first)} lines of the quick start as they stand, {seconds:.0f} s with all that is installed; "
        f"a second workstation by {len(second)} lines, and what one writes the other reads"
    )


def _quick_start(one: _Terminal, lines: list[str]) -> None:
    one.type(_FOOTAGE)
    for line in lines:
        one.type(line, {**_WORDS, "Enter: later": ""})


def _second_workstation(one: _Terminal, two: _Terminal, lines: list[str]) -> None:
    invite, join, mount = lines
    one.type("lucidnode mount demo ~/demo", _WORDS)
    shown = one.type(invite, _WORDS)
    ticket = re.findall(r"\blucid1[0-9a-z]+", shown)[0]
    code = re.findall(r"\b[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}\b", shown)[0]
    two.type(join.replace("TICKET", ticket), {"Code that came": code, **_WORDS})
    two.type(mount, _WORDS)
    two.type(
        "cmp ~/demo/footage.mov ~/demo/footage.mov && test $(stat -c %s ~/demo/footage.mov) = 5000000"
    )
    one.type("sha256sum ~/demo/footage.mov | cut -c1-64 > ~/demo/sum && lucidnode wait ~/demo/sum")
    two.type("sha256sum ~/demo/footage.mov | grep -q $(cat ~/demo/sum)")


def _blocks() -> tuple[list[str], list[str]]:
    """Return the lines of the first two blocks of the quick start, without what is said of them."""
    text = (REPOSITORY / "README.md").read_text("utf-8")
    part = text[text.index("[start:quick-start]") : text.index("[end:quick-start]")]
    found = [
        [line.partition(" #")[0].strip() for line in block.splitlines() if line.strip()]
        for block in _BLOCK.findall(part)
    ]
    return found[0], found[1]


@contextlib.contextmanager
def _machine(name: str) -> Iterator[_Terminal]:
    """Have a machine with a fresh user `ed`, a clean copy of the repository, and a shared directory."""
    called = f"lucidnode-{name}-{os.getpid()}"
    shared = f"lucidnode-studio-{os.getpid()}"
    with contextlib.ExitStack() as begun:
        begun.callback(_remove_volume, shared)
        machine = begun.enter_context(container(
            called, "--hostname", name, "--cap-add", "SYS_ADMIN",
            "--device", "/dev/fuse", "-v", f"{shared}:/home/ed/studio", _IMAGE, "sleep", "infinity",
        ))  # fmt: skip
        podman("exec", machine, "sh", "-c",
               "useradd -s /bin/bash -u 1000 ed && chown ed:ed /home/ed /home/ed/studio && chmod 666 /dev/fuse"
               " && echo 'ed ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ed")  # fmt: skip
        with tempfile.TemporaryDirectory() as scratch:
            archive = f"{scratch}/lucidnode.tar"
            git = ["git", "-C", str(REPOSITORY), "archive", "--prefix=lucidnode/"]
            run([*git, "-o", archive, "HEAD"])
            podman("cp", archive, f"{machine}:/tmp/lucidnode.tar")
        podman("exec", "-u", "ed", machine, "tar", "-C", "/home/ed", "-xf", "/tmp/lucidnode.tar")
        terminal = _Terminal(machine)
        begun.callback(terminal.close)
        yield terminal


def _remove_volume(name: str) -> None:
    with contextlib.suppress(CommandFailed):  # the other machine still has it
        podman("volume", "rm", name)
