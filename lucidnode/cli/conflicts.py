"""Commands about conflict copies: two workstations changed one file, and both versions are there."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import NamedTuple

import click

from lucidnode.cli.background import facts
from lucidnode.cli.output import as_json, confirm, counted, show_json, show_line
from lucidnode.cli.project_names import offering_projects_and_paths
from lucidnode.fs.errors import MountPointMissing
from lucidnode.fs.replica.conflict_name import (
    is_conflict_name,
    named,
    parted,
    version_names,
)
from lucidnode.node.config import load_config


@click.group("conflicts", short_help="Look at conflict copies, or settle them.")
def conflicts_command() -> None:
    """Look at the conflict copies of the mounted projects, or settle them.

    Where two workstations changed one file at the same time, both versions are kept: one under a
    name with `(conflict, WORKSTATION, TIME)`. Keep one of them, or dismiss the conflict and keep
    both; that settles it, for all workstations. So does removing or renaming the copy by hand.

    \b
    Examples:
      lucidnode conflicts list
      lucidnode conflicts keep mine ~/demo/notes*conflict*
      lucidnode conflicts dismiss ~/demo/notes*conflict*
    """


@conflicts_command.command("list")
@click.argument(
    "project", required=False, metavar="[PROJECT|DIR]", shell_complete=offering_projects_and_paths
)
@as_json
@click.pass_obj
def conflicts_list(home: Path, project: str | None, wants_json: bool) -> None:
    """List the conflict copies in the mounted projects, or in PROJECT, which may be the directory where it is.

    \b
    Examples:
      lucidnode conflicts list demo
      lucidnode conflicts list ~/demo
    """
    load_config(home)
    found = asyncio.run(facts(home, "conflicts"))["mounts"]
    if project is not None:
        where = str(Path(project).expanduser().absolute())
        found = [
            each for each in found if project == each["project"] or where == each["mountpoint"]
        ]
        if not found:
            raise MountPointMissing(
                f"{project} is not mounted here, or does not answer: "
                "`lucidnode status` shows what is mounted"
            )
    if wants_json:
        show_json({"mounts": found})
        return
    for mount in found:
        for path in mount["conflicts"]:
            show_line(str(Path(mount["mountpoint"]) / path))
    if not any(mount["conflicts"] for mount in found):
        click.echo("no conflicts", err=True)


@conflicts_command.command("keep")
@click.argument("whose", type=click.Choice(["mine", "theirs"]))
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def conflicts_keep(home: Path, whose: str, files: tuple[Path, ...], yes: bool) -> None:
    """Keep one version of FILES under the file's own name, and remove the other.

    Each of FILES is a conflict copy, or the file beside which one lies.
    `mine` is the version that this workstation saved, `theirs` the other one: the copy is that of
    the workstation in its name, and what lies beside it came first.

    \b
    Examples:
      lucidnode conflicts keep mine "demo/notes (conflict, berta, 2026-03-01 10-00-00).txt"
      lucidnode conflicts keep theirs ~/demo/cut.prproj
      lucidnode conflicts keep theirs --yes ~/demo/*conflict*
    """
    files = _copies(files)
    load_config(home)
    names = {
        mount["mountpoint"]: mount["workstation"]
        for mount in asyncio.run(facts(home, "conflicts"))["mounts"]
    }
    choices = [_choice(file, names, keeps_mine=whose == "mine") for file in files]
    for choice in choices:
        show_line(choice.words, err=True)
    confirm("The other versions are removed, on all workstations. Go on?", yes=yes)
    for choice in choices:
        if choice.keeps_copy:
            choice.copy.replace(choice.original)
        else:
            choice.copy.unlink()
    click.echo(f"{counted(len(files), 'conflict')} settled", err=True)


@conflicts_command.command("dismiss")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def conflicts_dismiss(files: tuple[Path, ...]) -> None:
    """Keep conflict copies as what they are: versions of their own, and no conflict any more.

    Each of FILES is a conflict copy, or the file beside which one lies.
    Each gets a name with `(version, WORKSTATION, TIME)`. To settle a conflict otherwise, remove
    the file or give it a name of your own.

    \b
    Example:
      lucidnode conflicts dismiss "demo/notes (conflict, berta, 2026-03-01 10-00-00).txt"
    """
    files = _copies(files)
    for file in files:
        names = version_names(file.name.encode(errors="surrogateescape"))
        free = (file.with_name(name.decode(errors="surrogateescape")) for name in names)
        file.rename(next(path for path in free if not path.exists()))
    click.echo(f"{counted(len(files), 'conflict')} settled", err=True)


class _Choice(NamedTuple):
    """Which version of one file stays."""

    copy: Path
    original: Path
    keeps_copy: bool
    words: str


def _choice(copy: Path, workstations: dict[str, str], *, keeps_mine: bool) -> _Choice:
    """Return what keeping mine, or theirs, does about *copy*. Raises MountPointMissing, BadParameter."""
    real = copy.resolve()
    here = next((workstations[str(at)] for at in real.parents if str(at) in workstations), None)
    if here is None:
        raise MountPointMissing(
            f"{copy} is in no mounted project that answers: `lucidnode status` shows what is mounted"
        )
    name, whose = parted(_raw(copy))
    original = copy.with_name(name.decode(errors="surrogateescape"))
    is_mine = whose == named(here)
    keeps_copy = is_mine is keeps_mine
    if not original.exists() and not keeps_copy:
        raise click.BadParameter(
            f"beside {copy} there is no other version to keep", param_hint="FILES"
        )
    kept = f"the version of {whose}" if keeps_copy else "the version that came first"
    return _Choice(copy, original, keeps_copy, f"{original}: {kept} stays")


def _copies(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the conflict copies that are meant by *files*, each once. Raises BadParameter."""
    return tuple(dict.fromkeys(map(_copy_of, files)))


def _copy_of(file: Path) -> Path:
    """Return *file* if it is a conflict copy, or the only one that lies beside it. Raises BadParameter."""
    if is_conflict_name(_raw(file)):
        return file
    beside = [each for each in file.parent.iterdir() if is_conflict_name(_raw(each))]
    copies = sorted(each for each in beside if parted(_raw(each))[0] == _raw(file))
    if len(copies) == 1:
        return copies[0]
    if copies:
        names = ", ".join(shlex.quote(str(each)) for each in copies)
        raise click.BadParameter(f"{file} has several conflict copies: {names}", param_hint="FILES")
    raise click.BadParameter(
        f"{file} is no conflict copy and has none: `lucidnode conflicts list` shows those there are",
        param_hint="FILES",
    )


def _raw(path: Path) -> bytes:
    return path.name.encode(errors="surrogateescape")
