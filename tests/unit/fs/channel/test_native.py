"""The channel's C: no warning, and its own tests under the sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from lab.places import REPOSITORY

SOURCES = REPOSITORY / "fs" / "channel" / "native"
TESTS = REPOSITORY / "tests" / "native"

STRICT = [
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wshadow",
    "-Wconversion",
    "-Wno-sign-conversion",
]
SANITIZERS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
}


@pytest.mark.timeout(300)
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
    program = tmp_path / name
    sources = [path for path in SOURCES.glob("*.c") if path.name != "module.c"]
    subprocess.run(
        [
            *("gcc", *STRICT, "-O1", "-g", "-pthread", *SANITIZERS[sanitizer], "-I", str(SOURCES)),
            *("-o", str(program), str(TESTS / f"{name}_test.c"), *map(str, sources)),
        ],
        check=True,
    )
    ran = subprocess.run(
        [program], check=False, capture_output=True, text=True, timeout=250, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
