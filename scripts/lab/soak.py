"""`scripts/soak`: seeds, one after the other, until one breaks or the time is over.

A soak is a module `lab.soak_NAME` with `run_seed(seed) -> Counter[str]`: one run that depends on
nothing but its seed, says what happened in it by name, and raises AssertionError when something
does not hold.
"""

from __future__ import annotations

import importlib
import logging
import secrets
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click

from lab.app import run_command

RunSeed = Callable[[int], Counter[str]]

PROGRESS_S = 100.0
"""How often a soak says on standard error how far it is: one that is killed leaves its figures."""


def soaks() -> list[str]:
    """Return the names of the soaks there are."""
    here = Path(__file__).parent
    return sorted(
        path.stem.removeprefix("soak_")
        for path in here.glob("soak_*.py")
        if "def run_seed(" in path.read_text()
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[NAME|all]...", nargs=-1)
@click.option("--seconds", type=float, help="For how long, each; 60 if nothing is said.")
@click.option("--count", type=click.IntRange(min=1), help="How many seeds of each, instead.")
@click.option("--seed", type=int, help="The first seed; random if not given.")
@click.option("--keep-going", is_flag=True, help="Go on after a seed that broke.")
@click.option("-v", "--verbose", is_flag=True, help="Show the program's log as well.")
def soak(
    names: tuple[str, ...],
    seconds: float | None,
    count: int | None,
    seed: int | None,
    keep_going: bool,
    verbose: bool,
) -> None:
    """Run seeded soaks; a seed that breaks is printed with its trace, and runs the same again.

    \b
    Examples:
      scripts/soak entries --count 1000
      scripts/soak all --seconds 300
      scripts/soak entries --seed 4711 --count 1     # look at one again
    """  # noqa: D301  # click's own mark
    known = soaks()
    wanted = known if not names or "all" in names else list(names)
    for name in wanted:
        if name not in known:
            raise click.UsageError(f"no soak {name!r}: there are {', '.join(known)}")
    logging.basicConfig(level=logging.WARNING if verbose else logging.CRITICAL)
    first = secrets.randbelow(10**9) if seed is None else seed
    until = None if count else (seconds or 60.0)
    broken = [name for name in wanted if not _run(name, first, count, until, keep_going)]
    if broken:
        click.echo(f"soak: broken: {', '.join(broken)}", err=True)
        raise click.exceptions.Exit(1)


def _run(name: str, first: int, count: int | None, seconds: float | None, keep_going: bool) -> bool:
    """Run the soak *name* from seed *first* on; tell whether everything held."""
    run_seed: RunSeed = importlib.import_module(f"lab.soak_{name}").run_seed
    begun = said = time.monotonic()
    happened: Counter[str] = Counter()
    done, broken = 0, list[int]()
    while (count is None or done < count) and (
        seconds is None or time.monotonic() - begun < seconds
    ):
        seed = first + done
        done += 1
        try:
            happened += run_seed(seed)
        except Exception as error:  # noqa: BLE001  # whatever it is, the seed is what counts
            broken.append(seed)
            _show(name, seed, error)
            if not keep_going:
                break
        if time.monotonic() - said >= PROGRESS_S:
            said = time.monotonic()
            figures = ", ".join(f"{number} {what}" for what, number in sorted(happened.items()))
            click.echo(f"{_summary(name, first, done, said - begun, broken)}: {figures}", err=True)
    print(_summary(name, first, done, time.monotonic() - begun, broken))
    for what, number in sorted(happened.items()):
        print(f"  {number:8} {what}")
    sys.stdout.flush()
    return not broken


def _summary(name: str, first: int, done: int, took_s: float, broken: list[int]) -> str:
    listed = f" ({_listed(broken)})" if broken else ""
    return (
        f"{name}: seeds {first} to {first + done - 1} in {took_s:.0f} s, "
        f"{done / max(took_s, 1e-9):.1f} a second, {len(broken)} broken{listed}"
    )


def _show(name: str, seed: int, error: BaseException) -> None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, AssertionError):
        print(f"{name}: BROKEN: {error}")
    else:
        traceback.print_exception(error, file=sys.stdout)
    print(f"{name}: again with: scripts/soak {name} --seed {seed} --count 1", flush=True)


def _listed(seeds: list[int]) -> str:
    shown = ", ".join(map(str, seeds[:10]))
    return shown if len(seeds) <= 10 else f"{shown}, …"


if __name__ == "__main__":
    run_command(soak)
