"""People at workstations: the real `lucidnode` command, as a process, on a terminal if it matters."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import json_schema
from lab.daemon_socket import ask

from lucidnode import membership, node_key
from lucidnode.fs.format.sodium import PassphraseCost
from lucidnode.fs.membership import passphrase_seal
from lucidnode.fs.membership.member_file import open_membership, seal_membership, sealed_in
from lucidnode.node import sealed_file
from lucidnode.node.client.mountinfo import mounts

LUCIDNODE = str(Path(sys.executable).with_name("lucidnode"))
PASSPHRASE = "correct horse battery"
CHEAP = PassphraseCost(passes=1, kibibytes=8)
_COST = struct.Struct(">II")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on standard error, which every failure has."""
        lines = self.err.splitlines()
        assert len(lines) == 1, f"not one line on standard error: {self.err!r}"
        assert lines[0].startswith("lucidnode: ")
        return lines[0].removeprefix("lucidnode: ")


class Workstation:
    """One home. *environment* is all that its commands see beside PATH."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        folder.mkdir()
        self.folder = folder
        self.home = folder / "home"
        self._node_keys: dict[bytes, bytes] = {}
        self.words = folder / "passphrase"
        self.words.touch(mode=0o600)
        self.words.write_text(PASSPHRASE + "\n")
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LUCIDNODE_HOME": str(self.home),
            "AWS_EC2_METADATA_DISABLED": "true",
            # No store of these tests has TLS. Reading a hundred authorities is a quarter of what a
            # small command costs, and there are hundreds of commands.
            "SSL_CERT_FILE": os.devnull,
            "SSL_CERT_DIR": os.devnull,
            **(environment or {}),
        }

    def run(self, *words: str | Path, before: str = "", timeout: float = 60) -> Ended:
        """Run `lucidnode WORDS`; *before* is shell that runs first, in a mount namespace."""
        command = [LUCIDNODE, *map(str, words)]
        if before:
            command = ["unshare", "-m", "sh", "-ec", f'{before}\nexec "$@"', "sh", *command]
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            text=True,
            env=self.environment,
            cwd=self.folder,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        assert "Traceback" not in done.stdout + done.stderr
        if "--json" in words and done.stdout:
            json_schema.check(tuple(map(str, words)), done.stdout)
        return Ended(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str | Path, timeout: float = 60) -> Ended:
        """Run a command that has to succeed."""
        ended = self.run(*words, timeout=timeout)
        assert ended.code == 0, ended
        return ended

    def unlocked(self, *words: str | Path, timeout: float = 60) -> Ended:
        """Run a command that needs the passphrase, and has to succeed."""
        ended = self.ok(*words, "--passphrase-file", self.words, timeout=timeout)
        if words[0] in {"init", "join"}:
            self._stretch_less()
        return ended

    def _stretch_less(self) -> None:
        """Seal the member's keys as they are, for less work: later commands open them all the same.

        What a passphrase costs is in the seal. What people get costs 256 MiB and the greater part of a
        second, which is seen here once, and there are hundreds of commands.
        """
        path = self.home / "member.json"
        raw = path.read_bytes()
        people = passphrase_seal.FOR_PEOPLE
        assert _COST.unpack_from(sealed_in(raw), 4) == (people.passes, people.kibibytes)
        path.write_bytes(seal_membership(open_membership(raw, PASSPHRASE), PASSPHRASE, CHEAP))

    def facts(self, topic: str) -> Any:
        """Return what `lucidnode TOPIC --json` prints, of mounts that all have answered."""
        return _complete(lambda: json.loads(self.ok(*topic.split(), "--json").out))

    def opened(self, name: str) -> bytes:
        """Return what the sealed file *name* in the home holds."""
        sealed = (self.home / "node.key").read_bytes()
        if sealed not in self._node_keys:  # the passphrase costs a second by design
            mine = membership.unlock(self.home, PASSPHRASE)
            self._node_keys[sealed] = node_key.open_kept(self.home, mine.keys)
        return sealed_file.opened(self._node_keys[sealed], name, (self.home / name).read_bytes())

    def status(self) -> Any:
        """Return what `lucidnode status --json` prints, without a process: for who asks often."""
        return _complete(lambda: ask(self.home / "daemon.sock", "status"))

    def stages_nothing(self) -> bool:
        """Tell whether all that is in the bucket has moved on into the cache, a moment after that."""
        staging = self.home / "cache" / "staging"
        return not any(path.is_file() for path in staging.rglob("*"))

    def change_settings(self, **changes: object) -> None:
        """Edit node.json."""
        path = self.home / "node.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    def secret_file(self, name: str, text: str) -> Path:
        """Return a file that only we can read."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def on_terminal(
        self,
        *command: str,
        answers: tuple[tuple[str, str | Callable[[], object]], ...] = (),
        timeout: float = 60,
    ) -> tuple[int, str]:
        """Run *command* on a terminal; give each answer when its prompt shows. Returns all shown.

        An answer that is a function is called instead, and what it returns is given, if that is text.
        """
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**self.environment, "TERM": "xterm", "COLUMNS": "100"},
            cwd=self.folder,
            start_new_session=True,
        )
        os.close(theirs)
        shown, at, waiting = "", 0, list(answers)
        end = time.monotonic() + timeout
        with (
            contextlib.closing(os.fdopen(ours, "rb+", buffering=0)) as terminal,
            contextlib.ExitStack() as ended,
        ):
            ended.callback(process.wait)
            ended.callback(process.kill)  # however this ends, nobody is left for the next test
            while process.poll() is None or select.select([terminal], [], [], 0)[0]:
                assert time.monotonic() < end, shown
                if select.select([terminal], [], [], 0.1)[0]:
                    try:
                        shown += terminal.read(65536).decode(errors="replace")
                    except OSError:  # EIO: everybody has closed the other side
                        break
                if waiting and waiting[0][0] in shown[at:]:
                    at = len(shown)
                    answer = waiting.pop(0)[1]
                    given = answer if isinstance(answer, str) else answer()
                    if isinstance(given, str):
                        terminal.write(given.encode() + b"\n")
            code = process.wait(timeout)
        assert not waiting, (waiting, shown)
        return code, shown

    def leave(self) -> None:
        """Take away what still runs and is mounted."""
        for mount in mounts(Path("/proc/self/mountinfo").read_bytes()):
            if mount.is_ours and mount.directory.is_relative_to(self.folder):
                subprocess.run(["umount", "-l", mount.directory], check=False)
        self.kill()

    def kill(self, argument: str = "") -> None:
        """Kill our `processes`, as a power cut would; some may end by themselves when others do."""
        for pid in self.processes(argument):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def processes(self, argument: str = "") -> list[int]:
        """Return our daemon, mounts and their keepers: those whose environment names our home.

        With *argument* only those that were started with it. Keepers come first: nobody may start
        what was killed again while others are still to be killed.
        """
        wanted = f"LUCIDNODE_HOME={self.home}".encode()
        found: dict[int, bool] = {}
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                words = path.with_name("cmdline").read_bytes().split(b"\0")
                is_meant = not argument or argument.encode() in words
                if is_meant and wanted in path.read_bytes().split(b"\0"):
                    found[int(path.parent.name)] = b"keep" not in words
        return sorted(found, key=lambda pid: (found[pid], pid))


