"""`scripts/sanitize`: what the suite does for seconds with the channel's C, for long.

LLVM's libFuzzer looks for bytes that the parser and the table do not bear; the module is driven with
seed after seed; and real mounts run the tests of the channel with a module that was built so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path

import click

from lab.app import run_command
from lab.mutation_copy import MutationCopy
from lab.packages import install
from lab.places import REPOSITORY
from lab.sanitized import SANITIZERS, TESTS, build_libfuzzer, build_module, sanitizing

_CLANG = ("clang", "libclang-rt-14-dev")
"""Debian's compiler with libFuzzer, and the libraries of its sanitizers."""

_STEPS = 2_000
_MOUNT_TESTS = ("tests/integration/test_channel.py",)
_TEST_S = 600
"""Seconds for a test, ten times slower as it is."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[fuzz|module|mounts]...", nargs=-1)
@click.option("--seconds", type=float, default=60.0, show_default=True, help="For how long, each.")
def sanitize(names: tuple[str, ...], seconds: float) -> None:
    """Run the channel's C under the sanitizers; the first fault ends it, and says how to see it again.

    \b
    fuzz     any bytes into the parser and the table (installs Debian's clang)
    module   any arguments into the module, threads and the end
    mounts   the tests of the channel on real mounts, once
    """  # noqa: D301  # click's own mark
    parts: dict[str, Callable[[Path, float], None]] = {
        "fuzz": _fuzz,
        "module": _module,
        "mounts": _mounts,
    }
    for name in names or parts:
        if name not in parts:
            raise click.UsageError(f"no part {name!r}: there are {', '.join(parts)}")
    with tempfile.TemporaryDirectory(prefix="sanitize-", ignore_cleanup_errors=True) as at:
        for name in names or parts:
            (room := Path(at) / name).mkdir()
            parts[name](room, seconds)
            click.echo(f"{name}: held")


def _fuzz(room: Path, seconds: float) -> None:
    install(_CLANG)
    (found := REPOSITORY / "build" / "fuzz").mkdir(parents=True, exist_ok=True)
    # What it has reached is kept: the next run goes on from there.
    fuzzer = build_libfuzzer(room / "fuzzer")
    _hold([fuzzer, f"-max_total_time={seconds:.0f}", f"-artifact_prefix={found}/bad-", found])


def _module(room: Path, seconds: float) -> None:
    modules = {name: build_module(name, room / f"{name}.so") for name in SANITIZERS}
    until = time.monotonic() + seconds
    for seed in count(1):
        for name, module in modules.items():
            driver: list[str | Path] = [
                sys.executable,
                TESTS / "drive_module.py",
                module,
                str(seed),
                str(_STEPS),
            ]
            _hold(driver, sanitizing(name))
        if time.monotonic() > until:
            click.echo(f"module: seeds 1 to {seed}, {_STEPS} steps each")
            return


def _mounts(room: Path, _: float) -> None:
    tree = MutationCopy(REPOSITORY, room / "tree").root
    module = tree / "fs" / "channel" / "_channel.abi3.so"
    paths = [tree, tree / "scripts", tree / "tests"]
    for name in SANITIZERS:
        module.unlink(missing_ok=True)  # it may be running
        build_module(name, module)
        _hold(
            [
                sys.executable,
                "-P",
                "-m",
                "pytest",
                "-q",
                f"--timeout={_TEST_S}",
                "-p",
                "no:cacheprovider",
                "--basetemp",
                str(room / "tmp"),
                *_MOUNT_TESTS,
            ],
            sanitizing(name) | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
            tree,
        )


def _hold(
    command: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Run *command* to its end; if that is a bad one, end with how to run it again."""
    ended = subprocess.run(command, check=False, env={**os.environ, **(env or {})}, cwd=cwd)
    if ended.returncode != 0:
        said = " ".join([*(f"{key}={value}" for key, value in (env or {}).items())])
        click.echo(f"sanitize: BROKEN: {said} {' '.join(map(str, command))}", err=True)
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    run_command(sanitize)
