"""The commands that bring something back from the past."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from lucidnode.cli.cloud_progress import cloud_progress
from lucidnode.cli.looking_back import LookedBack, all_option, looked_back, since_option
from lucidnode.cli.mounted_project import offering_paths
from lucidnode.cli.output import as_json, confirm, counted, show_json, show_line, show_table, size
from lucidnode.cli.past_input import (
    GivenPath,
    OpenPast,
    given_path,
    hinting,
    not_there,
    opened_past,
    when,
    who,
)
from lucidnode.cli.progress import bytes_left
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.errors import InTheWay, NoSuchPast, NotAllowed
from lucidnode.fs.history import past_places
from lucidnode.fs.history.deletions import Deletion, deleted_in, deletion_at
from lucidnode.fs.history.past_places import path_to, place_of, shown
from lucidnode.fs.history.restoration import Restoration, Survey, attributes_at, survey
from lucidnode.fs.history.restored_work import commit
from lucidnode.fs.replica.inode import Attributes, InodeNo
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.in_the_cloud import waited_for
from lucidnode.node.client.clock import Clock, SystemClock
from lucidnode.node.client.ids import Seq

_SHOWN = 20
"""Paths that are listed; more are only counted."""

_LOOK_INTERVAL_S, _LOOKS = 0.2, 25
"""Seconds between two looks whether the mount here shows what is back, and how many there are."""

to_option = click.option(
    "--to",
    shell_complete=offering_paths,
    help="Bring it back as this path, or into it if it is a directory, instead.",
)
yes_option = click.option("--yes", is_flag=True, help="Replace what is there without asking.")


@click.command("restore", short_help="Bring back an earlier version of a file or a tree.")
@click.argument("path", shell_complete=offering_paths)
@click.option(
    "--at",
    "text",
    required=True,
    help="Which state: the number of a version, a date and time, or how long ago (15m, 2h, 3d, 1w).",
)
@to_option
@yes_option
@passphrase_file
@as_json
@click.pass_obj
def restore_command(
    home: Path,
    path: str,
    text: str,
    to: str | None,
    yes: bool,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Bring PATH, a file or a directory with all in it, back as it was at a point in time.

    PATH lies in a mounted project, or is PROJECT:PATH; it may be gone. No data moves, whatever the
    size. A tree is laid over what is there: what came later stays, and what has another content
    now gets the old one, after a question; its content of now stays in the history. It is visible
    everywhere when the command ends.

    \b
    Examples:
      lucidnode restore ~/demo/film/cut.mov --at 1204
      lucidnode restore ~/demo/film --at '2026-03-01 14:30' --to ~/demo/film-monday
    """
    given, target = _given(home, path, to)

    async def work() -> None:
        async with opened_past(home, passphrase_file, given.project) as opened:
            seq = await opened.point(text)
            ino = await _ino_at(opened, given.path, seq)
            place = _place(opened, given.path, target)
            async with opened.at_hand.state(seq) as source:
                found = source.attributes(ino)
                assert found is not None
                await _bring_back(opened, source, found, place, yes=yes, wants_json=wants_json)

    with hinting(given):
        asyncio.run(work())


