"""The page of `docs/mutations.md`: which fault was noticed by which test."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

_HEAD = """\
# Mutations

Tests that never fail prove nothing. `scripts/mutate` puts the faults below into copies of the code, one at a time in each of
two, and runs the tests that shall notice: each fault has to make one fail. A hang counts only if the same tests come to their end
without the fault. A run that was broken off goes on where it was while code and tests are the same; `scripts/mutate NAME...` tries
some faults and renews their rows. The list is `tests/mutations/*.toml`; a fault whose text is no longer in the code fails loudly,
there and in the test suite.

The tests of durability look through a *recording disk* (`tests/recording_disk.py`): a file system in memory, mounted over
FUSE, that writes down every step of the process under test, SQLite's own files as well. So nothing reaches a disk
beside it, and production code has no seam for it. From the record it lays down what POSIX allows a power cut to leave:
what no fsync has reached is there or not, each write and each name by itself, of a write any of its sectors; a name lasts
after the fsync of its directory, not of its file; a failed fsync says so once, and its bytes never come. A real replica,
staging, cache or mount is then opened on that.
"""


_COLUMNS = "| name | what is broken | which test notices | seconds |\n|---|---|---|---|\n"
_NOBODY = "**none**"


class Verdict(msgspec.Struct, frozen=True):
    """What became of one fault."""

    name: str
    why: str
    noticed_by: str
    """The test that failed first; empty if none did."""
    seconds: float


def write_table(table: Path, names: Iterable[str], verdicts: Iterable[Verdict]) -> None:
    """Write a row for each of *names* into *table*: of this run, else as it is there."""
    page = table.read_text() if table.exists() else ""
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| ")}
    rows |= {each.name: _row(each) for each in verdicts}
    shown = [rows[name] for name in names if name in rows]
    survivors = sum(_NOBODY in row for row in shown)
    count = f"{len(shown)} faults, {survivors} unnoticed."
    table.write_text("\n".join([_HEAD, count, "", _COLUMNS + "\n".join(shown), ""]))


def _row(verdict: Verdict) -> str:
    noticed_by = f"`{verdict.noticed_by}`" if verdict.noticed_by else _NOBODY
    return f"| {verdict.name} | {verdict.why} | {noticed_by} | {verdict.seconds:.0f} |"
