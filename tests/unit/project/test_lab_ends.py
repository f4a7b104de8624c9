"""What a measurement or a trial has started ends with it, at whichever step it fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from lab.compared import FileSystem, JuiceFs, prepared
from lab.errors import LabError
from lab.lab import Lab
from lab.places import Places
from lab.process import Process, ending
from lab.record import S3

_PID = "started.pid"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Have what a file system that is compared asks of a lab; end what it left."""
    places = Places("compare", tmp_path)
    places.log("any").parent.mkdir()
    yield cast("Lab", SimpleNamespace(places=places))
    for left in tmp_path.glob(f"*/{_PID}"):
        Process.of(int(left.read_text())).kill()


class _JuiceFs(JuiceFs):
    """With programs of *folder* in the place of those that it is set up with; Redis runs until it is ended."""

    def __init__(self, lab: Lab, folder: Path, *, fails: str) -> None:
        folder.mkdir()
        redis = f'echo $$ > "$HOME/{_PID}"; touch "$HOME/redis.sock"; exec sleep 600'
        for name, does in (("redis-server", redis), ("openssl", ":"), ("juicefs", ":")):
            program = folder / name
            program.write_text(f"#!/bin/sh\n{'exit 1' if name == fails else does}\n")
            program.chmod(0o755)
        self.path = f"{folder}:/usr/bin:/bin"
        super().__init__(lab, S3("http://127.0.0.1:1", "key", "secret", "bucket"))

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"PATH": self.path}


@pytest.mark.parametrize("fails", ["openssl", "juicefs", "nothing, but the work"])
def test_redis_ends_with_the_comparison_wherever_that_fails(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    system = _JuiceFs(lab, tmp_path / "programs", fails=fails)
    monkeypatch.setenv("PATH", system.path)
    with pytest.raises(LabError), prepared([system], tmp_path):
        raise LabError("the work failed")
    started = tmp_path / "juicefs" / _PID
    pid = int(started.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    started.unlink()  # nothing is left to be ended


class _Named(FileSystem):
    def __init__(self, name: str, did: list[str]) -> None:
        self.name = name
        self._did = did

    def prepare(self) -> None:
        self._did.append(f"prepare {self.name}")
        if self.name == "worse":
            raise LabError("it cannot be set up")

    def close(self) -> None:
        self._did.append(f"close {self.name}")

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def empty_cache(self) -> None: ...


def test_what_was_begun_is_closed_and_nothing_else(tmp_path: Path) -> None:
    did: list[str] = []
    systems = [_Named(name, did) for name in ("good", "worse", "never")]
    with pytest.raises(LabError, match="set up"), prepared(systems, tmp_path):
        raise AssertionError("not all is ready")
    assert did == ["prepare good", "prepare worse", "close worse", "close good"]


def test_a_program_is_killed_when_what_it_was_started_for_fails() -> None:
    programs: list[subprocess.Popen[Any]] = []
    with pytest.raises(LabError), ending(subprocess.Popen(["sleep", "600"])) as program:  # noqa: PT012
        programs.append(program)
        raise LabError("no")
    assert programs[0].returncode == -9
