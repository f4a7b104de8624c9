from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lucidnode.node.client.kept import hold, mount_keepers, mount_servers, mounted, mounted_now

PROJECT = "0123456789abcdef0123456789abcdef"

HOLDER = """
import resource, sys
from pathlib import Path
from lucidnode.node.client.kept import hold
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), -1))  # what a full disk is
try:
    hold(Path(sys.argv[2]), sys.argv[3])
except OSError as error:
    print(error.strerror, flush=True)
    sys.exit(1)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held(lock: Path, serves: str, room: int = 4096) -> Iterator[str]:
    """Have another process hold *lock*, where *room* bytes may be written; yield what it says of that."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(room), str(lock), serves],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize(
    "lock",
    [
        "mount.keeper",
        "mount.server",
        "history/at-7-0011223344556677.keeper",
        "history/recent/at-7-0011223344556677.server",
    ],
)
def test_what_somebody_keeps_or_serves_is_mounted_until_he_has_ended(
    tmp_path: Path, lock: str
) -> None:
    path = tmp_path / "projects" / PROJECT / lock
    with held(path, "/mnt/drive") as said:
        assert said == "held"
        assert mounted(tmp_path, []) == ["/mnt/drive"]
        assert mounted_now(tmp_path) == ([] if "history" in lock else ["/mnt/drive"])
        assert mounted(tmp_path, ["/mnt/other", "/mnt/drive"]) == ["/mnt/other", "/mnt/drive"]
        with pytest.raises(BlockingIOError):
            hold(path, "/mnt/elsewhere")
    assert path.read_text() == "/mnt/drive", "whoever only asked has written nothing"
    assert mounted(tmp_path, []) == []
    assert [*mount_keepers(tmp_path), *mount_servers(tmp_path)] == [path]


def test_on_a_full_disk_a_mount_comes_back_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "projects" / PROJECT / "mount.server"
    with held(path, "/mnt/drive"):
        pass
    with held(path, "/mnt/drive", room=0) as said:
        assert said == "held"
        assert mounted(tmp_path, []) == ["/mnt/drive"]
    with held(path, "/mnt/elsewhere", room=0) as said:
        assert said == "File too large"
