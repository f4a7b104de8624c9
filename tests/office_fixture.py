"""Nodes of one office on loopback: real device keys, real TLS, real HTTP, a bucket in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random  # noqa: TID251 - seeded, here only

from disk_fixture import Told

from lucidnode.discovery.candidate import Candidate
from lucidnode.node.blocks.fetch import BlockCache, BlockSource
from lucidnode.node.bucket.pace import RateLimit
from lucidnode.node.cache.change import Whose
from lucidnode.node.cache.held_file import HeldFile
from lucidnode.node.cache.verified import Ciphertext, block_id, verified
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import NotThere
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.wire import Source
from lucidnode.node.descriptors import MAX_CONNECTIONS
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.peers.messages import PeerSummary
from lucidnode.node.peers.network import PeerNetwork, PeerSettings
from lucidnode.node.peers.news import NewsSource
from lucidnode.node.peers.own_instance import OwnInstance

PROJECT = ProjectId("0f" * 16)
LAN_KEY = b"k" * 32


class Roll:
    """A roster of devices that a test edits."""

    def __init__(self, *identities: DeviceIdentity) -> None:
        self.certificates = {identity.id: identity.certificate for identity in identities}
        self.known = {PROJECT}
        self.head = Seq(1), b"r" * 32

    def devices(self) -> Mapping[DeviceId, bytes]:
        return self.certificates

    def projects(self) -> Collection[ProjectId]:
        return self.known

    def log_head(self) -> tuple[Seq, bytes]:
        return self.head


SUMMARY = PeerSummary("0.1.0", 60, 1, 2, 3, 0, 0, 1, {}, {})
"""How each node of an office says that it is."""


@dataclass
class Count:
    """Implements Traffic."""

    sources: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)

    def fetched(self, source: Source, seconds: float) -> None:
        self.sources[source] += 1
        self.waits.append(seconds)

    def received(self, size: int) -> None:
        self.bytes["received"] += size

    def served(self, size: int) -> None:
        self.bytes["served"] += size

    def wasted(self, reason: str, size: int) -> None:
        self.bytes[reason] += size

    def peer_failed(self, reason: str) -> None:
        self.failures[reason] += 1


class MemoryCache:
    """Implements BlockCache."""

    def __init__(self) -> None:
        self.blocks: dict[BlockId, bytes] = {}

    async def get(self, block: BlockId) -> bytes | None:
        await asyncio.sleep(0)
        return self.blocks.get(block)

    async def open_held(self, block: BlockId) -> HeldFile | None:
        return None  # what is only in memory has no file

    async def put(self, block: BlockId, ciphertext: Ciphertext, whose: Whose = "ours") -> bool:
        await asyncio.sleep(0)
        self.blocks[block] = bytes(ciphertext)
        return True


class NothingStaged:
    """Implements StagedBlocks."""

    async def read(self, project: ProjectId, block: BlockId) -> bytes | None:
        return None


class Bucket:
    """The one bucket of the office: counts what is read from it."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.blocks: dict[BlockId, bytes] = {}
        self.gets: Counter[BlockId] = Counter()
        self.seconds = seconds

    def store(self, ciphertext: bytes) -> BlockId:
        block = block_id(ciphertext)
        self.blocks[block] = ciphertext
        return block

    def fill(self, count: int, size: int, seed: int = 1) -> list[BlockId]:
        """Store *count* blocks of *size* random bytes."""
        rng = Random(seed)
        return [self.store(rng.randbytes(size)) for _ in range(count)]

    async def read(self, project: ProjectId, block: BlockId) -> bytes:
        self.gets[block] += 1
        await asyncio.sleep(self.seconds)
        if block not in self.blocks:
            raise NotThere(block.hex())
        return verified(block, self.blocks[block])


@dataclass
class Heard:
    """Implements Events."""

    pushes: list[tuple[DeviceId, ProjectId, Seq]] = field(default_factory=list)
    heads_of: dict[DeviceId, Mapping[ProjectId, Sequence[tuple[Seq, bytes]]]] = field(
        default_factory=dict
    )
    rosters: dict[DeviceId, tuple[Seq, bytes]] = field(default_factory=dict)
    days_of: dict[DeviceId, Mapping[str, Sequence[int]]] = field(default_factory=dict)
    copies: list[str] = field(default_factory=list)
    words: list[tuple[DeviceId, ProjectId, bytes]] = field(default_factory=list)

    def pushed(self, device: DeviceId, project: ProjectId, seq: Seq) -> None:
        self.pushes.append((device, project, seq))

    def heads(
        self, device: DeviceId, heads: Mapping[ProjectId, Sequence[tuple[Seq, bytes]]]
    ) -> None:
        self.heads_of[device] = heads

    def days(self, device: DeviceId, days: Mapping[str, Sequence[int]]) -> None:
        self.days_of[device] = {**self.days_of.get(device, {}), **days}

    def word(self, device: DeviceId, project: ProjectId, word: bytes) -> None:
        self.words.append((device, project, word))

    def roster_head(self, device: DeviceId, seq: Seq, hash_: bytes) -> None:
        self.rosters[device] = seq, hash_


