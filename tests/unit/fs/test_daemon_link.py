"""A mount and its daemon over a real socket: what fails ends one question, and no more."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from socket_fixture import served

from lucidnode.fs.daemon_link import DaemonLink, Facts
from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import Alert, Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.conflicts import ConflictQuery, ConflictReply
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.mounts import DaemonEvents
from lucidnode.node.client.errors import (
    AccessDenied,
    NodeError,
    Refused,
)
from lucidnode.node.client.file_blocks import BlocksPage, BlocksQuery
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.pins import PinsQuery, PinsReply
from lucidnode.node.client.supervision import supervised
from lucidnode.node.client.webhooks import ProjectWebhooks, WebhookQuery, WebhookReply
from lucidnode.node.daemon_socket.mounts import MountRoutes
from lucidnode.node.mounts import Mount, MountTable

PROJECT = ProjectId("0" * 32)


class Listener:
    """A project whose totals overflow for a while."""

    def __init__(self) -> None:
        self.size = 2**63
        self.read_again = 0
        self.pending = 0
        self.words: list[tuple[DeviceId, bytes]] = []
        self.unlinked: list[DeviceId] = []

    def hinted(self, seq: Seq) -> None: ...

    def roster_news(self) -> None: ...

    def copy_met(self, host: str) -> None: ...

    def office_word(self, device: DeviceId, word: bytes) -> None:
        self.words.append((device, word))

    def not_linked(self, device: DeviceId) -> None:
        self.unlinked.append(device)

    def uploaded(self, blocks: list[BlockId]) -> None: ...

    def stats(self) -> mount_messages.MountStats:
        return mount_messages.MountStats(read_again=self.read_again, pending=self.pending)

    def follow(self, *, names: bool) -> None: ...

    def ignore(self) -> None: ...

    def accesses(self) -> mount_messages.Accesses | None:
        return None

    async def pins(self, query: PinsQuery) -> PinsReply:
        return PinsReply(query.number, [])

    def webhooks(self) -> ProjectWebhooks:
        return ProjectWebhooks([])

    async def webhook(self, query: WebhookQuery) -> WebhookReply:
        return WebhookReply(query.number, 0.0, 0, 0)

    async def settle(self, query: ConflictQuery) -> ConflictReply:
        return ConflictReply(query.number)

    def facts(self) -> Facts:
        if self.size >= 2**63:
            raise OverflowError("a sum too large")
        return {"bytes": self.size}

    async def events(self, query: mount_messages.EventsQuery) -> mount_messages.EventsPage:
        return mount_messages.EventsPage(query.number, [], (query.after or 0) + 1, 0)

    async def blocks(self, query: BlocksQuery) -> BlocksPage:
        return BlocksPage(query.number, [], None)

    def alerts(self, *, every: bool) -> list[Alert]:
        return []

    async def names(self, devices: Sequence[str]) -> dict[str, str]:
        return {device: f"called {device}" for device in devices}

    def files_on_their_way(self) -> list[mount_messages.FileOnItsWay]:
        return []

    def leases(self) -> list[mount_messages.FileLease]:
        return []

    async def ask_elsewhere(self) -> None: ...

    async def tokens(self) -> list[mount_messages.FileToken]:
        return []


class Node:
    """A daemon's socket, for mounts."""

    def __init__(self, path: Path) -> None:
        self.path = path / "daemon.sock"
        self.clock = SystemClock()
        self.alerts = Alerts(self.clock)
        self.mounts = MountTable()
        self.refusal: NodeError | None = None
        self.is_linked = True
        self.relayed: list[tuple[DeviceId, ProjectId, bytes]] = []

    async def welcome(self) -> mount_messages.MountWelcome:
        if self.refusal is not None:
            raise self.refusal
        return mount_messages.MountWelcome("d", "/b", "/s", 1, 1)

    def relay(self, device: DeviceId, project: ProjectId, word: bytes) -> bool:
        self.relayed.append((device, project, word))
        return self.is_linked

    def serving(self) -> contextlib.AbstractAsyncContextManager[DaemonClient]:
        room = MountRoutes(self.mounts, self.welcome, self.relay, self.alerts)
        return served(self.path, room, alerts=self.alerts)

    def link(self, client: DaemonClient) -> DaemonLink:
        hello = partial(mount_messages.MountHello, "/mnt", os.getpid(), 0)
        return DaemonLink(client.mounts, PROJECT, hello, self.clock)


