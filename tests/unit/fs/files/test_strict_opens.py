"""`--consistency strict`: what an open shows of what others have committed a moment before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from file_layer_fixture import ME
from write_seats import WriteOffice, in_the_office

from lucidnode.fs.errors import FileMissing
from lucidnode.fs.replica.inode import ROOT
from lucidnode.node.client.errors import NodeError

SAVES = 20


async def _saved(office: WriteOffice, number: int) -> None:
    """Have *a* save the file in place, or by another one that is put there, and commit it."""
    a = office.a
    name = b"notes.txt" if number % 2 else b"notes.tmp"
    if number % 2:
        handle = await a.open("notes.txt", os.O_WRONLY | os.O_TRUNC)
    else:
        _, (handle, _) = a.layer.files.create(ROOT, name, 0o644, ME, os.O_RDWR, 0)
    await a.write(handle, b"save %d" % number)
    await a.close(handle)
    if not number % 2:
        a.layer.files.rename(ROOT, name, ROOT, b"notes.txt", 0)
    assert a.layer.committer is not None
    await a.layer.committer.until_committed(None)


def test_each_open_shows_what_was_committed_before_it(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        b = office.b
        await office.shared("notes.txt", b"save 0")
        behind = 0
        for number in range(1, SAVES + 1):
            await _saved(office, number)
            behind += b.layer.replica.pending.head().seq < len(office.bucket.entries)
            try:
                handle = await b.open("notes.txt", os.O_RDONLY)
            except FileMissing:
                # The kernel looks the name up anew, and finds the file that has it now.
                handle = await b.open("notes.txt", os.O_RDONLY)
            assert await b.layer.files.read(handle, 0, 100) == b"save %d" % number
            b.layer.files.release(handle)
        assert behind, "it never had anything to ask for"

    in_the_office(tmp_path, work, strict=True)


def test_what_is_asked_for_each_open_is_one_request(tmp_path: Path) -> None:
    async def work(office: WriteOffice) -> None:
        await office.shared("notes.txt")
        before = office.b.door.reads
        for _ in range(SAVES):
            office.b.layer.files.release(await office.b.open("notes.txt", os.O_RDONLY))
        asked = office.b.door.reads - before
        assert SAVES <= asked <= SAVES + 2, "beside them the mount may just have looked by itself"

    in_the_office(tmp_path, work, strict=True)


def test_without_the_bucket_nothing_is_opened(tmp_path: Path, expected_warnings: list[str]) -> None:
    async def work(office: WriteOffice) -> None:
        await office.shared("notes.txt")
        office.b.door.reachable = False
        with pytest.raises(NodeError):
            await office.b.open("notes.txt", os.O_RDONLY)

    in_the_office(tmp_path, work, strict=True)