@dataclass
class Node:
    """One running workstation."""

    identity: DeviceIdentity
    office: PeerNetwork
    source: BlockSource
    cache: MemoryCache
    traffic: Count
    heard: Heard
    own_heads: dict[ProjectId, list[tuple[Seq, bytes]]]
    own_totals: dict[str, int]
    own_days: dict[str, list[int]]
    told: list[str]

    @property
    def place(self) -> Candidate:
        return Candidate(("127.0.0.1",), self.office.control_port)

    def usable(self) -> set[DeviceId]:
        return set(self.office.holders())


@contextlib.asynccontextmanager
async def node(
    identity: DeviceIdentity,
    roll: Roll,
    bucket: Bucket,
    *peers: Candidate,
    weight: int = 4,
    control_port: int = 0,
    host: str | None = "127.0.0.1",
    offers_bytes: int = 1024**3,
    memory: MemoryBudget | None = None,
    disk: BlockCache | None = None,
    serves: bool = True,
    asks: bool = True,
    encrypt: bool = False,
    upload_limit: RateLimit | None = None,
    download_limit: RateLimit | None = None,
    is_quiet: Callable[[], bool] = lambda: False,
    admits: Callable[[str], bool] = lambda _: True,
) -> AsyncIterator[Node]:
    """Run a node that dials *peers* and listens on *host*; *disk* takes the place of its cache."""
    traffic, heard, cache = Count(), Heard(), MemoryCache()
    alerts = Told([])
    heads: dict[ProjectId, list[tuple[Seq, bytes]]] = {}
    totals: dict[str, int] = {}
    days: dict[str, list[int]] = {}
    clock = SystemClock()
    office = PeerNetwork(
        identity=identity,
        lan_key=LAN_KEY,
        instance=OwnInstance(heard.copies.append, alerts, clock),
        members=roll,
        settings=PeerSettings(
            weight=weight,
            control_port=control_port,
            body_port=0,
            connections=MAX_CONNECTIONS,
            offers_bytes=offers_bytes,
            host=host,
            serves=serves,
            asks=asks,
            encrypt=encrypt,
        ),
        traffic=traffic,
        alerts=alerts,
        memory=memory or MemoryBudget(1 << 29),
        clock=clock,
        jitter=Random(1).random,
        upload_limit=lambda: upload_limit,
        is_quiet=is_quiet,
        admits=admits,
    )
    async with asyncio.TaskGroup() as tasks:
        source = BlockSource(
            cache=disk or cache,
            staging=NothingStaged(),
            office=office,
            bucket=bucket.read,
            traffic=traffic,
            clock=clock,
            tasks=tasks,
            office_limit=lambda: download_limit,
        )
        office.name_peers(peers)
        async with office.open(
            source,
            events=heard,
            news=NewsSource(
                heads=lambda: heads,
                totals=lambda: totals,
                days=lambda: days,
                summary=lambda: SUMMARY,
            ),
        ):
            yield Node(
                identity, office, source, cache, traffic, heard, heads, totals, days, alerts.told
            )


def identities(directory: Path, count: int) -> list[DeviceIdentity]:
    """Make *count* device keys."""
    return [DeviceIdentity.create(directory / f"device{n}.pem") for n in range(count)]


@contextlib.asynccontextmanager
async def office_of(count: int, directory: Path, bucket: Bucket) -> AsyncIterator[list[Node]]:
    """Run *count* nodes that all know each other."""
    keys = identities(directory, count)
    roll = Roll(*keys)
    async with contextlib.AsyncExitStack() as stack:
        nodes: list[Node] = []
        for key in keys:
            places = [n.place for n in nodes]
            nodes.append(await stack.enter_async_context(node(key, roll, bucket, *places)))
        await until(lambda: all(len(n.usable()) == count - 1 for n in nodes))
        yield nodes


async def until(happened: object, seconds: float = 40.0) -> None:
    """Wait until *happened()* is true; fail after *seconds*."""
    assert callable(happened)
    async with asyncio.timeout(seconds):
        while not happened():
            await asyncio.sleep(0.01)
