"""Half-written files lie in directories that a disk lays apart."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import pytest

from lucidnode.node.cache.arriving import ArrivingFiles
from lucidnode.node.client.ids import BlockId

TOP_DIRECTORY = 0x20000


def test_the_disk_is_asked_to_lay_them_apart_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "arriving"
    asked: list[int] = []

    def ioctl(_descriptor: int, _request: int, argument: Any) -> int:
        if isinstance(argument, bytearray):
            argument[:] = (0x80000).to_bytes(8, "little")
        else:
            assert list(root.iterdir()) == []
            asked.append(int.from_bytes(argument, "little"))
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    files = ArrivingFiles(root)
    files.make()
    files.make()
    assert asked == [0x80000 | TOP_DIRECTORY], "once, and what was set stays set"
    assert len(list(root.iterdir())) == 16


def test_a_file_system_that_knows_nothing_of_it_has_them_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ioctl(*_: object) -> int:
        raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    files = ArrivingFiles(tmp_path / "arriving")
    files.make()
    path = files.path(BlockId(bytes([0x3F]) + bytes(31)))
    path.write_bytes(b"half")
    files.empty()
    assert path.parent.name == "3"
    assert not path.exists()
