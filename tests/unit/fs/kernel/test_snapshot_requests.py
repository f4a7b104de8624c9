"""Whoever looks into a snapshot waits until its state is open, with the kernel channel and without."""

from __future__ import annotations

import asyncio
import errno
import os
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyfuse3
import pytest
from snapshot_tree_fixture import THEN, Tree, tree

from lucidnode.fs.channel.requests import KernelRequest, Opcode, Reply
from lucidnode.fs.kernel.quiet_handles import QuietHandles
from lucidnode.fs.kernel.snapshot_requests import SnapshotOpener, SnapshotOperations
from lucidnode.fs.kernel.spans import Spans
from lucidnode.fs.kernel.tree_requests import TreeRequests
from lucidnode.fs.snapshot_tree.snapshot_names import NAME
from lucidnode.fs.snapshot_tree.snapshot_numbers import SNAPSHOTS
from lucidnode.node.client.clock import SystemClock

CONTEXT: Any = SimpleNamespace(pid=os.getpid(), uid=0, gid=0)


def _spans() -> Spans:
    return Spans(lambda: 0.0, lambda: 0, lambda _ino: "")


def _opener(seen: Tree) -> SnapshotOpener:
    return SnapshotOpener(seen.files, _spans(), SystemClock())


def _lookup(ino: int, name: bytes) -> KernelRequest:
    body = name + b"\0"
    header = struct.pack("=IIQQIIII", 40 + len(body), Opcode.LOOKUP, 1, ino, 0, 0, os.getpid(), 0)
    return KernelRequest(header + body)


async def _answer(answer: Any) -> Reply:
    found: Reply = await answer if asyncio.iscoroutine(answer) else answer
    return found


async def test_through_pyfuse3_files_of_a_snapshot_are_found_listed_and_read(
    tmp_path: Path,
) -> None:
    async with tree(tmp_path) as seen:
        operations = SnapshotOperations(seen.files, _spans(), None, _opener(seen))
        directory = await operations.lookup(SNAPSHOTS, THEN.name, CONTEXT)
        assert seen.states.get(THEN.seq) is None
        assert await operations.listxattr(directory.st_ino, CONTEXT) == []
        assert (await operations.getattr(directory.st_ino, CONTEXT)).st_mode == directory.st_mode
        assert seen.states.get(THEN.seq) is None
        handle = await operations.opendir(directory.st_ino, CONTEXT)
        assert seen.states.get(THEN.seq) is not None
        await operations.releasedir(handle)
        file = await operations.lookup(directory.st_ino, b"cut", CONTEXT)
        opened = await operations.open(file.st_ino, os.O_RDONLY, CONTEXT)
        assert await operations.read(opened.fh, 0, 100) == b"as it was"
        await operations.release(opened.fh)
        await operations.forget([(file.st_ino, 1)])
        with pytest.raises(pyfuse3.FUSEError) as gone:
            await operations.getattr(file.st_ino, CONTEXT)
        assert gone.value.errno == errno.ESTALE


async def test_through_the_channel_a_request_is_answered_at_once_unless_a_state_has_to_be_opened(
    tmp_path: Path,
) -> None:
    async with tree(tmp_path) as seen:
        quiet = QuietHandles([], lambda _: None, lambda _: None)
        tree_requests = TreeRequests(seen.files, _spans(), None, quiet)
        lookup = _opener(seen).opening(tree_requests.handlers())[Opcode.LOOKUP]
        directory = (await seen.walk(NAME, THEN.name)).ino
        assert not asyncio.iscoroutine(lookup(_lookup(1, b"cut")))
        first = lookup(_lookup(directory, b"cut"))
        assert asyncio.iscoroutine(first)
        answer = await _answer(first)
        assert not asyncio.iscoroutine(lookup(_lookup(directory, b"cut")))
        (ino,) = struct.unpack_from("=Q", answer)
        assert ino == (await seen.walk(NAME, THEN.name, b"cut")).ino
