"""Nothing is acknowledged into a replica that the next mount would not find; people are told."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from file_layer_fixture import BLOCK, FileLayer, file_layer

from lucidnode.fs.errors import ReplicaError
from lucidnode.fs.replica.whereabouts import TOPIC

Act = Callable[[Path, Path], object]
"""Takes the replica at the first path away to the second, or to nowhere."""


def moved(path: Path, away: Path) -> None:
    path.rename(away)


def deleted(path: Path, _away: Path) -> None:
    path.unlink()


def replaced_by_a_copy(path: Path, away: Path) -> None:
    shutil.copy(path, away)
    away.replace(path)


async def eventually(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)


def told(layer: FileLayer) -> bool:
    return layer.alerts.is_on(TOPIC)


@pytest.mark.parametrize("file", ["replica.db", "replica.db-wal"])
@pytest.mark.parametrize("act", [moved, deleted, replaced_by_a_copy])
@pytest.mark.parametrize("relaxed", [False, True])
async def test_a_replica_that_is_gone_acknowledges_nothing(
    tmp_path: Path, act: Act, file: str, relaxed: bool, expected_warnings: list[str]
) -> None:
    # On a busy machine the flusher has its turn, too, and says the same of what is old.
    expected_warnings.append("was deleted, moved or replaced while the project is mounted")
    async with file_layer(tmp_path / "home", relaxed=relaxed, looks_for_replica=True) as layer:
        _, handle = await layer.create()
        await layer.files.write(handle, 0, b"x" * BLOCK)
        await layer.files.flush(handle)
        act(tmp_path / "home" / file, tmp_path / "away")
        await layer.files.write(handle, 0, b"y" * BLOCK)
        with pytest.raises(ReplicaError, match="deleted, moved or replaced"):
            await layer.files.flush(handle)
        with pytest.raises(ReplicaError, match="deleted, moved or replaced"):
            await layer.files.sync(handle)
        # The bucket may have it: that is what saves it.
        await layer.group_sync.before_sending()
        await eventually(lambda: told(layer))
        [alert] = [
            alert for alert in layer.alerts.current() if "`close` and `fsync`" in alert.cause
        ]
        assert alert.remedy.startswith("Move it back")


async def test_a_replica_that_is_back_goes_on(tmp_path: Path, expected_warnings: list[str]) -> None:
    expected_warnings.append("`close` and `fsync` fail")
    home, away = tmp_path / "home", tmp_path / "away"
    async with file_layer(home, looks_for_replica=True) as layer:
        ino, handle = await layer.create()
        home.rename(away)
        await eventually(lambda: told(layer))
        await layer.files.write(handle, 0, b"acknowledged once it is back")
        with pytest.raises(ReplicaError):
            await layer.files.flush(handle)
        away.rename(home)
        await layer.files.flush(handle)
        await eventually(lambda: not told(layer))
    async with file_layer(home) as again:
        assert await again.contents(ino) == b"acknowledged once it is back"
