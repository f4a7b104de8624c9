"""Whether an operation of ours still fits once another's entry came first, and how it has to change.

The rules are those of docs/semantics.md, "When two nodes change the same at once". Nothing is
changed here: each question is about the tree as the operations before have left it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import Attributes, InodeNo, Kind
from lucidnode.fs.replica.intents import Intent, OperationRecord, Restore
from lucidnode.fs.replica.pending.claims import Claims, OurWork, Winner
from lucidnode.fs.replica.pending.our_version import OurVersion, Place
from lucidnode.fs.replica.pending.places import Places
from lucidnode.fs.replica.tree.queries import Queries


@dataclass(slots=True)
class Fates:
    """What has become of the files that the *winner* and our *work* meet in.

    *ours* are those that both changed: our version goes into a conflict copy, whole. *thrown_away*
    had no name of ours any more. *appended* says by how much the end moved of each file to which we
    have only appended. *brought_back* maps a claimed file to the number it has now.
    *removed* tells of the files from which we took names whether they have others in the end.
    *carried_off* are the directories that the winner moved, *carried* the *removed* in them, with
    their places.
    """

    winner: Winner
    work: OurWork
    claims: Claims
    ours: dict[InodeNo, OurVersion]
    thrown_away: set[InodeNo]
    appended: dict[InodeNo, int]
    carried_off: set[InodeNo] = field(default_factory=set)
    carried: dict[InodeNo, set[Place]] = field(default_factory=dict)
    removed: dict[InodeNo, bool] = field(default_factory=dict)
    brought_back: dict[InodeNo, InodeNo] = field(default_factory=dict)

    def now(self, ino: InodeNo) -> InodeNo:
        """Return the number of the file that was *ino*."""
        return self.brought_back.get(ino, ino)

    def keeps_content(self, ino: InodeNo) -> bool:
        """Tell whether our changes of content must not be laid over what *ino* has now."""
        return ino in self.winner.rewritten or self.keeps_attributes(ino)

    def keeps_attributes(self, ino: InodeNo) -> bool:
        """Tell whether the attributes of *ino* are none of our business any more, or ours already."""
        return (
            ino in self.ours
            or ino in self.claims.files
            or ino in self.winner.struck
            or ino in self.thrown_away
        )

    def was_carried(self, ino: InodeNo, place: Place, *, is_replaced: bool) -> bool:
        """Tell whether *ino* at *place* stays, since the winner moved a directory above it.

        Not if our user saved something over it in its directory: that goes along.
        """
        if place in self.carried.get(ino, ()):
            return not is_replaced
        return ino in self.carried and ino in self.thrown_away

    def was_changed(self, ino: InodeNo) -> bool:
        """Tell whether the content of *ino* is not what our user saw."""
        return ino in self.winner.rewritten and ino not in self.brought_back.values()


class Fitting:
    """Fits operations, one after the other, into the tree that *queries* see."""

    def __init__(self, queries: Queries, places: Places, fates: Fates) -> None:
        self._queries = queries
        self._places = places
        self._fates = fates
        self._carried: dict[InodeNo, bool] = {}

    def fitted(self, recorded: OperationRecord) -> Intent | None:
        """Return what to do instead of *recorded*, which ran before; None if nothing."""
        ino, replaced = (self._fates.now(InodeNo(of)) for of in (recorded.ino, recorded.replaced))
        match recorded.intent:
            case intents.Create() as intent:
                return self._create(intent)
            case intents.Link() as intent:
                return self._link(replace(intent, ino=self._fates.now(intent.ino)))
            case intents.Unlink() as intent:
                return self._removal(intent, ino)
            case intents.Rmdir() as intent:
                return self._removal(intent, ino)
            case intents.Rename() as intent:
                return self._rename(intent, ino, replaced)
            case intents.Restore() as intent:
                return self._restore(intent)
            case (
                intents.Forget() | intents.NameBlocks() | intents.Rekey() | intents.Fact() as intent
            ):
                return intent
            case intents.Lease() as intent:
                return None if intent.alone else intent
            case intents.Write() as intent if intent.ino in self._fates.appended:
                return _shifted(intent, self._fates.appended[intent.ino])
            case intents.Write() | intents.Truncate() | intents.Punch() as intent:
                # Never onto the winner's content: our version is kept whole, elsewhere.
                return None if self._fates.keeps_content(intent.ino) else intent
            case intent:
                return None if self._fates.keeps_attributes(intent.ino) else intent

    def _create(self, intent: intents.Create) -> Intent | None:
        if self._queries.attributes(intent.ino) is not None:
            # Committed already, and then this replica came back from an older copy of itself; or
            # another node brought it back as we did.
            return None
        if intent.kind is Kind.DIRECTORY and (found := self._directory_at(intent)) is not None:
            self._places.merged[intent.ino] = found
            return None
        parent, name = self._places.free(intent.parent, intent.name, intent.time_ns)
        return replace(intent, parent=parent, name=name)

    def _directory_at(self, intent: intents.Create) -> InodeNo | None:
        parent = self._places.home(intent.parent)
        found = None if parent is None else self._queries.lookup(parent, intent.name)
        return found.ino if found is not None and found.is_directory else None

    def _restore(self, intent: Restore) -> Intent | None:
        if self._queries.attributes(intent.ino) is not None:
            return None
        if intent.parent == 0:
            return intent
        parent, name = self._places.free(intent.parent, intent.name, intent.time_ns)
        return replace(intent, parent=parent, name=name)

    def _link(self, intent: intents.Link) -> Intent | None:
        parent = self._places.home(intent.parent)
        there = None if parent is None else self._queries.lookup(parent, intent.name)
        if there is not None and there.ino == intent.ino:
            return None
        parent, name = self._places.free(intent.parent, intent.name, intent.time_ns)
        return replace(intent, parent=parent, name=name)

    def _removal(self, intent: intents.Unlink | intents.Rmdir, ino: InodeNo) -> Intent | None:
        place = self._places.located(intent.parent, intent.name, ino)
        if place is None or self._fates.was_changed(ino):
            return None
        if self._is_needed(ino, place):
            return None
        # What the winner moved with its directory is not at the place that our user meant.
        is_replaced = (intent.parent, intent.name) in self._fates.work.put
        if self._fates.was_carried(ino, place, is_replaced=is_replaced):
            return None
        if isinstance(intent, intents.Rmdir) and not is_replaced:
            is_ours = ino in self._fates.work.made or ino in self._fates.brought_back.values()
            if not is_ours and self._was_carried_off(place[0]):
                return None
        return replace(intent, parent=place[0], name=place[1])

    def _is_needed(self, ino: InodeNo, place: Place) -> bool:
        """Tell whether *ino* must keep its name at *place*, which our user meant to take.

        The winner gave it that name; or it has no other, though our user believes it to keep one.
        """
        if place in self._fates.winner.given and ino in self._fates.winner.placed:
            return True
        found = self._queries.attributes(ino)
        keeps = self._fates.removed.get(ino, False)
        return keeps and found is not None and found.nlink == 1

    def _was_carried_off(self, directory: InodeNo) -> bool:
        """Tell whether *directory*, or one above it, was moved by the winner."""
        if not self._fates.carried_off:
            return False
        if directory not in self._carried:
            above = self._queries.above(directory)
            self._carried[directory] = not self._fates.carried_off.isdisjoint(above)
        return self._carried[directory]

    def _rename(self, intent: intents.Rename, ino: InodeNo, replaced: InodeNo) -> Intent | None:
        if intent.flags & intents.RENAME_EXCHANGE:
            return self._exchange(intent, ino, replaced)
        return self._move(intent, ino, replaced)

    def _exchange(self, intent: intents.Rename, one: InodeNo, other: InodeNo) -> Intent | None:
        """Exchange the two, or move the one that still is where it was."""
        here = self._places.located(intent.parent, intent.name, one)
        there = self._places.located(intent.new_parent, intent.new_name, other)
        if here is None and there is None:
            return None
        if here is None:
            back = replace(
                intent,
                parent=intent.new_parent,
                name=intent.new_name,
                new_parent=intent.parent,
                new_name=intent.name,
                flags=0,
            )
            return self._move(back, other, InodeNo(0))
        if there is None:
            return self._move(replace(intent, flags=0), one, InodeNo(0))
        for moved, place in ((one, there), (other, here)):
            if self._queries.lies_within(place[0], moved):
                return None
        return replace(intent, parent=here[0], name=here[1], new_parent=there[0], new_name=there[1])

    def _move(self, intent: intents.Rename, ino: InodeNo, replaced: InodeNo) -> Intent | None:
        source = self._places.located(intent.parent, intent.name, ino)
        new_parent = self._places.home(intent.new_parent)
        if source is None:
            return None
        if new_parent is None or self._queries.lies_within(new_parent, ino):
            self._places.relocate((intent.new_parent, intent.new_name), source)
            return None
        new_name = intent.new_name
        target = self._queries.lookup(new_parent, new_name)
        if (
            target is not None
            and target.ino != ino
            and not self._may_replace(target, (new_parent, new_name), replaced)
        ):
            new_parent, new_name = self._own_replaced(intent, replaced) or self._places.free(
                intent.new_parent, new_name, intent.time_ns
            )
        return replace(
            intent,
            parent=source[0],
            name=source[1],
            new_parent=new_parent,
            new_name=new_name,
        )

    def _own_replaced(self, intent: intents.Rename, replaced: InodeNo) -> Place | None:
        """Return where the file of ours is that this rename replaced, if it had to go elsewhere.

        Who saves twice has thrown the first save away, also where both cannot have the name.
        """
        place = self._places.located(intent.new_parent, intent.new_name, replaced)
        found = self._queries.attributes(replaced)
        if place is None or found is None or not self._may_replace(found, place, replaced):
            return None
        return place

    def _may_replace(self, target: Attributes, place: Place, meant: InodeNo) -> bool:
        if target.ino != meant or self._fates.was_changed(target.ino):
            return False
        if self._fates.was_carried(target.ino, place, is_replaced=True):
            return False
        if self._is_needed(target.ino, place):
            return False
        return not (target.is_directory and self._queries.has_names(target.ino))


def _shifted(write: intents.Write, by: int) -> intents.Write:
    """Return *write* at the end of the file, which moved *by* bytes."""
    return replace(
        write,
        extents=[replace(extent, offset=extent.offset + by) for extent in write.extents],
        size_at_least=write.size_at_least and write.size_at_least + by,
    )
