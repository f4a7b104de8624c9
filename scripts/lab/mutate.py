"""`scripts/mutate`: puts each fault of `tests/mutations` into a copy, and has its tests notice it."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from lab.mutations import Mutation, Unfit, mutated, mutations

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "mutations.md"

_LIMIT_S = 120.0
"""Seconds for the tests of one mutation. To hang is to be noticed: the suite has a limit as well."""

_COPIED = ("lucidnode", "node", "fs", "discovery", "tests", "scripts", "docs", "pyproject.toml")
_FAILED, _PASSED = 1, 0  # pytest's exit codes

_HEAD = """\
# Mutations

Tests that never fail prove nothing. `scripts/mutate` puts the faults below into a copy of the code, one at a time, and runs
the tests that shall notice: each fault has to make one fail. `scripts/mutate NAME...` tries some of them and renews their rows. The list is
`tests/mutations/*.toml`; a fault whose text is no longer in the code fails loudly, there and in the test suite.

The tests of durability look through a *recording disk* (`tests/recording_disk.py`): a file system in memory, mounted over
FUSE, that writes down every step of the process under test, SQLite's own files as well. So nothing reaches a disk
beside it, and production code has no seam for it. From the record it lays down what POSIX allows a power cut to leave:
what no fsync has reached is there or not, each write and each name by itself, of a write any of its sectors; a name lasts
after the fsync of its directory, not of its file; a failed fsync says so once, and its bytes never come. A real replica,
staging, cache or mount is then opened on that.
"""


_COLUMNS = "| name | what is broken | which test notices | seconds |\n|---|---|---|---|\n"
_NOBODY = "**none**"


@dataclass(frozen=True)
class _Verdict:
    name: str
    why: str
    noticed_by: str
    """The test that failed first; empty if none did."""
    seconds: float


class _Copy:
    """The tree in a directory of its own, in which files are changed and put back."""

    def __init__(self, at: Path) -> None:
        self.root = at
        for name in _COPIED:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, at / name, symlinks=True, ignore=ignored)
            else:
                shutil.copy(ROOT / name, at / name)
        self._stamps = count(int(time.time()) - 10**8)  # noqa: TID251  # a file's time

    def write(self, file: str, text: str) -> None:
        """Write *text*; no compiled form of an earlier one is taken for it."""
        (self.root / file).write_text(text)
        stamp = next(self._stamps)
        os.utime(self.root / file, (stamp, stamp))

    def run(self, tests: Iterable[str], limit_s: float) -> tuple[int, str]:
        """Run *tests* until the first fails; return pytest's exit code and what it wrote.

        The code for "a test failed" if they took longer than the limit.
        """
        paths = [self.root, self.root / "scripts", self.root / "tests"]
        command = [
            *(sys.executable, "-P", "-m", "pytest", "-x", "-q", "-rfE", "--tb=no"),
            *("-p", "no:cacheprovider", "--basetemp", str(self.root / "tmp"), *tests),
        ]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        try:
            done = subprocess.run(
                command,
                cwd=self.root,
                env=environment,
                capture_output=True,
                text=True,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _FAILED, "FAILED (no end within the limit)"
        return done.returncode, done.stdout + done.stderr


def _tried(copy: _Copy, name: str, mutation: Mutation) -> _Verdict:
    began = time.monotonic()
    original = (copy.root / mutation.file).read_text()
    copy.write(mutation.file, mutated(mutation, copy.root))
    try:
        code, said = copy.run(mutation.tests, _LIMIT_S)
    finally:
        copy.write(mutation.file, original)
    if code not in {_FAILED, _PASSED}:
        raise Unfit(f"{name}: pytest ended with {code}:\n{said[-2000:]}")
    noticed_by = _first_failure(said) if code == _FAILED else ""
    return _Verdict(name, mutation.why, noticed_by, time.monotonic() - began)


def _first_failure(said: str) -> str:
    found = re.search(r"^(?:FAILED|ERROR) (?:\S*/)?(\S+?\.py::[^\s\[]+)", said, re.MULTILINE)
    return found[1] if found else "the limit of time"


def _row(verdict: _Verdict) -> str:
    noticed_by = f"`{verdict.noticed_by}`" if verdict.noticed_by else _NOBODY
    return f"| {verdict.name} | {verdict.why} | {noticed_by} | {verdict.seconds:.0f} |"


def _page(names: Iterable[str], verdicts: Iterable[_Verdict]) -> str:
    """Return the table with a row for each of *names*: of this run, else of the page as it is."""
    page = TABLE.read_text() if TABLE.exists() else ""
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| ")}
    rows |= {each.name: _row(each) for each in verdicts}
    shown = [rows[name] for name in names if name in rows]
    survivors = sum(_NOBODY in row for row in shown)
    return (
        f"{_HEAD}\n{len(shown)} faults, {survivors} unnoticed.\n\n{_COLUMNS}"
        + "\n".join(shown)
        + "\n"
    )


def main() -> int:
    """Try the mutations asked for; return 1 if one survives."""
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all of them if none")
    asked: list[str] = parser.parse_args().names
    everything = mutations(ROOT / "tests" / "mutations")
    if unknown := set(asked) - everything.keys():
        parser.error(f"no mutation is called {', '.join(sorted(unknown))}")
    chosen = {name: everything[name] for name in asked or everything}
    with tempfile.TemporaryDirectory(prefix="mutate-", ignore_cleanup_errors=True) as at:
        copy = _Copy(Path(at))
        for mutation in chosen.values():
            mutated(mutation, copy.root)
        tests = sorted({test for each in chosen.values() for test in each.tests})
        code, said = copy.run(tests, _LIMIT_S * len(tests))
        if code != _PASSED:
            print(f"the tests fail without any fault:\n{said}")
            return 1
        verdicts = []
        for name, mutation in chosen.items():
            verdicts.append(_tried(copy, name, mutation))
            print(f"{name}: {verdicts[-1].noticed_by or 'SURVIVED'} ({verdicts[-1].seconds:.0f} s)")
            sys.stdout.flush()
    survivors = [each.name for each in verdicts if not each.noticed_by]
    TABLE.write_text(_page(everything, verdicts))
    print(f"{len(verdicts)} faults, {len(survivors)} unnoticed: {', '.join(survivors) or '-'}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