@click.command("undelete", short_help="List what was deleted in a directory, or bring it back.")
@click.argument("path", shell_complete=offering_paths)
@to_option
@since_option
@all_option
@passphrase_file
@as_json
@click.pass_obj
def undelete_command(
    home: Path,
    path: str,
    to: str | None,
    since: str | None,
    wants_all: bool,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """List what was deleted in the directory PATH; or bring PATH back, if it was deleted.

    PATH lies in a mounted project, or is PROJECT:PATH. A directory comes back with all that was
    deleted together with it. No data moves, whatever the size. It replaces nothing. The list goes
    back to the last checkpoint of the project, a thousand changes of it or so, and says how far that
    is; --since and --all read further back. What is to come back is looked for however far that is.

    \b
    Examples:
      lucidnode undelete ~/demo/film --since 7d
      lucidnode undelete ~/demo/film/cut.mov
    """
    given, target = _given(home, path, to)

    async def work() -> None:
        async with opened_past(home, passphrase_file, given.project) as opened:
            there = attributes_at(opened.past.now, given.path)
            if there is not None and there.is_directory and to is None:
                looked = await looked_back(opened, since, wants_all=wants_all)
                gone = await opened.at_hand.answered(lambda past: deleted_in(past, there.ino))
                _list(opened, gone, looked, wants_json=wants_json)
                return
            if not given.path:
                raise NoSuchPast("the project itself cannot be deleted")
            deletion = await opened.at_hand.answered(
                lambda past: deletion_at(past, place_of(past, given.path))
            )
            place = _place(opened, given.path, target)
            if attributes_at(opened.past.now, place) is not None:
                raise InTheWay(f"{shown(place)} is there again: name another place with --to")
            async with opened.at_hand.state(deletion.before) as source:
                found = source.attributes(deletion.ino)
                if found is None:
                    raise NoSuchPast(f"{shown(given.path)} came and went in one moment")
                await _bring_back(opened, source, found, place, yes=True, wants_json=wants_json)

    with hinting(given):
        asyncio.run(work())


@click.command("clone", short_help="Copy a file or a tree without copying a byte.")
@click.argument("source", shell_complete=offering_paths)
@click.argument("target", shell_complete=offering_paths)
@click.option(
    "--at",
    "text",
    help="Copy it as it was: a version, a snapshot, a date and time, or how long ago.",
)
@passphrase_file
@as_json
@click.pass_obj
def clone_command(
    home: Path,
    source: str,
    target: str,
    text: str | None,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Make TARGET a copy of SOURCE, a file or a directory with all in it, or put one into TARGET.

    Both lie in one project, as paths in a mounted one or as PROJECT:PATH. The copy shares the blocks
    of the original until one of them is written to: it takes no time and no room, whatever the size.
    What is committed is copied; where SOURCE is mounted here, what was saved is waited for. It replaces nothing.

    \b
    Examples:
      lucidnode clone ~/demo/film ~/demo/film-with-other-music
      lucidnode clone demo:film demo:archive --at 'locked cut'
    """
    given, place_given = _given(home, source, target)
    here = Path(source).expanduser()
    if text is None and here.exists() and ":" not in source:
        with cloud_progress(home) as looked:
            waited_for([here], None, looked)

    async def work() -> None:
        async with opened_past(home, passphrase_file, given.project) as opened:
            seq = opened.past.head().seq if text is None else await opened.point(text)
            place = _place(opened, given.path, place_given)
            if attributes_at(opened.past.now, place) is not None:
                raise InTheWay(f"{shown(place)} is there already: name another place")
            async with opened.at_hand.state(seq) as tree:
                found = attributes_at(tree, given.path)
                if found is None:
                    raise await not_there(opened, given.path, seq)
                if text is None and place[: len(given.path)] == given.path:
                    raise InTheWay(f"{shown(place)} lies in {shown(given.path) or 'all of it'}")
                await _bring_back(
                    opened, tree, found, place, yes=True, wants_json=wants_json, is_copy=True
                )

    with hinting(given):
        asyncio.run(work())


def _given(home: Path, path: str, to: str | None) -> tuple[GivenPath, GivenPath | None]:
    given = given_path(home, path)
    if to is None:
        return given, None
    target = given_path(home, to)
    if target.project != given.project:
        raise click.UsageError(
            f"{to} lies in another project: what is shared with it cannot leave its own"
        )
    return given, target


def _place(opened: OpenPast, path: past_places.Path, target: GivenPath | None) -> past_places.Path:
    """Return where to bring back what was at *path*. Raises InTheWay for the root."""
    place = path if target is None else target.path
    if target is not None:
        there = attributes_at(opened.past.now, place)
        if there is not None and there.is_directory and path:
            place = (*place, path[-1])
    if not place:
        raise InTheWay("all of a project comes back into a directory: name a new one with --to")
    return place


async def _ino_at(opened: OpenPast, path: past_places.Path, seq: Seq) -> InodeNo:
    """Return what *path* was in version *seq*; or what it is, or last was, if that was there under another name.

    Raises NoSuchPast.
    """
    at_hand = opened.at_hand
    async with at_hand.state(seq) as source:
        if (found := attributes_at(source, path)) is not None:
            return found.ino
    await at_hand.reach(seq)
    ino = past_places.latest(at_hand.past, place_of(at_hand.past, path))
    async with at_hand.state(seq) as source:
        if ino is None or source.attributes(ino) is None:
            raise await not_there(opened, path, seq)
    return ino


async def _bring_back(
    opened: OpenPast,
    source: TreeReader,
    found: Attributes,
    place: past_places.Path,
    *,
    yes: bool,
    wants_json: bool,
    is_copy: bool = False,
) -> None:
    if not opened.access.may_write:
        raise NotAllowed("a viewer changes nothing: ask an editor")
    clock = SystemClock()
    with opened.past.writable_copy(opened.access.device) as replica:
        told = survey(source, found, replica.tree, place)
        if told.replaced:
            _show_replaced(told)
            confirm(f"Replace the content of {counted(told.replaced, 'file')}?", yes=yes)
        steps = Restoration(source, replica, clock.wall_ns()).steps(found, place)
        left = told.size
        with bytes_left(f"bringing back {shown(place)}") as show:

            def progress(done: int) -> None:
                nonlocal left
                left -= done
                show(left)

            conflicts = await commit(
                replica, steps, opened.client.journal, opened.access, clock, progress
            )
        head = replica.pending.head().seq
    await seen_here(opened, head, clock)
    _tell(told, shown(place), head, conflicts, wants_json=wants_json, is_copy=is_copy)


async def seen_here(opened: OpenPast, head: Seq, clock: Clock) -> None:
    """Wait until the mount of the project here, if there is one, shows entry *head*."""
    project = opened.access.keys().project
    await opened.client.mounts.look(project, head)
    for _ in range(_LOOKS):
        mounts = (await opened.client.facts.on("status"))["mounts"]
        if all(each["head"] >= head for each in mounts if each["project"] == project):
            return
        await clock.sleep(_LOOK_INTERVAL_S)


def _show_replaced(told: Survey) -> None:
    for path in told.paths[:_SHOWN]:
        show_line(f"  has another content now: {path}", err=True)
    if told.replaced > _SHOWN:
        click.echo(f"  and {told.replaced - _SHOWN} more", err=True)


def _tell(
    told: Survey,
    path: str,
    head: Seq,
    conflicts: Sequence[str],
    *,
    wants_json: bool,
    is_copy: bool,
) -> None:
    if wants_json:
        show_json(
            {
                "path": path,
                "files": told.files,
                "bytes": told.size,
                "replaced": told.replaced,
                "unchanged": told.unchanged,
                "conflicts": list(conflicts),
                "version": head,
            }
        )
        return
    what = "is a copy" if is_copy else "is back"
    parts = [f"{path} {what}: {counted(told.files, 'file')}, {size(told.size)}"]
    if told.replaced:
        parts.append(f"{told.replaced} replaced (version {head} and before have their content)")
    if told.unchanged:
        parts.append(f"{told.unchanged} as they were already")
    show_line("; ".join(parts), err=True)
    for each in conflicts:
        show_line(f"  somebody was quicker, so it is at: {each}", err=True)


def _list(
    opened: OpenPast, deletions: Sequence[Deletion], looked: LookedBack, *, wants_json: bool
) -> None:
    newest = sorted(deletions, key=lambda deletion: deletion.facts.seq, reverse=True)
    access, past = opened.access, opened.past
    if wants_json:
        show_json(
            {
                "since": looked.seq,
                "deleted": [
                    {
                        "path": path_to(past, each.place),
                        "version": each.facts.seq,
                        "time": each.facts.wall_ns / 1e9,
                        "device": each.facts.device,
                        "who": who(access, each.facts.device),
                        "directory": each.is_directory,
                        "size": each.size,
                    }
                    for each in newest
                ],
            }
        )
        return
    if not newest:
        click.echo("nothing was deleted here", err=True)
        looked.tell()
        return
    show_table(
        ["version", "when", "who", "size", "path"],
        [
            [
                each.facts.seq,
                when(each.facts.wall_ns),
                who(access, each.facts.device),
                "directory" if each.is_directory else size(each.size or 0),
                path_to(past, each.place),
            ]
            for each in newest
        ],
    )
    looked.tell()
