"""A copy of the tree in which files are changed, tests run, and the files put back."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from lab.mutation_table import Verdict
from lab.mutations import Mutation, Unfit, mutated

LIMIT_S = 120.0
"""Seconds for the tests of one mutation."""

_COPIED = ("lucidnode", "node", "fs", "discovery", "tests", "scripts", "pyproject.toml")
_BESIDE = ("docs",)  # tests read it, but what it says changes no verdict
_FAILED, _PASSED = 1, 0  # pytest's exit codes
_BY_TIME = "the limit of time"


@dataclass(frozen=True)
class Ran:
    """How tests ended. *first_failure* is empty if they passed."""

    first_failure: str
    said: str
    hung: bool


class MutationCopy:
    """The tree of *source* in the directory *at*."""

    def __init__(self, source: Path, at: Path) -> None:
        self.root = at
        for name in (*_COPIED, *_BESIDE):
            if (source / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source / name, at / name, symlinks=True, ignore=ignored)
            else:
                at.mkdir(parents=True, exist_ok=True)
                shutil.copy(source / name, at / name)
        self._stamps = count(int(time.time()) - 10**8)  # noqa: TID251  # a file's time

    def digest(self) -> str:
        """Return what is the same for the same code and tests."""
        digest = hashlib.sha256()
        for name in _COPIED:
            top = self.root / name
            for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
                if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts:
                    digest.update(f"{path.relative_to(self.root)}\n".encode())
                    digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def tried(self, name: str, mutation: Mutation) -> Verdict:
        """Put *mutation* in, run its tests, take it out. Raises Unfit if that proves nothing."""
        began = time.monotonic()
        original = (self.root / mutation.file).read_text()
        self._write(mutation.file, mutated(mutation, self.root))
        try:
            ran = self.run(mutation.tests, LIMIT_S)
        finally:
            self._write(mutation.file, original)
        seconds = time.monotonic() - began
        if ran.hung and self.run(mutation.tests, LIMIT_S).first_failure:
            raise Unfit(f"{name}: its tests do not pass in time without the fault either")
        return Verdict(name, mutation.why, ran.first_failure, seconds)

    def run(self, tests: Iterable[str], limit_s: float) -> Ran:
        """Run *tests* until the first fails. Raises Unfit if pytest cannot run them."""
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
            return Ran(_BY_TIME, f"no end within {limit_s:.0f} s", hung=True)
        said = done.stdout + done.stderr
        if done.returncode not in {_FAILED, _PASSED}:
            raise Unfit(f"pytest ended with {done.returncode}:\n{said[-2000:]}")
        failed = done.returncode == _FAILED
        return Ran(_first_failure(said) if failed else "", said, hung="Failed: Timeout" in said)

    def _write(self, file: str, text: str) -> None:
        """Write *text*; no compiled form of an earlier one is taken for it."""
        (self.root / file).write_text(text)
        stamp = next(self._stamps)
        os.utime(self.root / file, (stamp, stamp))


def _first_failure(said: str) -> str:
    found = re.search(r"^(?:FAILED|ERROR) (?:\S*/)?(\S+?\.py::[^\s\[]+)", said, re.MULTILINE)
    return found[1] if found else _BY_TIME
