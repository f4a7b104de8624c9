"""Two directories change places. What is mounted on them is in tests/integration/test_cli_coming_back.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXCHANGING = """
import sys
from pathlib import Path
from lucidnode.cli.mount_exchange import MountExchange
from lucidnode.fs.kernel.left_mount import ASIDE, EXCHANGE

exchange = MountExchange(Path(sys.argv[1]))
for _ in range(2):
    beside = Path(exchange.ask(ASIDE)[len(ASIDE):].decode())
    print(beside.name, oct(beside.stat().st_mode & 0o7777))
    (beside / "new").touch()
    print(exchange.ask(EXCHANGE)[len(EXCHANGE):].decode())
exchange.close()
"""


@pytest.mark.parametrize("files", [[], ["old"]])
def test_what_was_below_is_removed_unless_files_are_in_it(tmp_path: Path, files: list[str]) -> None:
    place = tmp_path / "drive"
    place.mkdir(mode=0o710)
    place.chmod(0o2710)
    for name in files:
        (place / name).touch()
    done = subprocess.run(
        [sys.executable, "-c", EXCHANGING, place], capture_output=True, check=True, text=True
    )
    first, kept, second, kept_too = done.stdout.splitlines()
    assert first == ".drive.lucidnode 0o2710"
    assert [path.name for path in place.iterdir()] == ["new"]
    # The second time the file that we made is in the way.
    assert kept == (str(tmp_path / ".drive.lucidnode") if files else "")
    assert second == f".drive.lucidnode{'1' if files else ''} 0o2710"
    assert kept_too == str(tmp_path / second.split()[0])
    assert [path.name for path in tmp_path.glob(".drive.lucidnode/*")] == (files or ["new"])
