"""How the lab's commands end: whoever runs them in a script goes by the exit code."""

from __future__ import annotations

import click
import pytest
from lab.app import run_command
from lab.errors import LabError


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (None, 0),
        (click.exceptions.Exit(1), 1),
        (LabError("a trial did not hold"), 1),
        (click.Abort(), 1),
        (click.UsageError("no such trial"), 2),
    ],
)
def test_a_command_that_was_not_done_says_so_by_its_exit_code(
    raised: Exception | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["command"])

    @click.command()
    def command() -> None:
        if raised is not None:
            raise raised

    with pytest.raises(SystemExit) as ended:
        run_command(command)
    assert ended.value.code == code
