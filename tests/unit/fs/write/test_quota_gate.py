"""At its quota a project does not grow, by whatever request, and everything else goes on."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from file_layer_fixture import FileLayer, file_layer

from lucidnode.fs.errors import OverQuota
from lucidnode.fs.files.file_system import AttributeChanges
from lucidnode.fs.files.range_changes import KEEP_SIZE
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import RemoveXattr, SetXattr
from lucidnode.fs.replica.quota import QUOTA, Quota

MIB = 1 << 20


def set_quota(layer: FileLayer, *, soft: int = 0, hard: int = 0) -> None:
    row = Quota(soft=soft, hard=hard)
    layer.replica.apply(SetXattr(ROOT, QUOTA, row.encoded(), 1))
    layer.writer.quota.look()


async def test_nothing_makes_a_file_larger_at_the_limit(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("The project is as large as it may be")
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create(b"a")
        other, source = await layer.create(b"b")
        await layer.files.write(source, 0, bytes(MIB))
        set_quota(layer, hard=2 * MIB)
        await layer.files.write(handle, 0, bytes(MIB))
        await layer.files.write(handle, 100, b"in the middle")
        for grow in (
            lambda: layer.files.write(handle, MIB, b"x"),
            lambda: layer.files.set_attributes(ino, AttributeChanges(size=MIB + 1), None),
            lambda: layer.files.ranges.allocate(handle, 0, MIB + 1, 0),
            lambda: layer.files.ranges.copy(source, 0, handle, MIB, 1 << 40),
        ):
            with pytest.raises(OverQuota) as refused:
                await grow()
            assert refused.value.errno == errno.EDQUOT
        assert layer.files.attributes(ino).size == MIB
        await layer.files.ranges.allocate(handle, 0, 5 * MIB, KEEP_SIZE)
        await layer.files.ranges.copy(source, 0, handle, 0, MIB)
        await layer.files.flush(handle)
        layer.writer.quota.look()
        assert "as large as it may be" in layer.alerts.current()[0].cause
        assert layer.files.capacity().free_units == 0
        await layer.files.set_attributes(other, AttributeChanges(size=MIB // 2), None)
        await layer.files.write(handle, MIB, b"x")
        assert not layer.alerts.current(), "there is room at once"


async def test_what_is_not_saved_yet_counts_and_what_was_refused_does_not(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("The project is as large as it may be")
    async with file_layer(tmp_path) as layer:
        set_quota(layer, hard=MIB)
        _, handle = await layer.create(b"a")
        await layer.files.write(handle, 0, bytes(MIB // 2))
        for _ in range(3):
            with pytest.raises(OverQuota):
                await layer.files.write(handle, MIB, b"x")
        layer.writer.quota.look()
        await layer.files.write(handle, MIB - 1, b"x")
        with pytest.raises(OverQuota):
            await layer.files.write(handle, MIB, b"x")


async def test_beyond_the_soft_limit_people_are_told_until_it_is_over(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("The project is larger than was agreed on")
    async with file_layer(tmp_path) as layer:
        set_quota(layer, soft=10)
        _, handle = await layer.create(b"a")
        await layer.files.write(handle, 0, b"eleven byte")
        layer.writer.quota.look()
        layer.writer.quota.look()
        [alert] = layer.alerts.current()
        assert (alert.topic, alert.count) == ("quota", 1)
        layer.replica.apply(RemoveXattr(ROOT, QUOTA, 1))
        layer.writer.quota.look()
        assert not layer.alerts.current()
