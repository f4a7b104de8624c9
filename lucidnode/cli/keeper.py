"""The parent of a daemon or a mount, which starts it again when it dies.

It holds what was handed over on standard input (the keys of a mount) for as long as it lives, and
does nothing but wait: no network, no file but its lock. That of a daemon is the agent as well, which
commands ask for keys (agent.py). That of a mount holds the kernel's device as
well (held_device.py), and sees to it that there is a daemon (daemon_watch.py). A server that ends in order, or that can not be started for a
reason that stays, ends its keeper as well.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import click
import msgspec

from lucidnode.cli import confinement
from lucidnode.cli.agent import Agent
from lucidnode.cli.agent_of_home import agent_of
from lucidnode.cli.child import READY, loading_in, log_to_stderr, say_ready
from lucidnode.cli.daemon_watch import LOOK_EVERY_S, DaemonWatch
from lucidnode.cli.exit_codes import Exit
from lucidnode.cli.held_device import KEEPER_LINE, HeldDevice
from lucidnode.cli.other_process import OtherProcess
from lucidnode.cli.secret_memory import SecretMemory
from lucidnode.fs.errors import AlreadyMounted
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.kept import DAEMON_KEEPER_FILE, hold, holder, is_held
from lucidnode.node.config import BUCKET_FILE

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.5, 30.0
"""Before a server is started again, doubling from the first to the last."""

_HEALTHY_S = 60.0
"""A server that lived as long is started again after the first pause."""

_END_S = 60.0

_FINAL = frozenset(
    {
        Exit.USAGE,
        Exit.NO_STUDIO,
        Exit.PASSPHRASE,
        Exit.MOUNT_POINT,
        Exit.NO_FUSE,
        Exit.NO_PROJECT,
        Exit.NOT_ALLOWED,
    }
)
"""What a server ends with when trying again would change nothing: somebody mounted another file
system there, or the project is gone."""

_NOTHING = memoryview(b"")

_SERVERS = ("daemon", "mount-process", "past-process", "files-process")


@click.command("keep", hidden=True, context_settings={"ignore_unknown_options": True})
@click.option("--serves", default="", help="What others find it by: a mount point.")
@click.argument("lock", type=click.Path(path_type=Path))
@click.argument("server", type=click.Choice(_SERVERS))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def keep_command(
    home: Path, serves: str, lock: Path, server: str, arguments: tuple[str, ...]
) -> None:
    """Run SERVER with ARGUMENTS, and again when it dies; LOCK tells who keeps it.

    \b
    Example:
      lucidnode keep ~/.local/share/lucidnode/daemon.keeper daemon --foreground
    """
    log_to_stderr()
    environment = environment_of(server, home)
    confinement.confine(environment)
    memory = SecretMemory()
    memory.receive_all(io.FileIO(0, closefd=False).readinto)  # without a buffer: one more copy
    handed = msgspec.msgpack.decode(memory.held, type=HandedOver)
    agent = None
    if server == "daemon":
        agent = agent_of(home, handed.node_key)
        memory.wipe()
    command = [sys.executable, "-P", "-m", "lucidnode", "--home", str(home), server, *arguments]
    _hold(lock, serves, "the daemon" if server == "daemon" else serves)
    watch = None
    if handed.daemon is not None:
        kept = partial(is_held, home / DAEMON_KEEPER_FILE)
        watch = DaemonWatch(home, handed.daemon, handed.node_key, kept)
    sys.exit(Keeper(server, command, handed.given, environment, watch, agent).run())


class HandedOver(msgspec.Struct, frozen=True):
    """What a keeper gets on standard input, for its memory alone: the keys stay where they were received.

    *given* is for the server of a mount. *daemon* is the environment in which to start a daemon that
    died, *node_key* what it is started with, if there is one; they lead to the store, so the server of
    a mount does not get them.
    """

    given: memoryview
    daemon: dict[str, str] | None = None
    node_key: memoryview = _NOTHING


def environment_of(server: str, home: Path) -> dict[str, str]:
    """Return what the command *server* of *home* may know of our environment."""
    if server != "daemon":
        return confinement.of_a_mount(os.environ)
    has_credentials = (home / BUCKET_FILE).exists()
    return confinement.of_a_daemon(os.environ, has_credentials=has_credentials)


class Keeper:
    """Runs one server. *command* is a process that says `ready` on its standard output.

    *given* is what it gets on standard input; for a daemon, the node key that its *agent* holds.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        given: memoryview,
        environment: Mapping[str, str],
        watch: DaemonWatch | None = None,
        agent: Agent | None = None,
    ) -> None:
        self._watch = watch
        self._agent = agent
        self._held = HeldDevice()
        self._name = name
        self._command = command
        self._given = given
        self._environment = environment
        self._asked, self._ask = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._is_ready = False
        self._served_well = False

    def run(self) -> int:
        """Serve until that ends in order or for good; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os.write(self._ask, b"."))
        with contextlib.closing(self._held):
            if self._agent is None:
                return self._kept()
            self._agent.start()
            try:
                return self._kept()
            finally:
                self._agent.end()

    def _kept(self) -> int:
        backoff = Backoff(None, _FIRST_PAUSE_S, _MAX_PAUSE_S)
        lost = ""
        again: list[str] = []
        while True:
            began = time.monotonic()
            code, asked = self._served(again)
            if code == 0 or asked or not self._is_ready or code in _FINAL:
                return max(code, 1) if code else 0
            if time.monotonic() - began >= _HEALTHY_S:
                backoff.reset()
            pause = backoff.pause()
            how = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
            log.warning("the %s %s; it is started again in %.1f s", self._name, how, pause)
            if self._watch is not None:
                self._watch.look()
            if self._is_ended_within(pause):
                return 0
            # What has failed to begin since then is not what programs lost their files by.
            lost = how if self._served_well else lost
            again = ["--came-back", lost]

    def _is_ended_within(self, pause_s: float) -> bool:
        """Pause, and tell whether we were told to end meanwhile."""
        end = time.monotonic() + pause_s
        while (left := end - time.monotonic()) > 0:
            if select.select([self._asked], [], [], self._held.look_in_s(left))[0]:
                return True
            self._held.look()
        return False

    def _served(self, again: list[str]) -> tuple[int, bool]:
        """Run one server to its end; returns its code, and whether we were told to end it."""
        self._served_well = False
        with contextlib.ExitStack() as begun:
            line = begun.enter_context(self._held.begins()).fileno()
            server = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [*self._command, *again],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,  # a buffer would be one more copy of the keys
                env={**self._environment, KEEPER_LINE: str(line)},
                pass_fds=[line],
            )
        with server:
            assert server.stdin is not None
            assert server.stdout is not None
            with contextlib.suppress(BrokenPipeError), server.stdin as pipe:
                left = self._given if self._agent is None else self._agent.node_key
                while left:
                    left = left[pipe.write(left) :]
            ended = os.pidfd_open(server.pid)
            try:
                asked = self._watched(server, ended)
            finally:
                os.close(ended)
            self._held.died()
            return server.wait(), asked

    def _watched(self, server: subprocess.Popen[bytes], ended: int) -> bool:
        assert server.stdout is not None
        asked = False
        every_s = None if self._watch is None else LOOK_EVERY_S
        said = server.stdout.fileno()
        waiting = {ended, self._asked, said}
        while True:
            found = select.select(
                waiting.union(self._held.waits_for), [], [], self._held.look_in_s(every_s)
            )[0]
            if self._watch is not None and not found:
                self._watch.look()
            self._held.look()
            if said in found:
                line = server.stdout.readline()
                if loading_in(line) is not None:
                    if not self._is_ready:  # somebody waits for us then
                        with contextlib.suppress(BrokenPipeError):
                            os.write(1, line)
                    continue
                waiting.remove(said)
                if line.strip() == READY:
                    self._served_well = True
                    if not self._is_ready:
                        self._is_ready = True
                        say_ready()
            if self._asked in found:
                # Each time: a second signal ends a server at once.
                os.read(self._asked, 1)
                asked = True
                server.terminate()
            if ended in found:
                return asked


def _hold(lock: Path, serves: str, what: str) -> None:
    """Say in *lock* that this process is the keeper of *what*. Raises AlreadyMounted.

    Nobody waits for it: who did would serve at a moment of his own, long after whoever started him
    has gone.
    """
    try:
        hold(lock, serves)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as fcntl(2) has it
        raise AlreadyMounted(
            f"{what} is served already, or whoever served it has not ended yet: "
            "look with `lucidnode status`, and try again"
        ) from None


def end_keeper(lock: Path, serves: str | None = None) -> bool:
    """End the keeper that holds *lock*, and with it what it keeps; tell whether there was one.

    With *serves* only one that serves this. Returns when it has ended.
    """
    pid, served = holder(lock)
    if pid is None or serves not in {None, served}:
        return False
    with OtherProcess(pid) as keeper:
        keeper.tell(signal.SIGTERM)
        keeper.ends_within(_END_S)
    return True


def served_by(lock: Path) -> str:
    """Return what the last keeper that held *lock* served; an empty string if there was none."""
    return holder(lock)[1]
