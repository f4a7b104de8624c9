"""The rules of the roster: what an entry of the log is, and what the log establishes.

Everybody reads the same log and must come to the same result, so the rules use nothing but the
entries: no clock, no configuration, no library that might judge otherwise in its next version. An
object that breaks a rule is void: skipped and reported. One that is not even an *authentic* entry
(its form, its place, an author of that moment and his signature) stands in the chain of hashes by
its stand-in; so it need not be kept, however much of it somebody puts there.

What each kind may do is in lucidnode.node.client.roster_state, and for people in roster_people.
Limits are rules as well (docs/format.md, "Roster"). They keep what a ticket or an editor's key can
do to the memory of every node small, and the entries that invite and admit below MAX_ENTRY_BYTES.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from types import MappingProxyType

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.public_keys import verify
from lucidnode.node.client.roster import ForeignRoster, Roster, Void, VoidEntry
from lucidnode.node.client.roster_entry import (
    FORMAT,
    MAX_FORMAT,
    NO_ENTRY,
    RosterEntry,
    entry_hash,
    is_stand_in,
    stand_in,
)
from lucidnode.node.client.roster_state import RosterState

MAX_BYTES_OF_AUTHOR = 32 * 1024 * 1024
"""Bytes of authentic entries by one key that is no owner's: some 2,000 projects for 50 people."""

MAX_VOIDS = 256
"""Void entries that a roster tells of, the newest: there may be any number."""


_MAX_REASON = 200
"""Characters of why an entry is void."""


def verified(log: Iterable[bytes], genesis: bytes | None) -> Roster:
    """Return what the items of *log* 1..n establish: objects of the bucket, or their stand-ins.

    *genesis* is the hash of entry 1 as it was pinned at init or join; None only while creating
    a studio. Raises ForeignRoster if entry 1 is not that or no sound first entry.
    """
    reader = RosterReader(genesis)
    for item in log:
        reader.read(item)
    if not reader.log:
        raise ForeignRoster("the bucket holds no roster")
    return reader.roster()


