"""The channel's C, built with a compiler's sanitizers: programs of tests/native, the fuzzer, the module."""

from __future__ import annotations

import sysconfig
from collections.abc import Sequence
from pathlib import Path

from lab.command import run
from lab.places import REPOSITORY

SOURCES = REPOSITORY / "fs" / "channel" / "native"
TESTS = REPOSITORY / "tests" / "native"

_STRICT = [
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
_LIBRARIES = {"address": ["libasan.so", "libubsan.so"], "thread": ["libtsan.so"]}
_BUILD_S = 300.0


def build_program(name: str, sanitizer: str, at: Path) -> Path:
    """Build the program *name* of tests/native with all that needs no interpreter. Raises LabError."""
    sources = [path for path in SOURCES.glob("*.c") if path.name != "module.c"]
    return _build([*SANITIZERS[sanitizer]], [TESTS / f"{name}.c", *sources], at)


def build_module(sanitizer: str, at: Path) -> Path:
    """Build the compiled module, to be loaded with `sanitizing`'s environment. Raises LabError."""
    headers = sysconfig.get_path("include")
    flags = [*SANITIZERS[sanitizer], "-fPIC", "-shared", "-isystem", headers]
    return _build(flags, sorted(SOURCES.glob("*.c")), at)


def build_libfuzzer(at: Path) -> Path:
    """Build the fuzzer as a target of LLVM's, which takes clang. Raises LabError."""
    flags = ["-DLIBFUZZER", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    sources = [TESTS / "fuzz.c", SOURCES / "request.c", SOURCES / "table.c"]
    return _build(flags, sources, at, compiler="clang")


def sanitizing(sanitizer: str) -> dict[str, str]:
    """Return what has an interpreter that was built without the sanitizer load a module with it.

    Leaks are not looked for: the interpreter leaves much behind when it ends.
    """
    libraries = [run(["gcc", f"-print-file-name={name}"]).strip() for name in _LIBRARIES[sanitizer]]
    return {"LD_PRELOAD": ":".join(libraries), "ASAN_OPTIONS": "detect_leaks=0"}


def _build(
    flags: Sequence[str], sources: Sequence[Path], at: Path, *, compiler: str = "gcc"
) -> Path:
    run(
        [
            compiler,
            *_STRICT,
            "-O1",
            "-g",
            "-pthread",
            *flags,
            "-I",
            str(SOURCES),
            "-o",
            str(at),
            *map(str, sources),
        ],
        within=_BUILD_S,
    )
    return at