async def test_a_project_that_cannot_be_described_stays_connected(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += ["describing the project failed", "describing the project has failed"]
    node, listener = Node(tmp_path), Listener()
    alerts = Alerts(node.clock)
    async with (
        node.serving() as client,
        node.link(client) as link,
        supervised(alerts, node.clock) as tasks,
    ):
        running = tasks.create_task(link.run(listener, tasks))
        [mount] = node.mounts
        assert await mount.describe(every_alert=False) is None
        assert alerts.is_on("work:describing the project")
        listener.size = 7
        answer = await asyncio.wait_for(_described(mount), 5)
        assert answer.facts == {"bytes": 7}
        named = await mount.describe(every_alert=False, devices=["d1"])
        assert named is not None
        assert named.names == {"d1": "called d1"}
        # What waits is known with the answer, not with the totals of the next second.
        listener.pending = 5
        assert await mount.describe(every_alert=False) is not None
        assert mount.stats.pending == 5
        assert not running.done()


async def test_a_word_to_another_mount_goes_over_the_daemon_or_is_said_to_have_no_way(
    tmp_path: Path,
) -> None:
    node, listener = Node(tmp_path), Listener()
    alerts = Alerts(node.clock)
    other = DeviceId("b" * 32)
    async with (
        node.serving() as client,
        node.link(client) as link,
        supervised(alerts, node.clock) as tasks,
    ):
        _ = tasks.create_task(link.run(listener, tasks))
        [mount] = node.mounts
        mount.tell(mount_messages.OfficeMessage(other, b"sealed there"))
        link.say(other, b"sealed here")
        await _until(lambda: bool(node.relayed and listener.words))
        assert node.relayed == [(other, PROJECT, b"sealed here")]
        assert listener.words == [(other, b"sealed there")]
        assert not listener.unlinked
        node.is_linked = False
        link.say(other, b"sealed again")
        await _until(lambda: bool(listener.unlinked))
        assert listener.unlinked == [other]


class Melt(msgspec.Struct, frozen=True, tag="melt"):
    """A message of a kind that only a later release has."""

    number: int = 5


class OtherHello(msgspec.Struct, frozen=True, tag="hello"):
    """The first message, as no daemon of this release understands it."""

    mountpoint: int = 5
    told: object = None


async def test_a_daemon_that_does_not_understand_a_mount_is_of_another_release(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("a mount was disconnected: not the MessagePack that is expected here")
    node = Node(tmp_path)
    async with node.serving() as client:
        link = DaemonLink(client.mounts, PROJECT, lambda: cast("Any", OtherHello()), node.clock)
        with pytest.raises(Refused, match=r"is of another release, .*`lucidnode exit`"):
            await link.__aenter__()


async def test_what_only_a_later_release_says_is_passed_over_by_either_side(
    tmp_path: Path,
) -> None:
    node, listener = Node(tmp_path), Listener()
    other, later = DeviceId("b" * 32), cast("Any", Melt())
    async with (
        node.serving() as client,
        node.link(client) as link,
        supervised(Alerts(node.clock), node.clock) as tasks,
    ):
        _ = tasks.create_task(link.run(listener, tasks))
        [mount] = node.mounts
        mount.tell(later)
        mount.tell(mount_messages.OfficeMessage(other, b"behind it"))
        link._words.put_nowait(later)
        link.say(other, b"behind it")
        await _until(lambda: bool(node.relayed and listener.words))
        assert list(node.mounts) == [mount], "it was not disconnected"


async def test_a_new_daemon_counts_what_the_one_before_was_not_told(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += ["connection to the daemon has ended"]
    node, listener = Node(tmp_path), Listener()
    alerts = Alerts(node.clock)
    async with DaemonClient(node.path) as client, contextlib.AsyncExitStack() as mounted:
        async with node.serving():
            link = await mounted.enter_async_context(node.link(client))
            tasks = await mounted.enter_async_context(supervised(alerts, node.clock))
            running = tasks.create_task(link.run(listener, tasks))
            listener.read_again = 700
            await _until_counted(node, 700)
        await until_gone(node)
        node.mounts = MountTable()
        listener.read_again = 750
        async with node.serving():
            await _until_counted(node, 50)
        running.cancel()


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():
            await asyncio.sleep(0.01)


async def _until_counted(node: Node, read_again: int) -> None:
    async with asyncio.timeout(30):
        while node.mounts.totals().read_again != read_again:
            await asyncio.sleep(0.01)


async def _described(mount: Mount) -> mount_messages.StatusReply:
    while (answer := await mount.describe(every_alert=False)) is None:
        pass
    return answer


@pytest.mark.parametrize(
    "refusal", [Refused("the bucket is unfit: create-if-absent"), AccessDenied("another user")]
)
async def test_a_mount_that_is_not_let_in_hears_why_in_words(
    tmp_path: Path, refusal: NodeError
) -> None:
    node = Node(tmp_path)
    node.refusal = refusal
    async with node.serving() as client:
        with pytest.raises(type(refusal), match=str(refusal)):
            async with node.link(client):
                pass


async def test_a_mount_that_dies_is_an_alert_until_it_is_back(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += ["has lost its process"]
    node = Node(tmp_path)
    topic = f"mount-lost:{PROJECT}"
    async with node.serving() as client:
        async with node.link(client):
            pass
        await until_gone(node)
        assert not node.alerts.is_on(topic)
        async with client.mounts.events(PROJECT, mount_messages.MountHello("/mnt", os.getpid(), 0)):
            pass
        await until_gone(node)
        assert node.alerts.is_on(topic)
        async with node.link(client):
            assert not node.alerts.is_on(topic)


async def failing(link: DaemonLink, *, has_served: bool) -> None:
    async with link:
        link.has_served = has_served
        raise Refused("the kernel does not let us mount")


async def test_a_mount_that_fails_before_it_serves_was_none_and_is_no_alert(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += ["has lost its process"]
    node = Node(tmp_path)
    async with node.serving() as client:
        for has_served in (False, True):
            with pytest.raises(Refused):
                await failing(node.link(client), has_served=has_served)
            await until_gone(node)
            assert node.alerts.is_on(f"mount-lost:{PROJECT}") == has_served


async def until_gone(node: Node) -> None:
    while list(node.mounts):
        await asyncio.sleep(0)


async def test_a_daemon_that_ends_does_not_take_its_mounts_for_dead(tmp_path: Path) -> None:
    node = Node(tmp_path)
    hello = mount_messages.MountHello("/mnt", os.getpid(), 0)
    async with DaemonClient(node.path) as client, contextlib.AsyncExitStack() as mounted:
        async with node.serving():
            events = await mounted.enter_async_context(client.mounts.events(PROJECT, hello))
            reading = asyncio.ensure_future(_all_of(events))
        await reading
    assert not node.alerts.current()


async def _all_of(events: DaemonEvents) -> list[mount_messages.FromDaemon]:
    return [message async for message in events]