class RosterReader:
    """Reads a log item by item. Each item is applied whole or, if it is void, not at all."""

    def __init__(self, genesis: bytes | None) -> None:
        """*genesis* as for `verified`."""
        self._genesis = genesis
        self._state = RosterState()
        self._format = FORMAT
        self._written: Counter[bytes] = Counter()  # bytes of authentic entries by author
        self._voids: deque[VoidEntry] = deque(maxlen=MAX_VOIDS)
        self.log: list[bytes] = []
        """What is to be kept of the items read: entries, and stand-ins for what is none. With an
        entry of a later format it ends, and so has one item more than the roster's head."""
        self.hashes: list[bytes] = []
        """The hash of each item of `log`, the next entry's `previous`."""
        self.newer: Seq | None = None
        """The number of the entry of a later format at which reading ended."""

    def check(self, item: bytes) -> None:
        """Raise Void, or ForeignRoster for number 1, unless *item* is authentic as the next one.

        What is authentic its author wrote for this place; what is not may also be a bad answer of
        the bucket.
        """
        self._authentic(item)

    def read(self, item: bytes) -> VoidEntry | None:
        """Take in the next item; returns why if it counts for nothing. Raises ForeignRoster, for number 1 only.

        Behind an entry of a later format nothing is taken in.
        """
        if self.newer is not None:
            return None
        seq = Seq(len(self.log) + 1)
        try:
            entry = self._authentic(item)
        except Void as error:
            self._keep(item if is_stand_in(item) else stand_in(entry_hash(item)))
            return self._skip(seq, error)
        self._keep(item)
        self._written[entry.author] += len(item)
        if entry.format > MAX_FORMAT:
            self.newer = seq
            return None
        self._format = max(self._format, entry.format)
        try:
            self._state.apply(entry)
        except (Malformed, Void) as error:
            if seq == 1:
                raise ForeignRoster(f"entry 1 of the roster founds no studio: {error}") from error
            return self._skip(seq, error)
        return None

    def is_by_somebody(self, raw: bytes) -> bool:
        """Return whether *raw* was signed by a member or open invite, for whatever place."""
        try:
            entry = RosterEntry.parse(raw)
        except Malformed:
            return False
        return self._knows(entry.author) and verify(
            entry.author, entry.signing_message(), entry.signature
        )

    def last_entry(self) -> Seq:
        """Return the number of the last authentic entry, 0 if there is none.

        What stands behind it nobody of the studio has confirmed by an entry on top of it.
        """
        number = len(self.log)
        while number and is_stand_in(self.log[number - 1]):
            number -= 1
        return Seq(number)

    def unconfirmed(self) -> list[Seq]:
        """Return the numbers behind the last entry that the next entry would say nothing of.

        It names the item below it, and a stand-in names nothing: what else counts for nothing there
        may have been an entry for whoever wrote the next one.
        """
        return [Seq(number) for number in range(self.last_entry() + 1, len(self.log))]

    def up_to(self, seq: Seq) -> RosterReader:
        """Return a reader that has read the log up to *seq* and no further."""
        reader = RosterReader(self._genesis)
        for item in self.log[:seq]:
            reader.read(item)
        return reader

    def roster(self) -> Roster:
        """Return the state as it is now; what is read later does not change it."""
        head = len(self.log) - (self.newer is not None)
        state, people = self._state, self._state.people
        return Roster(
            studio=state.studio,
            genesis=self.hashes[0] if self.hashes else NO_ENTRY,
            head=Seq(head),
            head_hash=self.hashes[head - 1] if head else NO_ENTRY,
            members=MappingProxyType(dict(people.members)),
            devices=MappingProxyType(dict(people.devices)),
            invites=MappingProxyType(dict(people.invites)),
            projects=MappingProxyType(dict(state.projects)),
            voids=tuple(self._voids),
            newer=self.newer,
            former=MappingProxyType(dict(people.former)),
            eras=tuple(state.eras),
            format=self._format,
            settings=state.settings,
        )

    def _skip(self, seq: Seq, reason: Exception) -> VoidEntry:
        # It may quote the object, which is a stranger's and of any length.
        void = VoidEntry(seq, str(reason)[:_MAX_REASON])
        self._voids.append(void)
        return void

    def _keep(self, item: bytes) -> None:
        self.log.append(item)
        self.hashes.append(entry_hash(item))

    # -- who wrote it, and for which place ---------------------------------------------------

    def _authentic(self, item: bytes) -> RosterEntry:
        seq = len(self.log) + 1
        if seq == 1:
            return self._authentic_first(item)
        if is_stand_in(item):
            raise Void("no entry")
        try:
            entry = RosterEntry.parse(item)
        except Malformed as error:
            raise Void(str(error)) from error
        if entry.seq != seq or entry.previous != self.hashes[-1]:
            raise Void("made for another place in the log")
        author = entry.author
        if not self._knows(author):
            raise Void("by nobody of the studio")
        owner = self._state.people.is_owner(author)
        if not owner and self._written[author] + len(item) > MAX_BYTES_OF_AUTHOR:
            raise Void("its author has written too much")
        if entry.format > self._format and not owner:
            raise Void("a later format, and not by an owner")
        if not verify(author, entry.signing_message(), entry.signature):
            raise Void("the signature does not hold")
        return entry

    def _knows(self, author: bytes) -> bool:
        people = self._state.people
        return author in people.members or author in people.invites

    def _authentic_first(self, item: bytes) -> RosterEntry:
        if self._genesis is not None and entry_hash(item) != self._genesis:
            raise ForeignRoster("the roster in the bucket is not the one of this studio")
        try:
            entry = RosterEntry.parse(item)
        except Malformed as error:
            raise ForeignRoster(f"entry 1 of the roster founds no studio: {error}") from error
        if (entry.format, entry.seq, entry.previous) != (FORMAT, 1, NO_ENTRY):
            raise ForeignRoster("entry 1 of the roster is not a first entry of this format")
        if not verify(entry.author, entry.signing_message(), entry.signature):
            raise ForeignRoster("the signature of entry 1 of the roster does not hold")
        return entry
