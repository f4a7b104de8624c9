"""What of our pending work needs files that another node's entry removed.

A name that we gave a file is a claim on it, and so is a byte that we wrote: the node that removed
it did not know. To move a directory claims all that is in it, and what we put into a directory
claims the directory. Attributes are no claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lucidnode.fs.replica.inode import Attributes, InodeNo, Version, is_partial
from lucidnode.fs.replica.intents import WRITE_LEASE
from lucidnode.fs.replica.pending.our_version import OurVersion, Place
from lucidnode.fs.replica.sqlite.rows import LINKS_COLUMN, VERSION_COLUMN, RowChange, net
from lucidnode.fs.replica.tree.queries import Queries

_LENGTH, _BLOCK_OFFSET = 2, 4
"""Columns of `extent`."""


@dataclass(slots=True)
class Winner:
    """What another node's entry does to files, from its row changes.

    *rewritten* got another content, or are no more; of the *partial* more follows. *leased* are those
    that it has for itself now, or took from whoever had them: what is written to them elsewhere, and is not
    committed, is not for them, so they are among the *rewritten*. *struck* lost their last name. *taken* are the
    names that it took from files, *replaced* those of them that mean another file now, *given* the
    names that it gave, and *placed* the files that got them.
    """

    rewritten: set[InodeNo] = field(default_factory=set)
    partial: set[InodeNo] = field(default_factory=set)
    leased: set[InodeNo] = field(default_factory=set)
    inserted: set[InodeNo] = field(default_factory=set)
    struck: set[InodeNo] = field(default_factory=set)
    taken: dict[InodeNo, list[Place]] = field(default_factory=dict)
    replaced: set[Place] = field(default_factory=set)
    given: set[Place] = field(default_factory=set)
    placed: set[InodeNo] = field(default_factory=set)

    @classmethod
    def of(cls, changes: Iterable[RowChange]) -> Winner:
        """Read *changes* from outside: in updates, columns that stay are None but for the key."""
        winner = cls()
        for table, old, new in changes:
            row = old or new
            assert row is not None
            if table == "name":
                winner._note_name(old, new)
            elif table == "extent" and old is not None and not _is_same_content(new):
                winner.rewritten.add(InodeNo(int(row[0])))
            elif table == "inode":
                winner._note_inode(InodeNo(int(row[0])), old, new)
            elif table == "xattr" and row[1] == WRITE_LEASE and new is not None:
                winner.leased.add(InodeNo(int(row[0])))
                winner.rewritten.add(InodeNo(int(row[0])))
        return winner

    def met(self) -> set[InodeNo]:
        """Return the files that got another content or another name, or lost their last."""
        return self.rewritten | self.struck | self.placed

    def above(self) -> dict[InodeNo, InodeNo]:
        """Return in which directory each file was that lost its last name."""
        return {ino: self.taken[ino][0][0] for ino in self.struck if ino in self.taken}

    def _note_inode(
        self, ino: InodeNo, old: tuple[int | bytes, ...] | None, new: tuple[int | bytes, ...] | None
    ) -> None:
        if old is None:
            self.inserted.add(ino)
        elif new is None or new[VERSION_COLUMN] is not None:
            self.rewritten.add(ino)
        version = None if new is None else new[VERSION_COLUMN]
        if version is not None and is_partial(Version(int(version))):
            self.partial.add(ino)
        if old is None:
            return
        if (new is None and old[LINKS_COLUMN]) or (new is not None and new[LINKS_COLUMN] == 0):
            self.struck.add(ino)

    def _note_name(
        self, old: tuple[int | bytes, ...] | None, new: tuple[int | bytes, ...] | None
    ) -> None:
        row = old or new
        assert row is not None
        place = (InodeNo(int(row[0])), bytes(row[1]))
        if new is not None:
            self.given.add(place)
            self.placed.add(InodeNo(int(new[2])))
        if old is not None:
            self.taken.setdefault(InodeNo(int(old[2])), []).append(place)
            if new is not None:
                self.replaced.add(place)


def _is_same_content(extent: tuple[int | bytes, ...] | None) -> bool:
    """Tell whether the new *extent* of an update is of another block alone.

    That is what sealing anew makes of it. Where the content is another, so is the version of the file.
    """
    return extent is not None and extent[_LENGTH] is None and extent[_BLOCK_OFFSET] is None


@dataclass(slots=True)
class OurWork:
    """What our pending work amounts to: where it put which file, and all it made and wrote."""

    put: dict[Place, InodeNo]
    made: set[InodeNo]
    wrote: set[InodeNo]

    @classmethod
    def of(cls, changes: list[RowChange], wrote: set[InodeNo]) -> OurWork:
        """Read *changes*, whole rows in the order in which they were made."""
        put = {
            (InodeNo(int(new[0])), bytes(new[1])): InodeNo(int(new[2]))
            for table, _, new in net(changes)
            if table == "name" and new is not None
        }
        made = {
            InodeNo(int(new[0]))
            for table, old, new in changes
            if table == "inode" and old is None and new is not None
        }
        return cls(put, made, wrote)


@dataclass(frozen=True, slots=True)
class Claim:
    """A file that the winner removed and that we need.

    *taken* are the names that it had, *kept* those of our version that we stand for. *moved* tells
    whether we gave it a name ourselves.
    """

    ours: OurVersion
    taken: list[Place]
    kept: frozenset[Place]
    moved: bool


class _Search:
    """Looks for claims while our work is in place."""

    def __init__(
        self,
        queries: Queries,
        version_of: Callable[[Attributes], OurVersion],
        winner: Winner,
        work: OurWork,
    ) -> None:
        self._queries = queries
        self._version_of = version_of
        self._winner = winner
        self._work = work
        self._holders = {parent for parent, _ in work.put}
        self._named = set(work.put.values())
        # Also one that the winner moved, too: it stays where he moved it, with all that was in it.
        self._moved = {
            ino
            for ino in self._named - work.made
            if (found := queries.attributes(ino)) is not None and found.is_directory
        }
        self._inside: dict[InodeNo, bool] = {}
        self.lost: dict[InodeNo, list[Place]] = {}
        self.claims: dict[InodeNo, Claim] = {}

    def look_at(self, ino: InodeNo, *, needed: bool = False) -> None:
        """Claim *ino*, which the winner removed, if we stand for a name of it or it is *needed*."""
        found = self._queries.attributes(ino)
        if ino in self.claims or found is None or found.nlink == 0:
            return
        names = self._queries.names_of(ino)
        if needed or ino in self._work.wrote or (found.is_directory and ino in self._holders):
            kept = frozenset(names)
        else:
            gone = not self._winner.replaced.issuperset(self._winner.taken.get(ino, ()))
            kept = frozenset(
                place
                for place in names
                if place in self._work.put or (gone and self._is_inside(place[0]))
            )
        if not kept:
            return
        self.claims[ino] = Claim(
            self._version_of(found),
            self._winner.taken.get(ino, []),
            kept,
            moved=ino in self._named,
        )
        for parent, _ in kept:
            if parent in self._winner.struck:
                self.look_at(parent, needed=True)

    def look_at_names_of(self, ino: InodeNo) -> None:
        """Note the names of *ino* that we had moved away when the winner removed them."""
        ours = self._queries.names_of(ino)
        if lost := [place for place in self._winner.taken[ino] if place not in ours]:
            self.lost[ino] = lost

    def _is_inside(self, directory: InodeNo) -> bool:
        """Tell whether *directory* is, or lies in, one that we moved."""
        if not self._moved:
            return False
        if directory not in self._inside:
            above = self._queries.above(directory)
            self._inside[directory] = not self._moved.isdisjoint(above)
        return self._inside[directory]


@dataclass(frozen=True, slots=True)
class Claims:
    """What we need of that which the winner removed: *files* that are gone, and single names.

    *names* are of files that have others: our operations have moved them on.
    """

    files: dict[InodeNo, Claim]
    names: dict[InodeNo, list[Place]]


def claims_on(
    queries: Queries,
    version_of: Callable[[Attributes], OurVersion],
    winner: Winner,
    work: OurWork,
) -> Claims:
    """Return our claims on what the *winner* removed. *queries* see the tree with our *work*.

    *version_of* returns a file as it is shown here: not a part of a content that still arrives.
    """
    search = _Search(queries, version_of, winner, work)
    for ino in sorted(winner.struck):
        search.look_at(ino)
    moved = set(work.put.values()) & winner.taken.keys()
    for ino in sorted(moved - winner.struck - winner.placed):
        search.look_at_names_of(ino)
    return Claims(search.claims, search.lost)
