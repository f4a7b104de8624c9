"""`scripts/mutate`: puts each fault of `tests/mutations` into a copy, and has its tests notice it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

import msgspec

from lab.mutation_copy import LIMIT_S, MutationCopy
from lab.mutation_table import Verdict, write_table
from lab.mutations import Mutation, Unfit, mutated, mutations

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "mutations.md"

_VERDICTS = ROOT / "build" / "mutate"
"""Verdicts of a run over all mutations that was broken off, in a file named after the tree."""

_COPIES = 2


def main() -> int:
    """Try the mutations asked for; return 1 if one survives, or proves nothing."""
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all of them if none")
    asked: list[str] = parser.parse_args().names
    everything = mutations(ROOT / "tests" / "mutations")
    if unknown := set(asked) - everything.keys():
        parser.error(f"no mutation is called {', '.join(sorted(unknown))}")
    chosen = {name: everything[name] for name in asked or everything}
    with tempfile.TemporaryDirectory(prefix="mutate-", ignore_cleanup_errors=True) as at:
        copies = [MutationCopy(ROOT, Path(at) / str(number)) for number in range(_COPIES)]
        for mutation in chosen.values():
            mutated(mutation, copies[0].root)
        memory = _VERDICTS / f"{copies[0].digest()}.jsonl"
        verdicts = [] if asked else _remembered(memory)
        known = {each.name for each in verdicts}
        rest = {name: each for name, each in chosen.items() if name not in known}
        if not _passes_as_it_is(copies[0], rest):
            return 1
        unfit = 0
        for outcome in _outcomes(copies, rest):
            if isinstance(outcome, Unfit):
                unfit += 1
                _say(str(outcome))
                continue
            verdicts.append(outcome)
            _say(f"{outcome.name}: {outcome.noticed_by or 'SURVIVED'} ({outcome.seconds:.0f} s)")
            if not asked:
                _remember(memory, outcome)
    survivors = [each.name for each in verdicts if not each.noticed_by]
    write_table(TABLE, everything, verdicts)
    if not unfit:
        memory.unlink(missing_ok=True)
    _say(f"{len(verdicts)} faults, {len(survivors)} unnoticed: {', '.join(survivors) or '-'}")
    return 1 if survivors or unfit else 0


def _passes_as_it_is(copy: MutationCopy, chosen: Mapping[str, Mutation]) -> bool:
    tests = sorted({test for each in chosen.values() for test in each.tests})
    if not tests:
        return True
    ran = copy.run(tests, LIMIT_S * len(tests))
    if ran.first_failure:
        _say(f"the tests fail without any fault:\n{ran.said}")
    return not ran.first_failure


def _outcomes(
    copies: list[MutationCopy], chosen: Mapping[str, Mutation]
) -> Iterator[Verdict | Unfit]:
    """Try *chosen* in *copies*, one at a time in each; give what came of each as it comes."""
    free: SimpleQueue[MutationCopy] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def tried(name: str, mutation: Mutation) -> Verdict | Unfit:
        copy = free.get()
        try:
            return copy.tried(name, mutation)
        except Unfit as unfit:
            return unfit
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as threads:
        running = [threads.submit(tried, name, each) for name, each in chosen.items()]
        for done in as_completed(running):
            yield done.result()


def _remembered(memory: Path) -> list[Verdict]:
    if not memory.exists():
        return []
    return [msgspec.json.decode(line, type=Verdict) for line in memory.read_bytes().splitlines()]


def _remember(memory: Path, verdict: Verdict) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    with memory.open("ab") as file:
        file.write(msgspec.json.encode(verdict) + b"\n")


def _say(what: str) -> None:
    print(what)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
