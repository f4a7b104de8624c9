"""One reader's place in the journal of a project."""

from __future__ import annotations

from collections.abc import Callable

from lucidnode.fs.events.committed_names import CommittedNames
from lucidnode.fs.events.entry_chain import EntryChain, EntryGone, PastEntry
from lucidnode.fs.events.entry_events import events_of
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.node.client.ids import DeviceId, Seq
from lucidnode.node.client.mount_messages import ProjectEvent

MAX_BEHIND = 100_000
"""Entries that are read again at most, each of them twice and some from the bucket."""

MAX_REMEMBERED = 500_000
"""Names that a cursor keeps apart from the replica at most: some 200 MB."""

Who = Callable[[DeviceId], tuple[str, str]]
"""Returns what people call a member and the workstation, by its device."""


class FellBehind(Exception):
    """What comes after this place cannot be told any more."""


class EventCursor:
    """Stands behind entry `place`; `events` are those of the next one, once it was read.

    A new one has to be prepared before it reads. `close` it.
    """

    def __init__(
        self,
        replica: Replica,
        chain: EntryChain,
        who: Who,
        after: int,
        most_behind: int = MAX_BEHIND,
    ) -> None:
        """Begin behind entry *after*, which is not after the replica's head."""
        self._replica = replica
        self._chain = chain
        self._who = who
        self.place = after
        self.asked = after
        """The place that questions name to be answered from here; before `place` while some is missed."""
        self.events: list[ProjectEvent] | None = None
        self.missed_from: int | None = None
        """The first of the entries up to `place` that cannot be told any more, None if all could."""
        # No await from here to `follow`: names and head are of one moment.
        self._names = CommittedNames(replica.tree)
        self._names.replica_changed(replica.pending.row_changes())
        head = replica.pending.head()
        self._links: dict[int, bytes] = {int(head.seq): head.link}
        self._down = int(head.seq)
        replica.follow(self._replica_changed)
        self.miss(self._down - most_behind)

    def close(self) -> None:
        """Follow the replica no longer."""
        self._replica.unfollow(self._replica_changed)

    @property
    def is_prepared(self) -> bool:
        """Whether the names are those behind `place`."""
        return self._down <= self.place

    @property
    def has_fallen_behind(self) -> bool:
        """Whether more has changed since than is remembered."""
        return len(self._names) > MAX_REMEMBERED

    def miss(self, upto: int) -> None:
        """Begin behind entry *upto* instead, if that is later: what is before cannot be told."""
        if upto > self.place:
            if self.missed_from is None:
                self.missed_from = self.place + 1
            self.place = upto

    async def prepare(self) -> None:
        """Bring the names back by one entry. Raises FellBehind, or a NodeError."""
        if self.has_fallen_behind:
            raise FellBehind
        try:
            past = await self._chain.entry(Seq(self._down), self._links[self._down])
        except EntryGone:
            self.miss(self._down)
            return
        self._names.go_back(past.changes)
        self._down -= 1
        self._links[self._down] = past.previous

    async def read_next(self) -> bool:
        """Read the entry behind `place` into `events`; False if there is none yet.

        Raises FellBehind, or a NodeError.
        """
        seq = self.place + 1
        if self.has_fallen_behind:
            raise FellBehind
        if self._replica.pending.head().seq < seq:
            return False
        if seq not in self._links:
            await self._link_up()
        try:
            past = await self._chain.entry(Seq(seq), self._links[seq])
        except EntryGone as error:
            raise FellBehind from error
        self.events = self._told(seq, past)
        return True

    def step(self) -> None:
        """Stand behind the entry that was read."""
        self._links.pop(self.place, None)
        self.place += 1
        self.asked = self.place
        self.events = None

    def take_missed(self) -> int:
        """Return `missed_from`, which has to be told, and begin at `place`."""
        assert self.missed_from is not None
        missed, self.missed_from = self.missed_from, None
        self.asked = self.place
        return missed

    async def _link_up(self) -> None:
        """Learn the links from the head back to what is known. Raises FellBehind, a NodeError."""
        head = self._replica.pending.head()
        seq, link = int(head.seq), head.link
        links: dict[int, bytes] = {}
        while seq > self.place and seq not in self._links:
            links[seq] = link
            try:
                link = (await self._chain.entry(Seq(seq), link)).previous
            except EntryGone as error:
                raise FellBehind from error
            seq -= 1
        if self._links.get(seq, link) != link:
            raise FellBehind  # the history is another one now
        self._links.update(links)

    def _told(self, seq: int, past: PastEntry) -> list[ProjectEvent]:
        member, workstation = self._who(past.device)
        return [
            ProjectEvent(
                seq=seq,
                number=number,
                time_ns=past.wall_ns,
                member=member,
                workstation=workstation,
                device=past.device,
                event=one.event,
                kind=one.kind,
                path=one.path,
                old_path=one.old_path,
                state=one.state,
                size=one.size,
            )
            for number, one in enumerate(events_of(past.changes, self._names))
        ]

    def _replica_changed(self, changes: list[RowChange]) -> None:
        if not self.has_fallen_behind:
            self._names.replica_changed(changes)
