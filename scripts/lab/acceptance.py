"""`scripts/acceptance`: real programs on real mounts, one trial after the other.

A trial is a module `lab.acceptance_NAME` with the Debian packages it needs in `PACKAGES` and

    run_trial(nodes: TwoNodes, extent: float) -> str

which drives a program, checks what has come of it through an empty cache, and returns what it did in
one line; or `run_alone(extent: float) -> str` if it brings workstations of its own. It raises LabError or AssertionError when something does not hold. *extent* is how much
is wanted of what can be repeated: 1 is all of it.
"""

from __future__ import annotations

import importlib
import os
import re
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab.app import run_command
from lab.errors import LabError
from lab.packages import install
from lab.two_nodes import TwoNodes, two_nodes


class _Trial(Protocol):
    PACKAGES: tuple[str, ...]

    def run_trial(self, nodes: TwoNodes, extent: float) -> str: ...


class _TrialAlone(Protocol):
    PACKAGES: tuple[str, ...]

    def run_alone(self, extent: float) -> str: ...


@dataclass(frozen=True)
class _Verdict:
    name: str
    held: bool
    seconds: float
    said: str


def trials() -> list[str]:
    """Return the names of the trials there are."""
    here = Path(__file__).parent
    return sorted(
        path.stem.removeprefix("acceptance_")
        for path in here.glob("acceptance_*.py")
        if re.search(r"^def run_(trial|alone)\(", path.read_text(), re.MULTILINE)
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[list|NAME]...", nargs=-1)
@click.option(
    "--extent",
    type=click.FloatRange(0.01, 100),
    default=1.0,
    show_default=True,
    help="How much of what is repeated (rounds, examples): 0.1 for a first look.",
)
def acceptance(names: tuple[str, ...], extent: float) -> None:
    """Run real programs on real mounts; without a name, all of them. Needs root.

    \b
    Examples:
      scripts/acceptance list
      scripts/acceptance git sqlite
      scripts/acceptance crashes --extent 0.1
    """  # noqa: D301  # click's own mark
    known = trials()
    if names == ("list",):
        print("\n".join(known))
        return
    for name in names:
        if name not in known:
            raise click.UsageError(f"no trial {name!r}: there are {', '.join(known)}")
    console = Console(highlight=False, soft_wrap=True)
    verdicts = [_try(name, extent, console) for name in names or known]
    _print_table(verdicts, console)
    if not all(each.held for each in verdicts):
        raise click.exceptions.Exit(1)


def _try(name: str, extent: float, console: Console) -> _Verdict:
    """Run one trial, on nodes of its own: what one breaks is not taken for another's."""
    trial = cast("_Trial | _TrialAlone", importlib.import_module(f"lab.acceptance_{name}"))
    console.print(f"{name} …")
    begun = time.monotonic()
    try:
        install(trial.PACKAGES)
        begun = time.monotonic()
        said, held = _run(trial, extent), True
    except (LabError, AssertionError) as error:
        said, held = str(error) or "an assertion", False
        console.print(escape("".join(traceback.format_exception(error))), style="dim")
    except Exception as error:  # noqa: BLE001  # the others are still to be tried
        said, held = f"{type(error).__name__}: {error}", False
        console.print(escape("".join(traceback.format_exception(error))), style="dim")
    verdict = _Verdict(name, held, time.monotonic() - begun, said.strip())
    console.print(escape(f"{name}: {'held' if held else 'FAILED'}: {verdict.said}"))
    return verdict


def _run(trial: _Trial | _TrialAlone, extent: float) -> str:
    if not hasattr(trial, "run_trial"):
        return trial.run_alone(extent)
    with two_nodes(f"acc{os.getpid()}") as nodes:
        return trial.run_trial(nodes, extent)


def _print_table(verdicts: list[_Verdict], console: Console) -> None:
    table = Table("trial", "", box=None, pad_edge=False, header_style="bold")
    table.add_column("seconds", justify="right")
    table.add_column("what was done", overflow="fold")
    for each in verdicts:
        said = each.said.splitlines()[0] if each.said else ""
        row = ("held" if each.held else "FAILED", f"{each.seconds:.0f}", escape(said))
        table.add_row(each.name, *row)
    console.print()
    console.print(table)


if __name__ == "__main__":
    run_command(acceptance)
