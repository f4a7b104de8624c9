"""Where names are now that people knew otherwise, while our work is run again."""

from __future__ import annotations

from lucidnode.fs.replica import intents
from lucidnode.fs.replica.conflict_name import conflict_names, is_conflict_name
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.pending.our_version import Place
from lucidnode.fs.replica.tree.queries import Queries


class Places:
    """The places of one rebase. *above* says in which directory one that is gone used to be."""

    def __init__(self, queries: Queries, device_name: str, above: dict[InodeNo, InodeNo]) -> None:
        self._queries = queries
        self._device_name = device_name
        self._above = above
        self.merged: dict[InodeNo, InodeNo] = {}
        """Directories of ours that are others' of the same name now."""
        self._conflicts: list[Place] = []
        # Where a name went that we made and that could not stay: names do not follow inodes.
        self._relocated: dict[Place, Place] = {}

    def home(self, parent: InodeNo) -> InodeNo | None:
        """Return the directory that *parent* is now, or None if it is gone."""
        parent = self.merged.get(parent, parent)
        found = self._queries.attributes(parent)
        return parent if found is not None and found.is_directory else None

    def located(self, parent: InodeNo, name: bytes, ino: InodeNo) -> Place | None:
        """Return where the entry is now that the user knew as *name* in *parent*, or None."""
        for place in ((parent, name), self._relocated.get((parent, name))):
            if place is None or (home := self.home(place[0])) is None:
                continue
            found = self._queries.lookup(home, place[1])
            if found is not None and found.ino == ino:
                return home, place[1]
        return None

    def relocate(self, place: Place, now: Place) -> None:
        """Note that what our user believes to be at *place* is *now* there."""
        self._relocated[place] = now

    def free(self, parent: InodeNo, name: bytes, time_ns: int, *, conflict: bool = False) -> Place:
        """Return a free place for *name* in *parent*, as near to it as the rules allow."""
        home = self.home(parent)
        if home is not None and not conflict and self._queries.lookup(home, name) is None:
            return home, name
        directory = self._nearest(parent)
        free = next(
            candidate
            for candidate in conflict_names(name, self._device_name, time_ns)
            if self._queries.lookup(directory, candidate) is None
        )
        self._relocated[parent, name] = directory, free
        self._conflicts.append((directory, free))
        return directory, free

    def stays(self, dropped: intents.Intent) -> None:
        """Note that the name which *dropped* took away before is there again.

        An earlier rebase may have invented it, and told nobody, for it was gone in the end.
        """
        match dropped:
            case intents.Unlink() | intents.Rmdir() | intents.Rename():
                home = self.home(dropped.parent)
                if home is not None and is_conflict_name(dropped.name):
                    self._conflicts.append((home, dropped.name))
            case _:
                pass

    def invented(self) -> list[Place]:
        """Return the conflict names that had to be invented."""
        return list(self._conflicts)

    def standing_conflicts(self) -> list[Place]:
        """Return the names that had to be invented and that are still there."""
        noted = dict.fromkeys(self._conflicts)
        return [place for place in noted if self._queries.lookup(*place) is not None]

    def _nearest(self, parent: InodeNo) -> InodeNo:
        while (home := self.home(parent)) is None:
            parent = self._above.get(parent, ROOT)
        return home