def _complete(ask_once: Callable[[], Any]) -> Any:
    """Return the first answer of *ask_once* that says something of every mount.

    One that is busy for a second is said to be silent, and nothing of it is told: not that all is well.
    """
    found: list[Any] = []

    def is_complete() -> bool:
        found[:] = [ask_once()]
        alerts = found[0].get("alerts", []) if isinstance(found[0], dict) else []
        return all(alert["topic"] != "mount-silent" for alert in alerts)

    until(is_complete, said=lambda: found)
    return found[0]


def until(
    holds: Callable[[], object],
    seconds: float = 60.0,
    said: Callable[[], object] = lambda: "it never came true",
) -> None:
    """Return once *holds*. It sleeps in between: those who are waited for need the processor.

    *seconds* are many, for the machine may be shared: no test is timed by it.

    What *said* returns is shown if it never does.
    """
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, said()
        time.sleep(0.05)  # noqa: TID251  # a test thread, not a loop


@contextlib.contextmanager
def workstation(folder: Path, environment: dict[str, str] | None = None) -> Iterator[Workstation]:
    """Have a workstation that leaves nothing behind."""
    station = Workstation(folder, environment)
    try:
        yield station
    finally:
        station.leave()


class Uplink:
    """A relay before a store on loopback, with a *rate* in bytes a second towards the store.

    It has *carried* so many bytes towards it.
    """

    FAST = 100e6

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname
        assert parts.port
        self._upstream = parts.hostname, parts.port
        self.rate = self.FAST
        self.carried = 0
        self._turn = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listen(0)

    def _listen(self, port: int) -> None:
        self._door = socket.create_server(("127.0.0.1", port))
        self.port: int = self._door.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._start(self._admit, self._door)

    def hurry(self) -> None:
        """Be fast again."""
        self.rate = self.FAST

    def cut(self) -> None:
        """Close every connection, and refuse new ones."""
        for each in (self._door, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)
        self._open, self._threads = [], []

    def heal(self) -> None:
        """Let everybody through again."""
        self._listen(self.port)

    def _start(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _admit(self, door: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = door.accept()
                there = socket.create_connection(self._upstream)
                self._open += [here, there]
                self._start(self._carry, here, there, True)
                self._start(self._carry, there, here, False)

    def _carry(self, source: socket.socket, target: socket.socket, slow: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if slow:
                    with self._turn:
                        time.sleep(len(data) / self.rate)  # noqa: TID251  # a thread of its own
                        self.carried += len(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
