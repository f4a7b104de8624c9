"""A mount appears with what was committed when it began, though a colleague never stops."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from daemon_fixture import eventually, workstations

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(90)]


@contextlib.contextmanager
def saving(folder: Path) -> Iterator[None]:
    """Have a program make one file after the other in *folder*."""
    over = threading.Event()

    def save() -> None:
        for number in count():
            if over.wait(0.02):
                return
            (folder / f"take {number}").touch()

    program = threading.Thread(target=save)
    program.start()
    try:
        yield
    finally:
        over.set()
        program.join()


def test_a_colleague_who_never_stops_keeps_no_mount_away(tmp_path: Path) -> None:
    with workstations(tmp_path, 2) as [busy, late]:
        busy.mount()
        before = busy.mountpoint / "before"
        before.write_bytes(b"the mount began")
        eventually(lambda: os.getxattr(before, "user.lucid.state") == b"cloud")
        late.never_ends = True  # it is never where the journal ends
        with saving(busy.mountpoint):
            late.mount()
            assert (late.mountpoint / "before").read_bytes() == b"the mount began"
            late.kill()
            late.tells_end = False  # who comes back, and programs wait for, does not ask
            late.mount(came_back="was ended by signal 9")
            assert (late.mountpoint / "before").read_bytes() == b"the mount began"
        late.never_ends = False
