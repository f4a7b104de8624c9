"""The mount process: one project, one mount point. What it serves is put together in mount_parts.py."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lucidnode.fs.channel.device import runs
from lucidnode.fs.checkpoints.newcomer import Progress
from lucidnode.fs.hand_over import AT_ONCE, SECOND_STANDSTILL_S, STANDSTILL_S, WAITED
from lucidnode.fs.kernel.background_limit import raise_background
from lucidnode.fs.kernel.left_mount import MountKeeper
from lucidnode.fs.kernel.left_mount import beside as beside_of
from lucidnode.fs.kernel.mountpoint import (
    check,
    clear,
    detach,
    is_left,
    mounted_at,
    raise_read_ahead,
)
from lucidnode.fs.kernel.session import WORKERS, FuseSession
from lucidnode.fs.mount_parts import MountParts, mount_parts
from lucidnode.fs.mount_spec import MountSpec
from lucidnode.node.client.alerts import EVENT_S, Alerts

log = logging.getLogger(__name__)

READ_AHEAD_KIB = 2048
"""How far the kernel asks ahead of a sequential reader. Its requests have 1 MiB at most; with two of them ahead the
disk works while others are opened and copied (docs/benchmarks/profiles.md)."""

_NAMED = 4
"""Names in one alert."""


async def run(
    spec: MountSpec,
    ready: Callable[[], None],
    came_back: str = "",
    keeper: MountKeeper | None = None,
    progress: Progress = lambda _done, _total: None,
) -> None:
    """Mount, call *ready*, and serve until unmounted or told to end by SIGTERM or SIGINT.

    *progress* hears before that how many bytes of the project's state are loaded, of how many.

    *came_back* says how the process before this one ended, if that was not in order. *keeper* keeps
    what such a process leaves until ours is in its place.
    Raises a MountError, another FsError or a NodeError if the mount cannot start. Returning, it
    has unmounted, and everything acknowledged is in staging and in the replica.
    """
    os.chdir("/")  # no working directory inside the mount
    mountpoint = Path(spec.mountpoint)
    if not came_back:  # else it was looked at, and what is held there now answers nobody
        mountpoint = check(mountpoint, [Path(spec.home)])
    async with mount_parts(spec, progress, is_back=bool(came_back)) as parts:
        if came_back:
            parts.link.has_served = True
            parts.alerts.begin(
                "came-back",
                f"This mount {came_back} and was brought back.",
                "Programs that had files open in it must open them again.",
                lasts_s=EVENT_S,
            )
        # The kernel is told nothing once the session is closed: pyfuse3 would use it all the same.
        with (
            _mounted(spec, parts, mountpoint, keeper, came_back=bool(came_back)) as session,
            parts.invalidation,
        ):
            _stop_on_signals(session)
            waited, at_once = asyncio.Event(), asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(WAITED, waited.set)
            asyncio.get_running_loop().add_signal_handler(AT_ONCE, at_once.set)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(session.serve())
                # The kernel sets its read-ahead when the first request is answered, so not before.
                await asyncio.to_thread(mountpoint.stat)
                raise_read_ahead(mountpoint, READ_AHEAD_KIB)
                if not await asyncio.to_thread(_may_wait, mountpoint):
                    log.info(
                        "a dozen reads that wait for the network hold up all others here: %s",
                        "mount fusectl at /sys/fs/fuse/connections, as systemd does",
                    )
                if keeper is not None and (mounted := mounted_at(mountpoint)) is not None:
                    session.held_by(keeper, mounted.device)
                parts.link.has_served = True
                ready()
        await parts.drain.run(SECOND_STANDSTILL_S if waited.is_set() else STANDSTILL_S, at_once)


@contextlib.contextmanager
def _mounted(
    spec: MountSpec,
    parts: MountParts,
    mountpoint: Path,
    keeper: MountKeeper | None,
    *,
    came_back: bool,
) -> Iterator[FuseSession]:
    """Be mounted at *mountpoint*, and unmount; if the block fails a *keeper* keeps it for the next.

    What the process before us has left there is exchanged for ours in one step, if that can be.
    """

    def session_at(place: Path) -> FuseSession:
        return FuseSession(
            parts.files,
            parts.spans,
            place,
            allow_other=spec.allow_other,
            channel=spec.channel,
            on_answered=parts.on_answered,
            authority=parts.locks,
        )

    beside = session = None
    if keeper is not None and is_left(mountpoint, keeper.left()):
        beside = keeper.aside(mountpoint)
    if keeper is not None and beside is not None:
        session = session_at(beside)
        if not _exchanged(beside, mountpoint, keeper, parts.alerts):
            session.close()
            with contextlib.suppress(OSError):
                beside.rmdir()
            beside = session = None
    if session is None:
        if keeper is not None:
            keeper.let_go()
        _clear_beside(beside_of(mountpoint))
        if below := clear(mountpoint, may_hold_names=came_back):
            _tell_of(
                below,
                f"Run `lucidnode umount {mountpoint}`, move what lies there to another place, mount "
                "again, and copy it into the project.",
                parts.alerts,
            )
        if keeper is not None:
            keeper.bare(mountpoint)
        session = session_at(mountpoint)
    there = mounted_at(mountpoint)
    try:
        yield session
    except BaseException:
        session.close(unmount=keeper is None)
        raise
    if beside is not None and there is not None and there == mounted_at(mountpoint):
        detach(mountpoint)  # the kernel library knows another name of it
    session.close(unmount=beside is None)


def _exchanged(beside: Path, mountpoint: Path, keeper: MountKeeper, alerts: Alerts) -> bool:
    """Put what is mounted *beside* in the place of what was left; False if it is there still."""
    ours = mounted_at(beside)
    try:
        kept = keeper.exchange()
    except OSError:
        # A keeper that was killed just then has not said whether it was done.
        if ours is None or not is_left(mountpoint, ours.device):
            return False
        kept = beside if os.path.lexists(beside) else None
    if kept is not None and (names := taken_away(kept)):
        _tell_of(
            names,
            f"Move what lies in {kept} to another place, and copy it into the project.",
            alerts,
        )
    return True


def taken_away(kept: Path) -> list[str]:
    """Remove the directory *kept* with what is mounted on it; return the names of what lies there instead.

    Who exchanged the two may be removing it just now, also behind a keeper that was killed.
    """
    try:
        detach(kept)
        if names := sorted(path.name for path in kept.iterdir()):
            return names
        kept.rmdir()
    except FileNotFoundError:
        pass
    return []


def _clear_beside(directory: Path) -> None:
    """Remove what an exchange that was broken off has left, unless files are in it."""
    if is_left(directory, None):
        detach(directory)
    with contextlib.suppress(OSError):
        directory.rmdir()


def _tell_of(below: Sequence[str], remedy: str, alerts: Alerts) -> None:
    """Tell of names *below* the mount: better than a drive that stays away and is written on."""
    alerts.begin(
        "below",
        f"While this mount was away programs wrote {_some(below)} into the directory below "
        "it: on this disk, not in the project.",
        remedy,
    )


def _some(names: Sequence[str]) -> str:
    """Return *names* for a sentence: at most a few."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _may_wait(mountpoint: Path) -> bool:
    """Have the kernel hand out many reads at once; tell whether it does. Blocking."""
    # The kernel channel has asked for as many when the session began.
    return runs() or raise_background(mountpoint, WORKERS) is not None


def _stop_on_signals(session: FuseSession) -> None:
    """End in order on the first SIGTERM or SIGINT, and at once on SIGINT after that.

    A second SIGTERM changes nothing: at shutdown it comes from the system and from our keeper.
    """
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        loop.add_signal_handler(signal.SIGTERM, log.info, "ending already")
        session.stop()

    for number in numbers:
        loop.add_signal_handler(number, stop)
