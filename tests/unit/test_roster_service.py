"""Laws of the node's copy of the membership log: whole, each entry once, never rolled back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from studio_fixture import Studio

from lucidnode.node import register
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.keys import roster_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import Seq
from lucidnode.node.roster_service import RosterService


class SlowBucket(MemoryBucket):
    """Answers after others have had their turn, or not at all while *away*."""

    away = False

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("away")
        return await super().get(key, span)


class Scene:
    """A studio in a bucket, and services of one node over it."""

    def __init__(self, folder: Path) -> None:
        self.studio = Studio()
        self.bucket = SlowBucket()
        self._saved = folder / "roster.bin"

    async def publish(self) -> None:
        for seq, entry in enumerate(self.studio.entries, start=1):
            await self.bucket.put(roster_key(Seq(seq)), entry)

    def service(self) -> RosterService:
        return RosterService(
            bucket=self.bucket,
            genesis=self.studio.ada.genesis,
            saved=self._saved,
            clock=SystemClock(),
            changed=lambda roster: None,
            commit=self._commit,
        )

    async def _commit(
        self, key: str, body: bytes
    ) -> register.Committed | register.Lost | register.Unknown:
        clock = SystemClock()
        return await register.commit(self.bucket, key, body, clock, clock.boot() + 5, lambda: 0.5)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_looks_at_the_same_time_take_each_entry_once(scene: Scene) -> None:
    await scene.publish()
    service = scene.service()
    await service.know()
    scene.studio.join()
    await scene.publish()
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(service.refresh())
    assert await service.entries() == scene.studio.entries
    assert not service.current.voids


async def test_without_the_bucket_a_node_goes_on_with_what_it_knows(
    scene: Scene, expected_warnings: list[str]
) -> None:
    await scene.publish()
    await scene.service().know()
    scene.bucket.away = True
    service = scene.service()
    await service.know()
    assert service.current.head == len(scene.studio.entries)
    assert await service.entries() == scene.studio.entries
    expected_warnings.append("the bucket does not answer")


async def test_a_log_that_got_shorter_changes_nothing(scene: Scene) -> None:
    scene.studio.join()
    await scene.publish()
    service = scene.service()
    await service.know()
    await scene.bucket.delete(roster_key(Seq(len(scene.studio.entries))))
    await service.refresh()
    assert await service.entries() == scene.studio.entries


async def test_a_first_look_needs_the_bucket_and_a_studio_in_it(scene: Scene) -> None:
    with pytest.raises(WrongBucket):
        await scene.service().know()
    scene.bucket.away = True
    with pytest.raises(Unavailable, match="has not met it before"):
        await scene.service().know()


async def test_an_entry_appended_is_known_at_once(scene: Scene) -> None:
    await scene.publish()
    service = scene.service()
    await service.know()
    invite = scene.studio.invite()
    assert invite.public not in service.current.invites
    reply = await service.append(Seq(2), scene.studio.entries[1])
    assert reply.outcome == "committed"
    assert invite.public in service.current.invites
