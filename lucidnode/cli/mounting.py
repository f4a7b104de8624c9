"""The command that mounts a project. What serves the mount is loaded in another process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shlex
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import click
import msgspec
import uvloop

from lucidnode import membership
from lucidnode.cli import confinement, persistent_mounts
from lucidnode.cli.allocator import keep_large_buffers
from lucidnode.cli.background import begin_probe, facts, facts_if_running, start
from lucidnode.cli.child import log_to_stderr, say_ready
from lucidnode.cli.keeper import end_keeper
from lucidnode.cli.lock_patterns import NO_FILE, lock_patterns
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.mount_point import MountPath, mount_path
from lucidnode.cli.mount_progress import MountProgress
from lucidnode.cli.output import alert_line
from lucidnode.cli.persistent_mounts import PersistentMount
from lucidnode.cli.point_given import PointGiven
from lucidnode.cli.project_names import offering_projects
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.cli.service_state import runs
from lucidnode.cli.taking_place import TakenPlaces
from lucidnode.disk_room import check_for_writing
from lucidnode.fs.errors import (
    AlreadyMounted,
    CacheInsideMount,
    MountPointMissing,
    NoSuchProject,
)
from lucidnode.fs.kernel.mountpoint import check
from lucidnode.fs.membership.roster_view import OpenProject, RosterView
from lucidnode.fs.mount_spec import (
    PROJECT_FILES,
    Consistency,
    Durability,
    LockedElsewhere,
    MountSpec,
    SnapshotDirectory,
)
from lucidnode.fs.project_home import programs_socket
from lucidnode.node.client.bounded_look import answer_of
from lucidnode.node.client.guarded_disk import TOPIC as CACHE_DISK
from lucidnode.node.client.kept import MOUNT_KEEPER_FILE
from lucidnode.node.config import cache_directory, load_config
from lucidnode.program_socket import DoorGone, ask_to_leave


@click.command("mount", short_help="Mount a project.")
@click.argument("project", shell_complete=offering_projects)
@click.argument("directory", type=MountPath())
@click.option(
    "--durability",
    type=click.Choice(["relaxed", "local", "office", "cloud"]),
    default="local",
    show_default=True,
    help="What close() and fsync() wait for; at relaxed, close() for no disk.",
)
@click.option("--read-only", is_flag=True, help="Refuse changes.")
@click.option("--allow-other", is_flag=True, help="Let other users of this machine in, too.")
@click.option("--foreground", is_flag=True, help="Stay in this terminal and log here.")
@click.option("--persist", is_flag=True, help="Have the service bring it back at every start.")
@click.option(
    "--at",
    "point",
    help="Show it as it was, read-only, beside the mount of now: a version, a date and time, or how "
    "long ago (15m, 2h, 3d, 1w).",
)
@click.option("--snapshot", help="Show it as it was in the snapshot of this name, as with --at.")
@click.option(
    "--lock-on-open",
    "patterns",
    metavar="PATTERN",
    multiple=True,
    callback=lambda _context, _option, given: lock_patterns(given),
    help="Lock files of such names while they are open for writing, so that others can only read them; "
    "may be repeated, `none` locks none. Without it: project files, such as *.prproj or *.blend.",
)
@click.option(
    "--locked-elsewhere",
    type=click.Choice(["read-only", "busy"]),
    default="read-only",
    show_default=True,
    help="What programs here get that open such a file for writing: a refusal after which they open it "
    "to read, or EBUSY.",
)
@click.option(
    "--consistency",
    type=click.Choice(["polled", "strict"]),
    default="polled",
    show_default=True,
    help="strict: each open() asks the bucket for what others have saved.",
)
@click.option(
    "--snapdir",
    type=click.Choice(["none", "hidden", "visible"]),
    default="none",
    show_default=True,
    help="Show the project's snapshots below .snapshots, read-only; hidden: no listing has that name.",
)
@passphrase_file
@click.pass_obj
def mount_command(
    home: Path,
    project: str,
    directory: Path,
    durability: str,
    read_only: bool,
    allow_other: bool,
    foreground: bool,
    persist: bool,
    point: str | None,
    snapshot: str | None,
    patterns: tuple[str, ...] | None,
    locked_elsewhere: str,
    consistency: str,
    snapdir: str,
    passphrase_file: Path | None,
) -> None:
    """Mount PROJECT at DIRECTORY. Files stream in as they are read.

    DIRECTORY is made if it is missing and the one above it is there. The daemon is started if it
    does not run.

    \b
    Examples:
      lucidnode mount demo ~/demo
      lucidnode mount demo ~/demo --snapdir visible
      lucidnode mount demo ~/demo-monday --at '2026-03-02 18:00'
    """
    if point is not None or snapshot is not None:
        if persist or foreground:
            raise click.UsageError(
                "--at and --snapshot stand for themselves: with neither --persist nor --foreground"
            )
        if snapdir != "none":
            raise click.UsageError(
                "a mount of the past shows one state: --snapdir is for one of now"
            )
        if point is not None and snapshot is not None:
            raise click.UsageError("--at and --snapshot both say which state: give one of them")
        _mount_past(
            home,
            project,
            directory,
            PointGiven(point or snapshot or "", is_snapshot=snapshot is not None),
            passphrase_file,
            allow_other=allow_other,
        )
        return
    if persist and foreground:
        raise click.UsageError("--persist is for the service, which runs in no terminal")
    config = load_config(home)
    if "/" in project:
        raise click.UsageError(
            f"{project} is a directory: the project comes first, as in `lucidnode mount PROJECT "
            f"{shlex.quote(project)}`"
        )
    mountpoint = mount_path(directory)
    kept = PersistentMount(
        project,
        str(mountpoint),
        cast(Durability, durability),
        read_only,
        allow_other,
        None if patterns is None else list(patterns) or [NO_FILE],
        cast(LockedElsewhere, locked_elsewhere),
        cast(Consistency, consistency),
        cast(SnapshotDirectory, snapdir),
    )
    if persist:
        persistent_mounts.check_fits(home, kept)
    status = asyncio.run(facts_if_running(home, "status"))
    if persist and _is_at(mountpoint, status):
        _list_mounted(home, kept, status, passphrase_file)
        return
    _refuse_taken(mountpoint, status)
    cache = cache_directory(home, config)
    _refuse_inside(mountpoint, [home, cache])
    with (
        contextlib.closing(TakenPlaces()) as taken,
        _made_if_missing(mountpoint, taken) as made,
    ):
        check(mountpoint, [home])
        asyncio.run(begin_probe(home))
        mine, socket = unlocked(home, passphrase_file)
        if status is None:  # the daemon has just begun
            asyncio.run(begin_probe(home))
        if not read_only:
            cached = asyncio.run(facts(home, "cache"))["bytes"]
            check_for_writing(cache, config.cache_limit, config.min_free, cached)
        found = project_called(asyncio.run(membership.read_roster(socket, mine)), project)
        log = mount_log(home, found.id)
        taken.take_project(log.parent, project)
        _refuse_second(home, found, asyncio.run(facts(home, "status")))
        spec = MountSpec(
            home=str(home),
            mountpoint=str(mountpoint),
            membership=mine,
            project=found.id,
            durability=cast(Durability, durability),
            read_only=read_only,
            allow_other=allow_other,
            lock_on_open=PROJECT_FILES if patterns is None else patterns,
            locked_elsewhere=kept.locked_elsewhere,
            consistency=kept.consistency,
            collection_requests=config.collection_requests,
            memory_limit=config.memory_limit,
            snapdir=kept.snapdir,
        )
        progress = MountProgress(home, mountpoint)
        lock = keeper_file(home, found.id)
        end_keeper(lock)  # one whose server is gone, and who would bring it back in our place
        if foreground:
            from lucidnode.fs.mount import run  # noqa: PLC0415  # else another process serves

            lock.unlink(missing_ok=True)  # this one has no keeper
            log_to_stderr()
            confinement.confine(confinement.of_a_mount(os.environ))
            keep_large_buffers()

            def ready() -> None:
                taken.close()
                say_ready()

            uvloop.run(run(spec, ready))
            return
        start(
            home,
            lock,
            ["mount-process"],
            log,
            f"mounting {project}…",
            serves=str(mountpoint),
            given=msgspec.msgpack.encode(spec),
            look=progress.words,
            heard=progress.loaded,
        )
    where = f"{mountpoint}, a new directory" if made else str(mountpoint)
    click.echo(f"{project} is mounted at {where}", err=True)
    if persist:
        _persist(home, kept)
    for alert in asyncio.run(facts(home, "status"))["alerts"]:
        if alert["mountpoint"] == str(mountpoint) or alert["topic"] == CACHE_DISK:
            click.echo(f"! {alert_line(alert)}", err=True)


def _mount_past(
    home: Path,
    project: str,
    directory: Path,
    point: PointGiven,
    passphrase_file: Path | None,
    *,
    allow_other: bool,
) -> None:
    from lucidnode.cli.past_mounting import mount_past  # noqa: PLC0415  # few mounts need it

    mountpoint = mount_path(directory)
    _refuse_taken(mountpoint, asyncio.run(facts_if_running(home, "status")))
    cache = cache_directory(home, load_config(home))
    _refuse_inside(mountpoint, [home, cache])
    with (
        contextlib.closing(TakenPlaces()) as taken,
        _made_if_missing(mountpoint, taken),
    ):
        check(mountpoint, [home])
        which = mount_past(
            home, cache, project, point, mountpoint, passphrase_file, allow_other=allow_other
        )
    click.echo(f"{project} is mounted at {mountpoint} as it was: {which}", err=True)


def mount_log(home: Path, project: str) -> Path:
    """Return where the background mount of *project* logs, in a directory for us alone."""
    directory = home / "projects" / project
    for path in (directory.parent, directory):
        path.mkdir(mode=0o700, exist_ok=True)
    return directory / "mount.log"


def keeper_file(home: Path, project: str) -> Path:
    """Return the file that tells who keeps the mount of *project*."""
    return home / "projects" / project / MOUNT_KEEPER_FILE


@contextlib.contextmanager
def _made_if_missing(mountpoint: Path, taken: TakenPlaces) -> Iterator[bool]:
    """Take *mountpoint*, made if only it is missing; take it away again if the block fails."""
    made = True
    try:
        mountpoint.mkdir()
    except FileExistsError:
        made = False
    except FileNotFoundError:
        raise MountPointMissing(
            f"{mountpoint.parent} does not exist: create it first, or check the spelling"
        ) from None
    except OSError as error:
        raise MountPointMissing(f"cannot make {mountpoint}: {error.strerror}") from error
    taken.take_mountpoint(mountpoint)  # outside: what somebody else mounts at stays there
    try:
        yield made
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                mountpoint.rmdir()
        raise


def _refuse_inside(mountpoint: Path, ours: list[Path]) -> None:
    for path in ours:
        if mountpoint.is_relative_to(answer_of(path, Path.resolve)):
            raise CacheInsideMount(
                f"{mountpoint} lies inside {path}, where Lucidnode keeps its own files: "
                "choose another directory"
            )


def _is_at(mountpoint: Path, status: dict[str, Any] | None) -> bool:
    return any(m["mountpoint"] == str(mountpoint) for m in (status["mounts"] if status else ()))


def _list_mounted(
    home: Path,
    kept: PersistentMount,
    status: dict[str, Any] | None,
    passphrase_file: Path | None,
) -> None:
    """List *kept*, whose project is mounted there already. Raises AlreadyMounted if another's is."""
    mine, socket = unlocked(home, passphrase_file)
    found = project_called(asyncio.run(membership.read_roster(socket, mine)), kept.project)
    there = [m for m in (status["mounts"] if status else ()) if m["project"] == found.id]
    if not _is_at(Path(kept.directory), {"mounts": there}):
        _refuse_taken(Path(kept.directory), status)
    click.echo(f"{kept.project} is mounted at {kept.directory} already", err=True)
    _persist(home, kept)


