"""Blocks between this node and its neighbours: asking, offering, and what a failure leads to."""

from __future__ import annotations

from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Corrupt
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId
from lucidnode.node.client.supervision import Tasks
from lucidnode.node.peers.body_client import BodyClient
from lucidnode.node.peers.errors import PeerFailed, PeerLied
from lucidnode.node.peers.grants import Access
from lucidnode.node.peers.neighbours import Neighbour, Neighbours
from lucidnode.node.traffic import Traffic


class Exchange:
    """Asks neighbours for blocks.

    A peer that fails rests until a probe finds it well again; one that lies is not asked any more,
    and that is an alert.
    """

    def __init__(
        self,
        *,
        neighbours: Neighbours,
        bodies: BodyClient,
        traffic: Traffic,
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        self._neighbours = neighbours
        self._bodies = bodies
        self._traffic = traffic
        self._alerts = alerts
        self._clock = clock
        self._revivals: Tasks | None = None

    def begin(self, revivals: Tasks) -> None:
        """Look after peers that rest from now on, in *revivals*."""
        self._revivals = revivals

    async def ask(
        self, device: DeviceId, project: ProjectId, block: BlockId, *, through: bool
    ) -> bytes | None:
        """Return the verified block from *device*, or None; see `fetch.Office.ask`."""
        neighbour = self._neighbours.get(device)
        if neighbour is None:
            return None
        neighbour.under_way += 1
        try:
            async with neighbour.turns:
                # Looked at only now: while this waited its turn, the peer may have failed others.
                if neighbour.access is None or not neighbour.usable:
                    return None
                return await self._ask(neighbour, neighbour.access, project, block, through=through)
        finally:
            neighbour.under_way -= 1

    async def offer(self, project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
        """Hand a copy of *block* to its owners in the office, as far as they can be reached."""
        for device in self._neighbours.owners(block):
            neighbour = self._neighbours.get(device)
            if neighbour is not None and neighbour.usable and neighbour.access is not None:
                try:
                    if await self._bodies.put(neighbour.access, project, block, ciphertext):
                        self._traffic.served(len(ciphertext))
                except PeerFailed as failure:
                    self._blame(neighbour, failure)

    def overtaken(self, device: DeviceId) -> None:
        """Hear that *device* kept a read waiting while another source had the block at once."""
        neighbour = self._neighbours.get(device)
        if neighbour is not None and not neighbour.standing.delivering(self._clock.boot()):
            self._traffic.peer_failed("overtaken")
            self._rest(neighbour, overtaken=True)

    async def _ask(
        self,
        neighbour: Neighbour,
        access: Access,
        project: ProjectId,
        block: BlockId,
        *,
        through: bool,
    ) -> bytes | None:
        standing = neighbour.standing
        began = self._clock.boot()
        try:
            ciphertext = await self._bodies.get(
                access,
                project,
                block,
                through=through,
                patience=standing.patience(),
                answered=lambda: standing.answered(self._clock.boot() - began),
                wanted=lambda: not standing.overtaken,
            )
        except (PeerFailed, Corrupt) as failure:
            self._blame(neighbour, failure)
            return None
        if ciphertext is not None:
            standing.delivered(self._clock.boot())
        return ciphertext

    def _blame(self, neighbour: Neighbour, failure: PeerFailed | Corrupt) -> None:
        if isinstance(failure, PeerLied | Corrupt):
            self._traffic.peer_failed("lied")
            if not neighbour.standing.banned:
                self._neighbours.ban(neighbour)
                self._alerts.begin(
                    f"peer:{neighbour.device}",
                    f"Blocks from device {neighbour.device} arrive damaged: {failure}.",
                    "It is not asked again until the daemon here restarts. Check its disk, and the "
                    "network between you.",
                    lasts_s=EVENT_S,
                )
        else:
            self._traffic.peer_failed(failure.reason)
            self._rest(neighbour)

    def _rest(self, neighbour: Neighbour, *, overtaken: bool = False) -> None:
        if neighbour.standing.failed(overtaken=overtaken) and self._revivals is not None:
            _ = self._revivals.create_task(self._revive(neighbour), name="probing a peer")

    async def _revive(self, neighbour: Neighbour) -> None:
        """Probe a peer until it serves again: here, so that no reader has to try."""
        standing = neighbour.standing
        while standing.resting:
            await self._clock.sleep(standing.rest)
            # One that has gone, or is back by another link, begins with a record of its own.
            if neighbour.access is None or neighbour.standing is not standing:
                return
            try:
                await self._bodies.alive(neighbour.access)
            except PeerFailed:
                standing.probed(alive=False)
            else:
                standing.probed(alive=True)
