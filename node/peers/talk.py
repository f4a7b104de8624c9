"""What is said between this node and its peers, over whichever links there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.peers.link import PeerLink
from lucidnode.node.peers.members import Members
from lucidnode.node.peers.messages import (
    HandshakeRequest,
    HandshakeResponse,
    Heads,
    Message,
    MountWord,
    PeerDays,
    PeerSummary,
    PeerTotals,
    Push,
)
from lucidnode.node.peers.news import News, NewsSource
from lucidnode.node.peers.peer_table import PeerTable


class PeerEvents(Protocol):
    """What the daemon hears from the office. Called in the event loop; must not block or raise."""

    def pushed(self, device: DeviceId, project: ProjectId, seq: Seq) -> None:
        """Hear of a journal entry a peer says was committed. Unverified."""

    def heads(
        self, device: DeviceId, heads: Mapping[ProjectId, Sequence[tuple[Seq, bytes]]]
    ) -> None:
        """Hear the highest entries (number, hash) a peer has seen of each project, in order."""

    def days(self, device: DeviceId, days: Mapping[str, Sequence[int]]) -> None:
        """Hear what a peer says that it counted on each of some days."""

    def word(self, device: DeviceId, project: ProjectId, word: bytes) -> None:
        """Hear what a peer's mount of a project says to ours. Sealed: nobody but that can read it."""

    def roster_head(self, device: DeviceId, seq: Seq, hash_: bytes) -> None:
        """Hear the newest item (number, hash) a peer has read of the log of members."""


class PeerTalk:
    """Tells *peers* and hears them, from `begin` to `end`."""

    def __init__(self, peers: PeerTable, members: Members, clock: Clock) -> None:
        self._peers = peers
        self._members = members
        self._clock = clock
        self._events: PeerEvents | None = None
        self._news: News | None = None

    def begin(self, events: PeerEvents, news: NewsSource) -> None:
        """Have *events* hear what peers say; they are told *news* of this node."""
        self._events = events
        self._news = News(news, self._members.log_head, self._clock)

    def end(self) -> None:
        """Hear nothing any more: what events would do about it is being closed."""
        self._events = None

    # -- this node's -------------------------------------------------------------------------

    def introduce(self, link: PeerLink) -> None:
        """Tell who is at the other end of *link* all that others were told."""
        for message in [] if self._news is None else self._news.all():
            link.send(message)

    def tell_news(self) -> None:
        """Tell everyone what has changed since this was called last."""
        for message in [] if self._news is None else self._news.changed():
            self._tell_all(message)

    def push(self, project: ProjectId, seq: Seq) -> None:
        """Tell everyone of an entry that was just committed."""
        self._tell_all(Push(project, seq))

    def relay(self, device: DeviceId, project: ProjectId, word: bytes) -> bool:
        """Pass on what a mount here says to that of *device*; tell whether there is a link to it."""
        peer = self._peers.get(device)
        if peer is None or peer.link is None:
            return False
        peer.link.send(MountWord(project, word))
        return True

    def _tell_all(self, message: Message) -> None:
        for peer in self._peers:
            if peer.link is not None:
                peer.link.send(message)

    # -- a peer's ----------------------------------------------------------------------------

    def heard(self, link: PeerLink, message: Message) -> None:
        """Pass on what a peer says. Raises Malformed for what belongs to the handshake."""
        if self._events is None:
            return
        match message:
            case Push():
                self._events.pushed(link.device, ProjectId(message.project), Seq(message.seq))
            case Heads():
                heads = {
                    ProjectId(project): sorted((Seq(seq), hash_) for seq, hash_ in claimed)
                    for project, claimed in message.heads.items()
                }
                self._events.heads(link.device, heads)
                if message.roster is not None:
                    seq, hash_ = message.roster
                    self._events.roster_head(link.device, Seq(seq), hash_)
            case PeerTotals():
                if (peer := self._peers.get(link.device)) is not None:
                    peer.totals = peer.claimed.plausible(message.totals, self._clock.boot())
            case PeerDays():
                self._events.days(link.device, message.days)
            case PeerSummary():
                if (peer := self._peers.get(link.device)) is not None:
                    peer.summary = message
            case MountWord():
                self._events.word(link.device, ProjectId(message.project), message.word)
            case HandshakeRequest() | HandshakeResponse():
                raise Malformed("introduced itself twice")
