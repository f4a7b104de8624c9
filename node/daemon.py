"""The node daemon of a home: one process that serves until it is told to stop.

With other settings it serves anew (node/serving.py), and with those of before where they do not do.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import NodeError, Refused
from lucidnode.node.config import LOCK_FILE, NodeConfig
from lucidnode.node.current_settings import CurrentSettings
from lucidnode.node.daemon_socket.listener import DaemonSocket
from lucidnode.node.opened_cache import OpenedCache, opened_cache

log = logging.getLogger(__name__)


class Serving(Protocol):
    """What a daemon does with its cache (node/serving.py)."""

    def __call__(
        self,
        home: Path,
        settings: CurrentSettings,
        opened: OpenedCache,
        listener: DaemonSocket,
        *,
        stop: Callable[[], None],
        anew: Callable[[], None],
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """See there."""


@dataclass(frozen=True, slots=True)
class DaemonOptions:
    """What the command line adds to the settings of this start."""

    peers: Sequence[str] = ()
    mdns: bool = True
    control_port: int | None = None
    came_back: str = ""
    """How the daemon before this one ended, if its keeper started this one."""

    def applied(self, config: NodeConfig) -> NodeConfig:
        """Return *config* for this run."""
        return msgspec.structs.replace(
            config,
            peers=[*config.peers, *self.peers],
            mdns=config.mdns and self.mdns,
            control_port=self.control_port or config.control_port,
        )


async def run_daemon(home: Path, options: DaemonOptions, ready: Callable[[], None]) -> None:
    """Run the daemon of *home* until SIGTERM, SIGINT or `lucidnode exit`; *ready* once it serves.

    Raises Refused, Unavailable and the like with a sentence when it cannot start.
    """
    settings = CurrentSettings(home, options.applied)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tidings = _Tidings(options.came_back)
    try:
        with _locked(home), DaemonSocket(home / SOCKET_FILE) as listener:
            await _serve_until(stop, home, settings, tidings, listener, ready)
            while not stop.is_set():
                last_good, began = tidings.served, asyncio.Event()
                try:
                    await _serve_until(stop, home, settings, tidings, listener, began.set)
                except (ExceptionGroup, NodeError) as error:
                    cause = _first_cause(error)
                    if began.is_set() or last_good is None or not isinstance(cause, NodeError):
                        raise
                    # A port that is taken, say: no drive goes away for a setting.
                    tidings.unfit = str(cause).rstrip(".")
                    await asyncio.to_thread(settings.use, last_good)
    except ExceptionGroup as group:
        # A sentence for a person is one sentence, whichever group of tasks it came through.
        first = _first_cause(group)
        if isinstance(first, NodeError):
            raise first from group
        raise


@dataclass(slots=True)
class _Tidings:
    """What is to be told when the daemon serves next."""

    came_back: str
    """How the one before ended, if there was one."""
    unfit: str = ""
    """Why the settings could not be used; it serves with those of before."""
    served: NodeConfig | None = None
    """The settings with which it served last."""

    def tell(self, alerts: Alerts) -> None:
        """Say it, once."""
        if self.came_back:
            alerts.begin(
                "came-back",
                f"The daemon {self.came_back} and was started again.",
                "If that goes on, its log has details.",
                lasts_s=EVENT_S,
            )
        if self.unfit:
            alerts.begin(
                "settings",
                f"The settings cannot be used: {self.unfit}. It goes on with those of before.",
                "`lucidnode config list` shows them; set another value.",
            )
        self.came_back = self.unfit = ""


async def _serve_until(
    stop: asyncio.Event,
    home: Path,
    settings: CurrentSettings,
    tidings: _Tidings,
    listener: DaemonSocket,
    ready: Callable[[], None],
) -> None:
    """Serve until *stop*, or until there are settings for which it has to serve anew."""
    anew = asyncio.Event()
    config = settings.config
    async with contextlib.AsyncExitStack() as stack:
        loading = asyncio.ensure_future(asyncio.to_thread(_loaded))
        try:
            opened = await stack.enter_async_context(opened_cache(home, settings))
        finally:
            serving = await loading
        tidings.tell(opened.alerts)
        await stack.enter_async_context(
            serving(home, settings, opened, listener, stop=stop.set, anew=anew.set)
        )
        tidings.served = config
        ready()
        await _first_of(stop, anew)
        log.info("stopping" if stop.is_set() else "serving anew, with other settings")


def _loaded() -> Serving:
    """Return what serves. Blocking.

    It is more than half of the modules of a daemon. SQLite takes as long for the index of a large
    cache, and no interpreter while it puts the blocks into the order of their use.
    """
    from lucidnode.node.serving import serving  # noqa: PLC0415  # while the cache is opened

    return serving


async def _first_of(*events: asyncio.Event) -> None:
    """Return when one of *events* is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()


def _first_cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Be the only daemon of *home*. Raises Refused."""
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"a daemon runs for {home} already") from None
        yield
    finally:
        os.close(descriptor)
