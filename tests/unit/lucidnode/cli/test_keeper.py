"""The keeper of a server, with servers that are a few lines of shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lucidnode.cli.background import _Lines
from lucidnode.cli.child import loading_in

KEEPING = """
import os, sys
from lucidnode.cli.keeper import Keeper
sys.exit(Keeper("mount", sys.argv[1:], b"", os.environ).run())
"""

DIES_AND_CANNOT_BEGIN_AT_ONCE = """
count=$(cat "$0/count" 2>/dev/null || echo 0)
echo $((count + 1)) > "$0/count"
echo "$@" >> "$0/given"
case $count in
    0) echo ready; kill -9 $$ ;;
    1) exit 12 ;;
    *) echo ready ;;
esac
"""


def test_what_came_back_says_how_the_last_that_served_had_ended(tmp_path: Path) -> None:
    server = ["sh", "-c", DIES_AND_CANNOT_BEGIN_AT_ONCE, str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", KEEPING, *server],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "given").read_text().splitlines() == [
        "",
        "--came-back was ended by signal 9",
        "--came-back was ended by signal 9",
    ]


LOADS = """
echo "loading 0 20"; echo "loading 20 20"; echo ready; sleep 0.1
[ -e "$0/once" ] || { touch "$0/once"; kill -9 $$; }
"""


def test_how_much_is_loaded_is_passed_on_to_who_waits_and_to_nobody_else(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KEEPING, "sh", "-c", LOADS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines(keepends=True)
    assert lines == [b"loading 0 20\n", b"loading 20 20\n", b"ready\n"]
    assert [loading_in(line) for line in lines] == [(0, 20), (20, 20), None]


def test_who_starts_something_reads_line_by_line_however_they_come() -> None:
    there, ours = os.pipe()
    with os.fdopen(ours, "wb", buffering=0) as pipe:
        lines = _Lines(there)
        pipe.write(b"loading 1 2\nloading 2 2\nrea")
        assert [lines.next(0) for _ in range(3)] == [b"loading 1 2\n", b"loading 2 2\n", None]
        pipe.write(b"dy\n")
        assert lines.next(0) == b"ready\n"
    assert lines.next(0) == b""
    os.close(there)
