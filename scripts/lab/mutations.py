"""Faults put into the code on purpose, each of which a test has to notice.

Each table of a file in `tests/mutations` is one mutation: `why` says in words for people what is
broken, `file` is where, `old` is a text that is there exactly once, `new` takes its place, and
`tests` are pytest's arguments for the tests that shall fail then.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec


class Mutation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault. See the module."""

    why: str
    file: str
    old: str
    new: str
    tests: list[str]


class Unfit(Exception):
    """The text of a mutation is not where it was, or not only there: the list has to follow."""


def mutations(folder: Path) -> dict[str, Mutation]:
    """Return all mutations in *folder* by name. Raises Unfit if a name is there twice."""
    found: dict[str, Mutation] = {}
    for path in sorted(folder.glob("*.toml")):
        for name, table in tomllib.loads(path.read_text()).items():
            if name in found:
                raise Unfit(f"two mutations are called {name}")
            found[name] = msgspec.convert(table, Mutation)
    return found


def mutated(mutation: Mutation, root: Path) -> str:
    """Return the text of the file under *root* with the fault in it. Raises Unfit."""
    text = (root / mutation.file).read_text()
    times = text.count(mutation.old)
    if times != 1:
        raise Unfit(f"its old text is {times} times in {mutation.file}: {mutation.old!r}")
    return text.replace(mutation.old, mutation.new)
