"""Blocks between this node and its peers: asking, offering, and what a failure leads to."""

from __future__ import annotations

from lucidnode.node.blocks.traffic import Traffic
from lucidnode.node.cache.verified import Ciphertext
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Corrupt
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId
from lucidnode.node.client.supervision import Tasks
from lucidnode.node.peers.body_client import BodyClient
from lucidnode.node.peers.errors import PeerFailed, PeerLied
from lucidnode.node.peers.peer_table import Peer, PeerTable
from lucidnode.node.peers.sessions import ClientSession


class PeerBlockClient:
    """Asks peers for blocks.

    A peer that fails rests until a probe finds it well again; one that lies is not asked any more,
    and that is an alert.
    """

    def __init__(
        self,
        *,
        peers: PeerTable,
        bodies: BodyClient,
        traffic: Traffic,
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        self._peers = peers
        self._bodies = bodies
        self._traffic = traffic
        self._alerts = alerts
        self._clock = clock
        self._probes: Tasks | None = None

    def begin(self, probes: Tasks) -> None:
        """Look after peers that rest from now on, in *probes*."""
        self._probes = probes

    async def ask(
        self, device: DeviceId, project: ProjectId, block: BlockId, *, through: bool
    ) -> Ciphertext | None:
        """Return the verified block from *device*, or None; see `PeerBlockSource.ask`."""
        peer = self._peers.get(device)
        if peer is None:
            return None
        peer.under_way += 1
        try:
            async with peer.turns:
                # Looked at only now: while this waited its turn, the peer may have failed others.
                if peer.access is None or not peer.usable:
                    return None
                return await self._ask(peer, peer.access, project, block, through=through)
        finally:
            peer.under_way -= 1

    async def offer(self, project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
        """Hand a copy of *block* to its owners in the office, as far as they can be reached."""
        for device in self._peers.owners(block):
            peer = self._peers.get(device)
            if peer is not None and peer.usable and peer.access is not None:
                try:
                    if await self._bodies.put(peer.access, project, block, ciphertext):
                        self._traffic.served(len(ciphertext))
                except PeerFailed as failure:
                    self._note_failure(peer, failure)

    def lost_hedge(self, device: DeviceId) -> None:
        """Hear that *device* kept a read waiting while another source had the block at once."""
        peer = self._peers.get(device)
        if peer is not None and not peer.health.delivering(self._clock.boot()):
            self._traffic.peer_failed("overtaken")
            self._open_circuit(peer, lost_hedge=True)

    async def _ask(
        self,
        peer: Peer,
        access: ClientSession,
        project: ProjectId,
        block: BlockId,
        *,
        through: bool,
    ) -> Ciphertext | None:
        health = peer.health
        began = self._clock.boot()
        try:
            ciphertext = await self._bodies.get(
                access,
                project,
                block,
                through=through,
                timeout_s=health.timeout_s(),
                answered=lambda: health.answered(self._clock.boot() - began),
                wanted=lambda: not health.lost_hedge,
            )
        except (PeerFailed, Corrupt) as failure:
            self._note_failure(peer, failure)
            return None
        if ciphertext is not None:
            health.delivered(self._clock.boot())
            peer.received += len(ciphertext)
        return ciphertext

    def _note_failure(self, peer: Peer, failure: PeerFailed | Corrupt) -> None:
        if isinstance(failure, PeerLied | Corrupt):
            self._traffic.peer_failed("lied")
            if not peer.health.banned:
                self._peers.ban(peer)
                self._alerts.begin(
                    f"peer:{peer.device}",
                    f"Blocks from device {peer.device} arrive damaged: {failure}.",
                    "It is not asked again until the daemon here restarts. Check its disk, and the "
                    "network between you.",
                    lasts_s=EVENT_S,
                )
        else:
            self._traffic.peer_failed(failure.reason)
            self._open_circuit(peer)

    def _open_circuit(self, peer: Peer, *, lost_hedge: bool = False) -> None:
        if peer.health.failed(lost_hedge=lost_hedge) and self._probes is not None:
            _ = self._probes.create_task(self._probe_until_alive(peer), name="probing a peer")

    async def _probe_until_alive(self, peer: Peer) -> None:
        """Probe a peer until it serves again: here, so that no reader has to try."""
        health = peer.health
        while health.circuit_open:
            await self._clock.sleep(health.rest)
            # One that has gone, or is back by another link, begins with a record of its own.
            if peer.access is None or peer.health is not health:
                return
            try:
                await self._bodies.alive(peer.access)
            except PeerFailed:
                health.probed(alive=False)
            else:
                health.probed(alive=True)
