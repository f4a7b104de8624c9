"""The keeper of a server, with servers that are a few lines of shell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
