"""Brings back what another's entry removed and we have a claim on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import Intent, Link, Rmdir, Unlink
from lucidnode.fs.replica.pending.claims import Claim
from lucidnode.fs.replica.pending.fitting import Fates
from lucidnode.fs.replica.pending.our_version import Place
from lucidnode.fs.replica.pending.places import Places
from lucidnode.fs.replica.tree.queries import Queries

Step = tuple[Intent, int]
"""An operation to run before the next is asked for, and the version that it gives a content."""


class Resurrections:
    """The returns of one rebase: `begin` before our operations run again, `end` behind them."""

    def __init__(
        self, queries: Queries, fates: Fates, places: Places, new_ino: Callable[[], InodeNo]
    ) -> None:
        self._queries = queries
        self._fates = fates
        self._places = places
        self._new_ino = new_ino
        self._names: list[tuple[InodeNo, Place, Place]] = []
        """Which file came back, under which name of before, and where that had to be."""

    def begin(self) -> Iterator[Step]:
        """Make what is claimed again where it was, directories before what is in them."""
        for ino in self._fates.claims.files:
            yield from self._bring_back(ino)
        for ino, places in self._fates.claims.names.items():
            found = self._queries.existing(ino)
            for place in places:
                now = self._places.free(*place, found.ctime_ns)
                self._names.append((ino, place, now))
                yield Link(ino, *now, found.ctime_ns), 0

    def _bring_back(self, ino: InodeNo) -> Iterator[Step]:
        if ino in self._fates.brought_back or ino in self._places.merged:
            return
        claim = self._fates.claims.files[ino]
        for parent, _ in claim.taken:
            if parent in self._fates.claims.files:
                yield from self._bring_back(parent)
        if not claim.moved and (there := self._directory_at(claim)) is not None:
            self._places.merged[ino] = there
            return
        # One that the other node has unlinked and still has open there is its own to delete.
        new = ino if self._queries.attributes(ino) is None else self._new_ino()
        self._fates.brought_back[ino] = new
        version = claim.ours.attributes.version
        free = [place for place in claim.taken if self._is_free(*place)] or claim.taken[:1]
        for number, place in enumerate(free):
            now = self._places.free(*place, claim.ours.attributes.ctime_ns)
            self._names.append((ino, place, now))
            if number:
                yield Link(new, *now, claim.ours.attributes.ctime_ns), version
                continue
            for intent in claim.ours.made_again(new, *now):
                yield intent, version

    def _directory_at(self, claim: Claim) -> InodeNo | None:
        """Return the directory that has the place of the claimed one now, or None."""
        (parent, name) = claim.taken[0]
        home = self._places.home(parent)
        there = None if home is None else self._queries.lookup(home, name)
        both = there is not None and there.is_directory and claim.ours.attributes.is_directory
        return there.ino if both and there is not None else None

    def _is_free(self, parent: InodeNo, name: bytes) -> bool:
        home = self._places.home(parent)
        return home is not None and self._queries.lookup(home, name) is None

    def end(self) -> Iterator[Step]:
        """Take away again what nobody needs: a removed name beside ours, an empty directory."""
        for ino, before, now in reversed(self._names):
            found = self._queries.lookup(*now)
            if found is None or found.ino != self._fates.now(ino):
                continue
            claim = self._fates.claims.files.get(ino)
            if found.is_directory:
                needed = (claim and claim.moved) or self._queries.has_names(found.ino)
            else:
                needed = (claim and before in claim.kept) or found.nlink == 1
            if not needed:
                kind = Rmdir if found.is_directory else Unlink
                yield kind(*now, found.ctime_ns), 0