def _persist(home: Path, kept: PersistentMount) -> None:
    persistent_mounts.add(home, kept)
    brought_back = "it comes back at every start"
    if runs(home) is None:
        brought_back += " once the service is there: `lucidnode service install`"
    click.echo(brought_back, err=True)


def _refuse_taken(mountpoint: Path, status: dict[str, Any] | None) -> None:
    for mount in status["mounts"] if status else ():
        if mount["mountpoint"] == str(mountpoint):
            raise AlreadyMounted(
                f"a project is mounted at {mountpoint} already: "
                f"unmount it first with `lucidnode umount {mountpoint}`"
            )


def _refuse_second(home: Path, project: OpenProject, status: dict[str, Any]) -> None:
    for mount in status["mounts"]:
        if mount["project"] == project.id:
            where = mount["mountpoint"]
            if where == str(programs_socket(home, project.id)):
                _have_left(home, project)
                continue
            raise AlreadyMounted(
                f"{project.name} is mounted already, at {where}: use it there, "
                f"or unmount it first with `lucidnode umount {where}`"
            )


def _have_left(home: Path, project: OpenProject) -> None:
    """Have the process end that has *project* open for programs. Raises AlreadyMounted if one is at work."""
    try:
        ask_to_leave(programs_socket(home, project.id))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise AlreadyMounted(
                f"{project.name} is in use without a mount: {error.strerror}; wait for them"
            ) from error
        # It does not answer: its keeper ends it.
    except DoorGone:
        pass  # it ends by itself just now
    end_keeper(keeper_file(home, project.id))


def project_called(view: RosterView, name: str) -> OpenProject:
    """Return the project *name*. Raises NoSuchProject, with the names there are."""
    try:
        return view.project(name)
    except NoSuchProject as error:
        known = [project.name for project in view.projects()]
        raise NoSuchProject(f"{error}: {projects_meant(name, known)}") from error


def projects_meant(name: str, known: Sequence[str]) -> str:
    """Return what to say of the projects *known* to somebody who wrote *name*, which is none of them."""
    # A name with spaces that was written without quotes comes as its first word.
    meant = [one for one in known if one.startswith(f"{name} ")]
    if meant := meant or get_close_matches(name, known, n=1):
        return f"did you mean {shlex.quote(meant[0])}?"
    if known:
        return f"there is {', '.join(map(shlex.quote, known))}"
    return "create one with `lucidnode project create`"
