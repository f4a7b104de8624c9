"""What a mount asks of the journal, over the socket."""

from __future__ import annotations

from pathlib import Path

import pytest
from socket_fixture import served

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.wire import CommitReply, CommitRequest
from lucidnode.node.daemon_socket.journal import JournalRoutes
from lucidnode.node.journal.register import SlotContent
from lucidnode.node.mounts import MountTable

PROJECT = ProjectId("ab" * 16)
FRAME_BYTES = 64
"""More than an answer has besides its entry."""


class Journal:
    """Has an entry of *size* bytes in each slot."""

    def __init__(self, size: int) -> None:
        self._size = size

    async def entry(self, project: ProjectId, seq: Seq) -> SlotContent:
        return SlotContent.of(bytes(self._size))

    async def proven(self, project: ProjectId, seq: Seq) -> SlotContent:
        return await self.entry(project, seq)

    def has_signed(self, hash_: bytes) -> bool:
        return False

    async def commit(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        raise AssertionError

    async def end(self, project: ProjectId, known: Seq) -> Seq:
        raise AssertionError

    async def kept(self, project: ProjectId, seq: Seq) -> bytes:
        raise AssertionError

    async def put_back(self, project: ProjectId, seq: Seq) -> CommitReply:
        raise AssertionError

    def lost(self, project: ProjectId) -> list[Seq]:
        raise AssertionError

    async def forget(self, project: ProjectId) -> None:
        raise AssertionError


async def test_an_entry_longer_than_was_asked_for_is_not_read(tmp_path: Path) -> None:
    size = 1024 * 1024
    routes = JournalRoutes(Journal(size), MountTable())
    async with served(tmp_path / "daemon.sock", routes) as client:
        for _ in range(3):
            with pytest.raises(Malformed, match="longer than"):
                await client.journal.entry(PROJECT, Seq(1), size)
        for most in (size + FRAME_BYTES, None):
            slot = await client.journal.entry(PROJECT, Seq(1), most)
            assert slot is not None
            assert slot.body == bytes(size)
