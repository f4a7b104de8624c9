"""What `close` acknowledged survives kill -9 and an unmount, and reaches every workstation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from itertools import cycle

import pytest
from lab.lab import Lab
from lab.patience import until
from lab.workstation import Workstation
from lab_fixture import (
    PATIENCE,
    await_cloud,
    await_names,
    clear_cache,
    digest,
    digests_there,
    noise,
    run_on,
    running_lab,
    slow_upload,
)

pytestmark = [pytest.mark.lan, pytest.mark.fuse, pytest.mark.timeout(400)]

SIZES = (3, 5_000, 70_000, 400_000, 2_500_000)
"""Bytes: tails, the rest of a block, and several blocks with a rest."""


@pytest.fixture(scope="module")
def office() -> Iterator[Lab]:
    with running_lab("cra") as lab:
        yield lab


class Copy:
    """Copies files into a folder until told to stop, or until the mount is gone."""

    def __init__(self, station: Workstation, folder: str) -> None:
        self._folder = folder
        self._station = station
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"copy to {folder}")
        self.closed: dict[str, str] = {}
        """Name and digest of each file whose close has returned."""
        self.failed = False

    def start(self) -> None:
        (self._station.mount_point / self._folder).mkdir()
        self._thread.start()

    def await_closed(self, count: int) -> None:
        """Return once *count* more files are closed."""
        enough = len(self.closed) + count
        until(lambda: len(self.closed) >= enough, within=PATIENCE, what="the copy stands still")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for number, size in enumerate(cycle(SIZES)):
            if self._stop.is_set():
                return
            name, data = f"{self._folder}/{number}", noise(size)
            try:
                (self._station.mount_point / name).write_bytes(data)
            except OSError:
                self.failed = True
                return
            self.closed[name] = digest(data)


@pytest.mark.parametrize(
    "killed", [["mount", "daemon"], ["mount"], ["daemon"]], ids=["both", "mount", "daemon"]
)
def test_file_that_was_closed_before_a_kill_is_on_every_node(
    office: Lab, killed: list[str]
) -> None:
    a, b, c = office.workstations.values()
    copy = Copy(a, f"killed {' and '.join(killed)}")
    copy.start()
    try:
        copy.await_closed(12)
        for what in killed:
            process = getattr(a.record, what)
            assert process.alive()
            process.kill()
        if "mount" in killed:
            until(lambda: copy.failed, within=PATIENCE, what="the copy did not meet the kill")
        else:
            copy.await_closed(10)  # nobody who writes needs the daemon
    finally:
        copy.stop()
        with office.places.locked():
            if "mount" in killed:
                office.restart("a")
            else:
                office.start_daemon(a)  # which the mount finds by itself
    assert copy.failed == ("mount" in killed)

    # At once, and without the bucket: all of it was on this disk.
    for name in copy.closed:
        assert (a.mount_point / name).stat().st_size in SIZES
    await_cloud(*(a.mount_point / name for name in copy.closed))
    clear_cache(office, a, b, c)
    names = {name.rpartition("/")[2] for name in copy.closed}
    for station in (a, b, c):
        await_names(station.mount_point / next(iter(copy.closed)).partition("/")[0], names)
        assert digests_there(office, station, copy.closed) == copy.closed, station.name


def test_daemon_finishes_alone_what_was_not_sent_at_the_unmount(office: Lab) -> None:
    """Also if it is killed on the way."""
    a, b, c = office.workstations.values()
    data = {f"unsent {number}": noise(2_000_000) for number in range(4)}
    wanted = {name: digest(content) for name, content in data.items()}

    def unsent() -> int:
        return int(a.facts("status")["uploads"]["blocks"])

    try:
        # So slow that no block gets through: the mount does not wait for that.
        with slow_upload(office, 0.05):
            for name, content in data.items():
                (a.mount_point / name).write_bytes(content)
            run_on(office, a, "umount", str(a.mount_point))
            assert a.record.mount is not None
            assert a.record.mount.ended(PATIENCE)
            assert a.facts("status")["mounts"] == []
            before = unsent()
            assert before > 0
        with slow_upload(office, 8.0):
            until(lambda: unsent() < before, within=PATIENCE, what="the daemon sends nothing")
            assert a.record.daemon is not None
            a.record.daemon.kill()
            office.start_daemon(a)
            assert unsent() > 0
        until(lambda: unsent() == 0, within=PATIENCE, what="the daemon did not finish")
    finally:
        with office.places.locked():
            office.restart("a")
    # The entry under way was the daemon's to commit; what came after it, the new mount's.
    await_cloud(*(a.mount_point / name for name in data))
    clear_cache(office, a, b, c)
    for station in (a, b, c):
        await_names(station.mount_point, data)
        until(
            partial(_holds, office, station, wanted),
            within=PATIENCE,
            what=f"the content did not arrive on {station.name}",
        )


def _holds(office: Lab, station: Workstation, wanted: dict[str, str]) -> bool:
    return digests_there(office, station, wanted) == wanted
