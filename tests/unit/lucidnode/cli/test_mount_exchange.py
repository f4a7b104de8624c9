"""Two directories change places. What is mounted on them is in tests/integration/test_cli_coming_back.py."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from disk_fixture import small_disk

from lucidnode.cli.mount_exchange import made_beside
from lucidnode.fs.kernel.left_mount import NO

ASKING = """
import sys
from pathlib import Path
from lucidnode.cli.mount_exchange import MountExchange
from lucidnode.fs.kernel.left_mount import ASIDE

exchange = MountExchange(Path(sys.argv[1]))
print(exchange.ask(ASIDE))
exchange.close()
"""

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


def test_a_full_disk_is_no_place_to_exchange(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k,nr_inodes=2") as disk:
        place = disk / "drive"
        place.mkdir()
        with pytest.raises(OSError, match="No space left"):
            (disk / "one more").mkdir()
        done = subprocess.run(
            [sys.executable, "-c", ASKING, place], capture_output=True, check=True, text=True
        )
        assert done.stdout == f"{NO!r}\n"


def test_what_was_made_beside_goes_when_it_cannot_be_like_the_mount_point() -> None:
    """As on a disk that fails then; here its owner may not be given."""
    with tempfile.TemporaryDirectory() as ground:
        place = Path(ground, "drive")
        place.mkdir()
        Path(ground).chmod(0o777)
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            try:
                made_beside(place)
            except PermissionError:
                os._exit(0)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert [path.name for path in Path(ground).iterdir()] == ["drive"]
