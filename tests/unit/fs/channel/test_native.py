"""The channel's C: no warning, its own tests under the sanitizers, any bytes, and any arguments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from lab.sanitized import TESTS, build_module, build_program, sanitizing

pytestmark = pytest.mark.timeout(300)


def hold(command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """Run *command*, which a sanitizer ends as soon as something does not hold."""
    environment = {**os.environ, **(env or {})}
    ran = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=250, cwd=cwd, env=environment
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("name", "sanitizer"),
    [
        ("requests", "address"),
        ("channel", "address"),
        ("channel", "thread"),
        ("answer", "address"),
        ("answer", "thread"),
        ("table", "address"),
        ("table", "thread"),
    ],
)
def test_c_holds_under_the_sanitizers(name: str, sanitizer: str, tmp_path: Path) -> None:
    hold([build_program(f"{name}_test", sanitizer, tmp_path / name)], tmp_path)


def test_parser_and_table_keep_to_what_they_promise_for_any_bytes(tmp_path: Path) -> None:
    hold([build_program("fuzz", "address", tmp_path / "fuzz"), "1", "60000"], tmp_path)


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_the_module_holds_for_any_arguments_and_until_its_end(
    sanitizer: str, tmp_path: Path
) -> None:
    module = build_module(sanitizer, tmp_path / "_channel.abi3.so")
    driver: list[str | Path] = [sys.executable, TESTS / "drive_module.py", module, "1", "300"]
    hold(driver, tmp_path, sanitizing(sanitizer))
