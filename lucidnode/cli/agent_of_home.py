"""The agent of one home, which goes by its settings: when it locks itself."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from pathlib import Path

from lucidnode.cli import sleep_watch
from lucidnode.cli.agent import AGENT_SOCKET, Agent
from lucidnode.node.client.errors import Refused
from lucidnode.node.config import NodeConfig, load_config

log = logging.getLogger(__name__)


def agent_of(home: Path, node_key: memoryview) -> Agent:
    """Return the agent of *home*, whose daemon has the *node_key*; it locks when the settings say so."""
    settings = _Settings(home)
    agent = Agent(home / AGENT_SOCKET, node_key, lambda: settings.now().lock_after_s)

    def before_sleep() -> None:
        agent.lock()
        if settings.now().lock_on_suspend == "unmount":
            _unmount(home)

    sleep_watch.watch(before_sleep, lambda: settings.now().lock_on_suspend != "no")
    return agent


class _Settings:
    """What the settings of *home* say now, or said while they could be read."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._known = load_config(home)

    def now(self) -> NodeConfig:
        with contextlib.suppress(Refused, OSError):
            self._known = load_config(self._home)
        return self._known


def _unmount(home: Path) -> None:
    # It ends us as well, and with us the hold on the sleep.
    command = [sys.executable, "-P", "-m", "lucidnode", "--home", str(home), "lock", "--unmount"]
    try:
        subprocess.run(  # noqa: S603  # our own interpreter and module
            command, stdin=subprocess.DEVNULL, check=False, cwd="/", start_new_session=True
        )
    except OSError as error:  # no process, no memory
        log.warning("nothing could be unmounted before the machine sleeps: %s", error)
