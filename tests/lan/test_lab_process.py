"""A process of the lab is known by its start, not by its pid alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from lab.errors import LabError
from lab.process import Process

ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = Process.start(["sleep", "60"], log=tmp_path / "log", env=ENVIRONMENT)
    yield process
    process.kill()


def test_started_process_is_alive_until_killed(sleeper: Process) -> None:
    assert sleeper.alive()
    sleeper.kill()
    assert not sleeper.alive()


def test_same_pid_with_another_start_is_not_touched(sleeper: Process) -> None:
    earlier = msgspec.structs.replace(sleeper, started=sleeper.started - 1)
    assert not earlier.alive()
    assert not earlier.signal(signal.SIGKILL)
    assert sleeper.alive()


def test_same_pid_and_start_before_a_reboot_is_not_touched(sleeper: Process) -> None:
    before = msgspec.structs.replace(sleeper, boot="another")
    assert not before.signal(signal.SIGKILL)
    assert sleeper.alive()


def test_process_that_ends_at_once_is_not_alive(tmp_path: Path) -> None:
    process = Process.start(["true"], log=tmp_path / "log", env=ENVIRONMENT)
    assert process.ended(10)
    assert not process.signal(signal.SIGTERM)


def test_frozen_process_can_be_ended(sleeper: Process) -> None:
    sleeper.signal(signal.SIGSTOP)
    sleeper.end(patience=10)
    assert not sleeper.alive()


def test_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stubborn = Process.start(
        ["bash", "-c", "trap '' TERM; echo set; while :; do read -t 1 < <(:); done"],
        log=log,
        env=ENVIRONMENT,
    )
    while not log.exists() or "set" not in log.read_text():
        assert stubborn.alive()
    stubborn.end(patience=0.1)
    assert not stubborn.alive()


def test_output_is_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for word in ("one", "two"):
        assert Process.start(["echo", word], log=log, env=ENVIRONMENT).ended(10)
    assert log.read_text() == "one\ntwo\n"


def test_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no-such-program"):
        Process.start(["no-such-program"], log=tmp_path / "log", env=ENVIRONMENT)
