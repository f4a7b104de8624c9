"""A build in C with make -j4 on the mount: what is done is done, and only what changed is built."""

from __future__ import annotations

import os
from pathlib import Path

from lab.errors import LabError
from lab.two_nodes import TwoNodes

PACKAGES = ("gcc", "libc6-dev", "make")

_FOLDER = "build"
_SOURCES = 200

_MAKEFILE = """\
OBJECTS = $(patsubst %.c,out/%.o,$(wildcard *.c))
CFLAGS = -O1 -MMD -MP
program: $(OBJECTS)
\t$(CC) -o $@ $^
out/%.o: %.c | out
\t$(CC) $(CFLAGS) -c -o $@ $<
out:
\tmkdir -p out
-include $(OBJECTS:.o=.d)
"""


def run_trial(nodes: TwoNodes, extent: float) -> str:
    """See the module."""
    count = max(10, round(_SOURCES * extent))
    top = nodes.here / _FOLDER
    top.mkdir()
    _write_sources(top, count)
    wanted = str(count * (count - 1) // 2)
    first = _make(nodes, top)
    if first.count(" -c ") != count:
        raise LabError(f"{first.count(' -c ')} files were compiled, not {count}")
    _run_program(nodes, top, wanted)
    if "is up to date" not in (said := _make(nodes, top)):
        raise LabError(f"make had something to do again: {said[:300]}")
    source = top / "part7.c"
    source.write_text(source.read_text() + "\n")
    if (compiled := _make(nodes, top).count(" -c ")) != 1:
        raise LabError(f"one file was changed, {compiled} were compiled")
    os.utime(top / "common.h")
    if (compiled := _make(nodes, top).count(" -c ")) != count:
        raise LabError(f"the header was touched, {compiled} of {count} files were compiled")
    names = nodes.check(_FOLDER)
    there = nodes.there / _FOLDER
    _run_program(nodes, there, wanted)
    if "is up to date" not in (said := _make(nodes, there)):
        raise LabError(f"make on the other node had something to do: {said[:300]}")
    return f"{count} files built twice and one once with make -j4, no more; {names} names"


def _make(nodes: TwoNodes, top: Path) -> str:
    return nodes.run("make", "-j4", "-C", top)


def _run_program(nodes: TwoNodes, top: Path, wanted: str) -> None:
    if (said := nodes.run(top / "program").strip()) != wanted:
        raise LabError(f"the program says {said}, not {wanted}")


def _write_sources(top: Path, count: int) -> None:
    (top / "Makefile").write_text(_MAKEFILE)
    declared = "".join(f"int part{number}(void);\n" for number in range(count))
    (top / "common.h").write_text(f"#include <stdio.h>\n{declared}")
    for number in range(count):
        main = "" if number else _main(count)
        (top / f"part{number}.c").write_text(
            f'#include "common.h"\nint part{number}(void) {{ return {number}; }}\n{main}'
        )


def _main(count: int) -> str:
    total = " + ".join(f"part{number}()" for number in range(count))
    return f'int main(void) {{ printf("%d\\n", {total}); return 0; }}\n'
