"""When the keeper of a mount starts a daemon: it died, nobody brings it back, and time has passed."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lucidnode.cli.daemon_watch import DaemonWatch, has_died
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE


def listening(home: Path) -> socket.socket:
    daemon = socket.socket(socket.AF_UNIX)
    daemon.bind(str(home / SOCKET_FILE))
    daemon.listen(1)
    return daemon


def test_only_a_daemon_that_left_its_socket_has_died(tmp_path: Path) -> None:
    assert not has_died(tmp_path)  # none was there, or it ended in order
    with listening(tmp_path):
        for _ in range(8):  # more than it lets wait: it is busy, or frozen
            assert not has_died(tmp_path)
    assert has_died(tmp_path)


class Home:
    """A home whose daemon has died, and the watch of one mount. Each start leaves a mark."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listening(folder).close()
        self.now = 100.0
        self.is_kept = False
        package = folder / "lucidnode"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(
            "import os, sys\nopen(os.environ['MARK'], 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        )
        environment = {"MARK": str(folder / "mark"), "PYTHONPATH": str(folder)}
        self.watch = DaemonWatch(folder, environment, b"", lambda: self.is_kept, lambda: self.now)

    def looks(self, seconds: float) -> int:
        """Look for so many seconds, and let each start come to its end; return how many there were."""
        end = self.now + seconds
        while self.now < end:
            self.watch.look()
            if (starting := self.watch._starting) is not None:
                starting.wait(30)
            self.now += 2
        mark = self.folder / "mark"
        return len(mark.read_text().splitlines()) if mark.exists() else 0


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_dead_daemon_is_started_after_a_while_and_tried_again_more_and_more_seldom(
    home: Home, expected_warnings: list[str]
) -> None:
    expected_warnings.append("the daemon died with its keeper")
    assert home.looks(4) == 0
    assert home.looks(6) == 1
    how = "was ended together with its keeper"
    assert (
        home.folder / "mark"
    ).read_text() == f"--home {home.folder} daemon --keyed --came-back {how}\n"
    assert 5 <= home.looks(200) <= 8


def test_one_that_a_keeper_brings_back_or_that_answers_again_is_left_alone(home: Home) -> None:
    home.is_kept = True
    assert home.looks(60) == 0
    home.is_kept = False
    assert home.looks(4) == 0
    (home.folder / SOCKET_FILE).unlink()
    with listening(home.folder):
        assert home.looks(60) == 0
