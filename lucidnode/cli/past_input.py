"""Opens the past of a project for commands, and reads what a person types about it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from lucidnode.cli.background import facts_if_running
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.progress import spinner
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.errors import FsError, NoSuchPast, NoSuchPoint, NoSuchProject
from lucidnode.fs.history import past_places
from lucidnode.fs.history.horizon import check_whole
from lucidnode.fs.history.past import Past
from lucidnode.fs.history.past_at_hand import PastAtHand, past_at_hand
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import OpenProject, RosterView
from lucidnode.fs.project_home import project_directory
from lucidnode.fs.snapshots.snapshot_row import snapshots_of
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import DeviceId, Seq


@dataclass(frozen=True, slots=True)
class OpenPast:
    """The past of one project, read to the end of the journal."""

    at_hand: PastAtHand
    access: ProjectAccess
    client: DaemonClient
    membership: Membership

    @property
    def past(self) -> Past:
        """The past as far as it was read by now: a question may have more of it read."""
        return self.at_hand.past

    async def point(self, text: str) -> Seq:
        """Return the entry that *text* means: a snapshot of that name first.

        Raises NoSuchPoint, also for one that is older than the past is kept; or a NodeError.
        """
        if any(each.name == text for each in snapshots_of(self.past.now)):
            return self.snapshot(text)
        seq = await self.at_hand.point(text, datetime.now().astimezone())
        check_whole(self.past.now, seq)
        return seq

    def snapshot(self, name: str) -> Seq:
        """Return the entry that snapshot *name* names. Raises NoSuchPoint."""
        for each in snapshots_of(self.past.now):
            if each.name == name:
                if each.row.seq > self.past.head().seq:
                    raise NoSuchPoint(
                        f"snapshot {name} names version {each.row.seq}, which does not exist: delete it"
                    )
                return each.row.seq
        raise NoSuchPoint(
            f"there is no snapshot {name}: `lucidnode snapshot list` shows those there are"
        )


@dataclass(frozen=True, slots=True)
class GivenPath:
    """A path in a project, by the project's name or id."""

    project: str
    path: past_places.Path
    hint: str = ""
    """What may be meant instead, for whoever finds nothing there."""


@contextlib.contextmanager
def hinting(given: GivenPath) -> Iterator[None]:
    """Say what may be meant instead where nothing is called *given* in this block."""
    try:
        yield
    except NoSuchPast as error:
        raise NoSuchPast(f"{error}{given.hint}") from error


@contextlib.asynccontextmanager
async def opened_past(
    home: Path,
    passphrase_file: Path | None,
    project: str,
    stopped: Callable[[str], None] | None = None,
    *,
    whole: bool = False,
) -> AsyncIterator[OpenPast]:
    """Have the past of *project*, a name or an id, read on to its end; from the first entry if *whole*.

    Where *stopped* is given, what keeps it from being read on is told there, and it is as far as it
    was read. Raises a NodeError or an FsError.
    """
    mine, socket = await asyncio.to_thread(unlocked, home, passphrase_file)
    async with DaemonClient(socket) as client:
        found = known_project(RosterView.read(await client.roster.entries(), mine), project)
        access = await ProjectAccess.open(client.roster, mine, found.id)
        directory = project_directory(home, found.id)
        for path in (directory.parent, directory):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with past_at_hand(
            directory, client, access, SystemClock(), partial(_reading, found.name)
        ) as at_hand:
            try:
                await (at_hand.open_whole() if whole else at_hand.open())
            except (FsError, NodeError) as error:
                if stopped is None or not at_hand.is_open:
                    raise
                stopped(str(error))
            yield OpenPast(at_hand, access, client, mine)


@contextlib.contextmanager
def _reading(project: str) -> Iterator[Callable[[Seq], None]]:
    """Show how far the history of *project* is read while the block runs."""
    with spinner(f"reading the history of {project}…") as show:

        def progress(seq: Seq) -> None:
            if show is not None and seq % 100 == 0:
                show(f"reading the history of {project}, version {seq:,}…")

        yield progress


def given_path(home: Path, text: str) -> GivenPath:
    """Return where *text* lies: in the project before its colon, in one that is mounted, or is one.

    A file whose own name has a colon is told by a slash before it. Raises UsageError.
    """
    project, colon, rest = text.partition(":")
    if colon and project and "/" not in project and not os.path.lexists(text):
        return GivenPath(project, _names(os.path.normpath(rest.strip("/") or ".")))
    absolute = Path(os.path.normpath(Path(text).expanduser().absolute()))
    candidates = [absolute, absolute.parent.resolve() / absolute.name]
    for mount in _mounts(home):
        mountpoint = Path(mount["mountpoint"])
        for each in candidates:
            if each.is_relative_to(mountpoint):
                names = _names(str(each.relative_to(mountpoint)))
                bare = "/" not in text and not os.path.lexists(text)
                hint = f"; if that is a project, call it {text}:" if bare else ""
                return GivenPath(mount["project"], names, hint)
    if text and "/" not in text and not colon:
        return GivenPath(text, ())
    raise click.UsageError(
        f"{text} lies in no project that is mounted here: name it as PROJECT:PATH"
    )


def known_project(view: RosterView, wanted: str) -> OpenProject:
    """Return the project called *wanted*, or of that id. Raises NoSuchProject."""
    for project in view.projects():
        if wanted in {project.id, project.name}:
            return project
    raise NoSuchProject(f"there is no project {wanted} that you can open")


async def not_there(opened: OpenPast, path: past_places.Path, seq: Seq) -> NoSuchPast:
    """Return what is raised where the project had no *path* in version *seq*."""
    if seq == opened.past.head().seq:
        return NoSuchPast(f"there is no {past_places.shown(path)} in this project now")
    made_ns = await opened.at_hand.wall_ns(seq) if seq else 0
    made = f", of {when(made_ns)}" if made_ns else "" if seq else ", the empty project"
    return NoSuchPast(
        f"{past_places.shown(path)} was not there in version {seq}{made}: `lucidnode history` shows "
        "the versions it has"
    )


def who(access: ProjectAccess, device: DeviceId) -> str:
    """Return whose workstation *device* is, for people."""
    member, workstation = access.who(device)
    return f"{member} on {workstation}" if member else workstation


def when(wall_ns: int) -> str:
    """Return the time *wall_ns* for people, in the zone of this machine."""
    try:
        return f"{datetime.fromtimestamp(wall_ns / 1e9).astimezone():%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return "?"  # a clock that is wrong by more than a calendar has


def _mounts(home: Path) -> list[dict[str, Any]]:
    status = asyncio.run(facts_if_running(home, "status"))
    return [] if status is None else list(status["mounts"])


def _names(relative: str) -> past_places.Path:
    names = tuple(os.fsencode(name) for name in relative.split("/") if name != ".")
    if b".." in names:
        raise click.UsageError(f"{relative} leads out of the project")
    return names
