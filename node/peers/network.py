"""The other nodes on the LAN, as the rest of the daemon sees them.

Every node dials every other it hears of, so between two there are usually two links. Over the one
we dialled we are given access to the peer's blocks; what is said goes over either (talk.py). A peer
that dials us and that we did not know is dialled back.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from lucidnode.discovery.candidate import Candidate
from lucidnode.node.blocks.fetch import FetchAttempt, PassedOver
from lucidnode.node.blocks.traffic import Traffic
from lucidnode.node.bucket.pace import Pace, RateLimit
from lucidnode.node.cache.verified import Ciphertext
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId
from lucidnode.node.client.supervision import Tasks, supervised
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.peers.block_client import PeerBlockClient
from lucidnode.node.peers.body_client import BodyClient
from lucidnode.node.peers.body_server import BlockProvider
from lucidnode.node.peers.dialer import PeerDialer
from lucidnode.node.peers.link import LINK_BYTES, PeerLink
from lucidnode.node.peers.link_dialer import LinkDialer
from lucidnode.node.peers.members import Members
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.peers.messages import (
    PROTOCOL,
    HandshakeRequest,
    HandshakeResponse,
)
from lucidnode.node.peers.news import NewsSource
from lucidnode.node.peers.own_instance import OwnInstance
from lucidnode.node.peers.peer_table import PeerTable
from lucidnode.node.peers.server import NoServer, PeerServer
from lucidnode.node.peers.sessions import ClientSession
from lucidnode.node.peers.status import PeerStatus, status_of
from lucidnode.node.peers.talk import PeerEvents, PeerTalk
from lucidnode.node.peers.tls import Tls
from lucidnode.node.peers.tls_pipe import dialled

MAX_INCOMING_LINKS = 2
"""Links that one device may have to us: the one it has, and the one that takes its place."""

COPY_MET_S = 60.0
"""Seconds for which a daemon with our own key is an alert after it was met. It is dialled every five."""

ROUND_INTERVAL_S = 1.0
"""Seconds between looks at what has changed: absences, heads, counters."""


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """How this node takes part. Host None listens everywhere.

    Unless it *serves*, nobody reaches it and it owns nothing; unless it *asks*, it dials nobody.
    """

    weight: int
    control_port: int
    body_port: int
    connections: int
    """How many each port may have open."""
    offers_bytes: int
    """What one device may put into the cache here in an hour."""
    usual_ports: tuple[int, int] = (0, 0)
    """What is taken for control and bodies where the port is 0, if nobody else has it."""
    host: str | None = None
    serves: bool = True
    asks: bool = True
    encrypt: bool = False
    """Whether blocks go within TLS alone, and are asked of nobody who does otherwise."""


class PeerNetwork:
    """Peers linked, asked and told. Implements `PeerBlockSource` and `DiscoveryListener`.

    *jitter* returns a random number from 0 up to 1. Blocks for others are held to *upload_limit*; they
    get none while this node *is_quiet*. *admits* says on which addresses of ours callers are heard.
    """

    def __init__(
        self,
        *,
        identity: DeviceIdentity,
        lan_key: bytes,
        instance: OwnInstance,
        members: Members,
        settings: PeerSettings,
        traffic: Traffic,
        alerts: Alerts,
        memory: MemoryBudget,
        clock: Clock,
        jitter: Callable[[], float],
        upload_limit: Callable[[], RateLimit | None] = lambda: None,
        is_quiet: Callable[[], bool] = lambda: False,
        admits: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._pace = Pace(upload_limit, clock)
        self._is_quiet = is_quiet
        self._admits = admits
        self._memory = memory
        memory.watch(self._held_by_links)
        self._me = identity.id
        self._lan_key = lan_key
        self._members = members
        self._settings = settings
        self._traffic = traffic
        self._alerts = alerts
        self._clock = clock
        self._instance = instance
        self._copies_met = 0
        self._peers = PeerTable(identity.id, settings.weight, owns=settings.serves)
        self.talk = PeerTalk(self._peers, members, clock)
        self.heard = self.talk.heard  # over links that were dialled from either end
        self._tls = Tls(identity, members)
        self._bodies = BodyClient(traffic, self._inside_tls)
        self._block_client = PeerBlockClient(
            peers=self._peers,
            bodies=self._bodies,
            traffic=traffic,
            alerts=alerts,
            clock=clock,
        )
        self._link_dialer = LinkDialer(
            lan_key=lan_key, tls=self._tls, members=members, outgoing=self, hello=self._hello
        )
        self._named: set[str] = set()
        self._dialer = PeerDialer(
            me=identity.id,
            dial=self._dial,
            worth_dialling=self._worth_dialling,
            clock=clock,
            jitter=jitter,
        )
        self._tasks: Tasks | None = None
        self.control_port = settings.control_port
        self.body_port = settings.body_port

    @asynccontextmanager
    async def open(
        self,
        provider: BlockProvider,
        *,
        events: PeerEvents,
        news: NewsSource,
    ) -> AsyncIterator[None]:
        """Listen, dial, and serve the blocks of *provider* while the context lasts.

        *events* hears what peers say; *news* is what they are told of this node, whenever it has changed.

        Raises PortTaken. `control_port` and `body_port` are the real ones from here on.
        """
        settings = self._settings
        # Who serves nobody is reached by nobody: a port that answered would only be asked in vain.
        server_or_not = (
            PeerServer(
                settings.host, settings.control_port, settings.body_port, settings.usual_ports
            )
            if settings.serves
            else NoServer()
        )
        with server_or_not as server, self._bodies:
            self.control_port, self.body_port = server.control_port, server.body_port
            serving = partial(
                server.serve,
                tls=self._tls,
                lan_key=self._lan_key,
                members=self._members,
                provider=provider,
                traffic=self._traffic,
                wanted=lambda block: self._me in self._peers.owners(block),
                incoming=self,
                instance=self._instance.id,
                weight=settings.weight,
                most=settings.connections,
                offers_bytes=settings.offers_bytes,
                encrypt=settings.encrypt,
                memory=self._memory,
                pace=self._pace,
                is_quiet=self._is_quiet,
                admits=self._admits,
            )
            async with (
                self._link_dialer,
                supervised(self._alerts, self._clock) as work,
            ):
                self._tasks = work
                self.talk.begin(events, news)
                self._block_client.begin(work)
                if settings.asks:
                    self._dialer.begin(work)
                work.keep("answering peers", partial(serving, tasks=work))
                work.keep("telling peers the news", self._run_rounds)
                try:
                    yield
                finally:
                    self._tasks = None
                    self.talk.end()

    # -- who is there (DiscoveryListener, and the daemon) ----------------------------------------

    def found(self, instance: str, candidate: Candidate) -> None:
        """Dial *candidate* from now on."""
        self._dialer.add(f"found:{instance}", candidate)

    def gone(self, instance: str) -> None:
        """Dial there no more; a link that is up stays up, whoever says otherwise."""
        self._dialer.drop(f"found:{instance}")

    def name_peers(self, peers: Iterable[Candidate]) -> None:
        """Dial the places that people named, from now on, and none that they named before."""
        named = {f"given:{peer.hosts[0]}:{peer.port}": peer for peer in peers}
        for gone in self._named - named.keys():
            self._dialer.drop(gone)
        for name, candidate in named.items():
            if name not in self._named:
                self._dialer.add(name, candidate)
        self._named = set(named)

    def roster_changed(self) -> None:
        """Go by the roster as it is now: links to devices that are no longer in it are closed."""
        self._tls.refresh()
        members = self._members.devices()
        for peer in self._peers:
            if peer.device not in members:
                self._peers.forget(peer.device)
                for link in filter(None, (peer.outgoing, *peer.incoming)):
                    self._start(link.close())

    def shares(self) -> dict[str, float]:
        """Return which fraction of all blocks each device owns, this one included."""
        return self._peers.shares()

    def facts(self) -> list[PeerStatus]:
        """Return what there is to say of each peer."""
        shares = self._peers.shares()
        return [status_of(n, shares.get(n.device, 0.0)) for n in self._peers]

    # -- blocks (PeerBlockSource) ---------------------------------------------------------------

    def owns(self, block: BlockId) -> bool:
        """Return whether this node reads *block* through for the office."""
        return self._peers.owns(block)

    def route(self, block: BlockId) -> Sequence[FetchAttempt]:
        """Return whom to ask for *block* before the bucket, best first."""
        return self._peers.route(block)

    def holders(self) -> Sequence[DeviceId]:
        """Return every peer that can be asked now."""
        return self._peers.holders()

    def passed_over(self, block: BlockId) -> Sequence[PassedOver]:
        """Return the owners of *block* that are not asked now, and why."""
        return self._peers.passed_over(block)

    async def ask(
        self, device: DeviceId, project: ProjectId, block: BlockId, *, through: bool
    ) -> Ciphertext | None:
        """Return the verified block from *device*, or None; see `PeerBlockSource.ask`."""
        return await self._block_client.ask(device, project, block, through=through)

    def lost_hedge(self, device: DeviceId) -> None:
        """Hear that *device* was much slower than another source."""
        self._block_client.lost_hedge(device)

    async def offer(self, project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
        """Hand a copy of *block* to its owners in the office. Bounded in time; never raises."""
        await self._block_client.offer(project, block, ciphertext)

    # -- links coming and going --------------------------------------------------------------

    def reached(self, link: PeerLink, welcome: HandshakeResponse) -> bool:
        """Take a link we dialled; see `Outgoing`."""
        if self._is_myself(link):
            return False
        known = self._peers.met(link.device).outgoing
        if known is not None:
            if known.instance == link.instance:
                return False
            self._start(known.close())  # of a daemon that has restarted since
        # Where blocks are to go within TLS alone, who takes and gives them otherwise is not asked.
        is_asked = welcome.encrypted or not self._settings.encrypt
        access = ClientSession(link.host, welcome) if is_asked else None
        self._peers.reached(link, access, welcome.weight)
        self.talk.introduce(link)
        return True

    def lost(self, link: PeerLink) -> None:
        """Note that a link we dialled has ended."""
        self._peers.lost(link, self._clock.boot())

    def arrived(self, link: PeerLink, hello: HandshakeRequest) -> bool:
        """Take a link that a peer dialled; see `Incoming`."""
        if self._is_myself(link):
            return False
        incoming = self._peers.met(link.device).incoming
        incoming.append(link)
        if len(incoming) > MAX_INCOMING_LINKS:
            # A daemon that starts again may leave one behind; more is nobody's need.
            self._start(incoming[0].close())
        self._dialer.add(
            f"back:{link.device}", Candidate((link.host,), hello.control_port, link.device)
        )
        self.talk.introduce(link)
        return True

    def left(self, link: PeerLink) -> None:
        """Note that a link a peer dialled has ended."""
        peer = self._peers.get(link.device)
        if peer is not None and link in peer.incoming:
            peer.incoming.remove(link)
        if peer is None or not peer.incoming:
            self._dialer.drop(f"back:{link.device}")

    def _held_by_links(self) -> int:
        """Return what links may hold here but for what counts with their connections."""
        dialled = sum(LINK_BYTES for n in self._peers if n.outgoing is not None)
        links = [link for n in self._peers for link in (n.outgoing, *n.incoming)]
        return dialled + sum(link.waiting for link in links if link is not None)

    def _hello(self) -> HandshakeRequest:
        return HandshakeRequest(
            PROTOCOL, self._instance.id, self.control_port, self._settings.weight
        )

    def _is_myself(self, link: PeerLink) -> bool:
        if link.device != self._me:
            return False
        if link.instance != self._instance.id:
            self._copies_met += 1
            self._instance.meet(link.instance, link.host, COPY_MET_S)
        return True

    async def _inside_tls(self, connection: socket.socket) -> socket.socket:
        return await dialled(connection, self._tls.client, self._start)

    async def _dial(self, candidate: Candidate) -> DeviceId | None:
        met = self._copies_met
        answered = await self._link_dialer.dial(candidate)
        # Our own address is left alone. A copy is met again and again, or its alert would never end.
        return None if self._copies_met != met else answered

    def _worth_dialling(self, expected: DeviceId | None) -> bool:
        if expected is None:
            return True
        peer = self._peers.get(expected)
        linked = peer is not None and peer.outgoing is not None
        return not linked and expected in self._members.devices()

    # -- what goes on all the time -----------------------------------------------------------

    async def _run_rounds(self) -> NoReturn:
        while True:
            await self._clock.sleep(ROUND_INTERVAL_S)
            self._peers.tidy(self._clock.boot())
            self.talk.tell_news()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        if self._tasks is None:
            work.close()  # on the way out everything is closed anyway
        else:
            _ = self._tasks.create_task(work)
