"""A project that went read-only refuses changes at once, and takes them again when that is over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from file_layer_fixture import ME, file_layer

from lucidnode.fs.errors import ReadOnly
from lucidnode.fs.replica.inode import ROOT


async def test_a_read_only_project_refuses_at_open_and_write_and_goes_on_reading(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, b"before")
        await layer.files.sync(handle)
        layer.replica.stop("the history is lost")
        with pytest.raises(ReadOnly, match="the history is lost"):
            await layer.files.write(handle, 6, b"never taken")
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_TRUNC):
            with pytest.raises(ReadOnly):
                await layer.files.open(ino, flags)
        with pytest.raises(ReadOnly):
            layer.files.make(ROOT, b"new", 0o100644, ME)
        assert await layer.contents(ino) == b"before"
        layer.replica.go_on()
        await layer.files.write(handle, 6, b" and after")
        await layer.files.sync(handle)
        assert await layer.contents(ino) == b"before and after"
