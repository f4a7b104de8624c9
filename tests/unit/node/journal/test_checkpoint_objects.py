"""Manifests in the bucket: listed, created once, and only those of the device itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from disk_fixture import ManualClock

from lucidnode.node.bucket.keys import checkpoint_key, journal_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.checkpoint import CheckpointHeader, checkpoint_message
from lucidnode.node.client.errors import Malformed, NotThere, Refused
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.wire import CommitRequest
from lucidnode.node.journal.checkpoint_objects import CheckpointObjects

PROJECT = ProjectId("ab" * 16)
DEVICE = DeviceId("cd" * 16)
BLOCK = BlockId(b"b" * 32)


class Uploads:
    def __init__(self) -> None:
        self.told: list[str] = []

    async def wait_for(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        self.told.append(f"wait for {len(blocks)}")

    def committed(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        self.told.append(f"release {len(blocks)}")


class Desk:
    def __init__(self) -> None:
        self.bucket = MemoryBucket()
        self.uploads = Uploads()
        self.objects = CheckpointObjects(
            self.bucket, self.uploads, DEVICE, lambda what: what[:64], ManualClock(), lambda: 0.5
        )


def unsigned(seq: int, nonce: bytes = bytes(32), device: DeviceId = DEVICE) -> CommitRequest:
    header = CheckpointHeader(Seq(seq), PROJECT, b"l" * 32, 1, device, nonce)
    return CommitRequest(header.encode() + bytes(288), [BLOCK])


async def test_the_first_manifest_of_an_entry_stays() -> None:
    desk = Desk()
    first = await desk.objects.make(PROJECT, Seq(1000), unsigned(1000))
    assert first.outcome == "committed"
    assert first.body[-64:] == checkpoint_message(unsigned(1000).unsigned)[:64]
    assert desk.uploads.told == ["wait for 1", "release 1"]
    second = await desk.objects.make(PROJECT, Seq(1000), unsigned(1000, b"2" * 32))
    assert (second.outcome, second.body) == ("lost", first.body)
    assert await desk.objects.manifest(PROJECT, Seq(1000)) == first.body
    with pytest.raises(NotThere):
        await desk.objects.manifest(PROJECT, Seq(2000))


async def test_what_belongs_elsewhere_is_not_signed() -> None:
    desk = Desk()
    for request in (unsigned(2000), unsigned(1000, device=DeviceId("ee" * 16))):
        with pytest.raises(Refused):
            await desk.objects.make(PROJECT, Seq(1000), request)
    with pytest.raises(Refused):
        await desk.objects.make(ProjectId("cd" * 16), Seq(1000), unsigned(1000))
    with pytest.raises(Malformed):
        await desk.objects.make(PROJECT, Seq(1000), CommitRequest(b"LNJ", []))
    assert await desk.objects.seqs(PROJECT) == []


async def test_all_are_listed_and_nothing_else() -> None:
    desk = Desk()
    await desk.bucket.create(journal_key(PROJECT, Seq(7)), b"")
    for name in ("0", "x" * 16, "0" * 16, "1" * 17):
        await desk.bucket.create(f"p/{PROJECT}/checkpoint/{name}", b"")
    for seq in range(1, 1203):
        await desk.bucket.create(checkpoint_key(PROJECT, Seq(seq)), b"")
    assert await desk.objects.seqs(PROJECT) == list(range(1, 1203))


async def test_a_word_on_a_checkpoint_is_signed_once_and_listed_beside_it() -> None:
    desk = Desk()
    await desk.objects.make(PROJECT, Seq(1000), unsigned(1000))
    for manifest in (b"m" * 32, b"n" * 32):
        await desk.objects.attest(PROJECT, Seq(1000), manifest)
    assert await desk.objects.attestations(PROJECT) == [(1000, DEVICE)]
    assert await desk.objects.seqs(PROJECT) == [1000], "its name is no checkpoint's"
    body = await desk.objects.attestation(PROJECT, Seq(1000), DEVICE)
    assert body[44:76] == b"m" * 32, "the first one stays"
    with pytest.raises(Refused):
        await desk.objects.attest(PROJECT, Seq(1000), b"short")


async def test_a_checkpoint_goes_with_what_was_said_of_it_and_no_other_does() -> None:
    desk = Desk()
    for seq in (1000, 2000):
        await desk.objects.make(PROJECT, Seq(seq), unsigned(seq))
        await desk.objects.attest(PROJECT, Seq(seq), b"m" * 32)
    assert await desk.objects.delete(PROJECT, [Seq(1000), Seq(3000)]) == [1000, 3000]
    assert await desk.objects.seqs(PROJECT) == [2000]
    assert await desk.objects.attestations(PROJECT) == [(2000, DEVICE)]
