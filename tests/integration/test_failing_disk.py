"""A disk of the cache that fails in each way a disk can: a miss, and never an error to a program."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from disk_fixture import PROJECT, ManualClock, make_block, stage_early
from file_layer_fixture import BLOCK, file_layer
from recording_disk import RecordingDisk, recording_disk

from lucidnode import doctor
from lucidnode.cli.app import cli
from lucidnode.cli.mounting import _refuse_inside
from lucidnode.disk_trial import try_disk
from lucidnode.node.bucket import directory
from lucidnode.node.bucket.address import DirectoryAddress
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.mark import CacheMark, take
from lucidnode.node.cache.room import disk_of
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import bounded_look
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.breaker import MAX_PAUSE_S
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.guarded_disk import TOPIC
from lucidnode.node.config import NodeConfig, load_config, save_config
from lucidnode.node.current_settings import CurrentSettings

pytestmark = pytest.mark.fuse

CONFIG = NodeConfig(
    studio="s", genesis="ab" * 32, lan_key="cd" * 32, bucket_url="file:///none", min_free=0
)

FAULTS = [errno.EIO, errno.EACCES, errno.EMFILE, errno.ENOTDIR, errno.ESTALE]


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordingDisk]:
    with recording_disk(tmp_path_factory.mktemp("failing")) as disk:
        yield disk


@pytest.fixture
def disk(mounted: RecordingDisk) -> RecordingDisk:
    mounted.fresh()
    return mounted


@pytest.mark.parametrize("fault", FAULTS, ids=lambda code: errno.errorcode[code])
async def test_a_program_reads_what_the_disk_of_the_cache_does_not_give(
    tmp_path: Path, disk: RecordingDisk, fault: int, expected_warnings: list[str]
) -> None:
    expected_warnings.append("The cache fails")
    content = os.urandom(2 * BLOCK)
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, content)
        await layer.files.flush(handle)
    shutil.move(tmp_path / "blocks", disk.path / "blocks")
    (tmp_path / "blocks").symlink_to(disk.path / "blocks")
    async with file_layer(tmp_path) as layer:
        with disk.faulty(str(fault)):
            assert await layer.contents(ino) == content
        assert layer.alerts.is_on(TOPIC)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda code: errno.errorcode[code])
async def test_the_daemon_takes_a_fault_for_a_miss_and_keeps_what_is_not_at_fault(
    disk: RecordingDisk, fault: int, expected_warnings: list[str]
) -> None:
    clock = ManualClock()
    alerts = Alerts(clock)
    expected_warnings.append("fails: ")
    mark = CacheMark(disk.path / "cache", None)
    async with DiskCache.open(mark, 1 << 20, 0, clock, alerts) as cache:
        blocks = [make_block() for _ in range(4)]
        for block, ciphertext in blocks:
            assert await cache.put(block, ciphertext)
        with disk.faulty(str(fault)):
            for block, _ in blocks[:3]:
                assert await cache.get(block) is None
        assert alerts.is_on(TOPIC)
        clock.now += 60
        await cache.maintain_once()
        assert not alerts.is_on(TOPIC)
        found = [await cache.get(block) for block, _ in blocks]
        lost = 3 if fault in {errno.EIO, errno.ENOTDIR} else 0  # the file itself may be bad
        assert found == [None] * lost + [ciphertext for _, ciphertext in blocks[lost:]]


def test_a_disk_that_hangs_is_named_by_doctor_and_holds_up_nobody(
    disk: RecordingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_look, "PATIENCE_S", 0.2)
    impatient = partial(try_disk, first_s=0.2, whole_s=0.2)
    with disk.frozen():
        with pytest.raises(TimeoutError, match="does not answer"):
            impatient(disk.path / "cache")
        found = doctor.disk(disk.path / "cache", CONFIG, impatient)
        with pytest.raises(TimeoutError, match="does not answer"):
            disk_of(disk.path)
    assert found.what == f"cache in {disk.path / 'cache'}"
    assert found.verdict == "amiss"
    assert "its disk hangs: it does not answer" in found.found
    assert doctor.disk(disk.path / "cache", CONFIG).verdict == "well"
    assert disk_of(disk.path).size


def test_a_cache_whose_disk_hangs_is_left_for_another(
    tmp_path: Path, disk: RecordingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_look, "PATIENCE_S", 0.2)
    old, new, home = disk.path / "cache", tmp_path / "new", tmp_path / "home"
    home.mkdir()
    save_config(home, msgspec.structs.replace(CONFIG, cache_dir=str(old), cache_id=take(old)))

    def ended(*words: str) -> Result:
        return CliRunner().invoke(cli, ["--home", str(home), "cache", *words, str(new)])

    with disk.frozen():
        assert "or its disk hangs" in ended("adopt").output
        moved = ended("move").exception
        assert isinstance(moved, TimeoutError)
        assert moved.filename == str(old)
        assert ended("adopt", "--yes").exit_code == 0
        with pytest.raises(TimeoutError):
            _refuse_inside(tmp_path / "demo", [home, old])
    assert load_config(home).cache_dir == str(new)


def test_a_bucket_directory_that_hangs_is_told_and_not_waited_for(
    disk: RecordingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_ANSWER_S", 0.2)
    address = DirectoryAddress(disk.path / "bucket")
    asyncio.run(directory.prepare_directory(address, create=True))
    with disk.frozen(), pytest.raises(Unavailable, match="did not answer in time"):
        asyncio.run(directory.prepare_directory(address, create=False))


def test_settings_are_gone_by_also_while_the_disk_of_the_cache_hangs(
    tmp_path: Path, disk: RecordingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = msgspec.structs.replace(CONFIG, cache_dir=str(disk.path / "cache"))
    save_config(tmp_path, config)
    current = CurrentSettings(tmp_path, lambda config: config)
    save_config(tmp_path, msgspec.structs.replace(config, cache_limit=1 << 30))
    monkeypatch.setattr(bounded_look, "PATIENCE_S", 0.2)
    with disk.frozen():
        current.renew()
        with pytest.raises(TimeoutError, match="does not answer"):
            CurrentSettings(tmp_path, lambda config: config)
    assert current.room.limit == 1 << 30


class NoCache:
    async def adopt(self, block: object, staged: Path, size: int) -> None:
        """Leave the file where it is."""


async def test_what_waits_for_its_upload_on_a_hanging_disk_is_away_and_not_waited_for(
    disk: RecordingDisk,
) -> None:
    block, ciphertext = make_block()
    directory = disk.path / "cache"
    directory.mkdir()
    stage_early(directory / "staging", PROJECT, block, ciphertext)
    clock = ManualClock()
    async with Staging.open(CacheMark(directory, None), NoCache(), clock) as staging:
        with disk.faulty("hang"):
            async with asyncio.timeout(10), asyncio.TaskGroup() as asking:
                asked = [asking.create_task(staging.read(PROJECT, block)) for _ in range(20)]
                with pytest.raises(Unavailable, match="no answer"):
                    await staging.load(PROJECT, block)
            assert [task.result() for task in asked] == [None] * 20
            # It is left alone now, writes included: no more threads, and nobody waits.
            for refused in (staging.load(PROJECT, block), staging.prepare(PROJECT, b"entry")):
                with pytest.raises(Unavailable, match="left alone"):
                    await refused
        clock.now += MAX_PAUSE_S
        async with asyncio.timeout(10):
            while await staging.read(PROJECT, block) is None:
                await asyncio.sleep(0.01)
        assert await staging.load(PROJECT, block) == ciphertext
