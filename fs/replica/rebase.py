"""What becomes of our uncommitted work when another node's entry comes first.

The winner's entry was made without our pending operations, so they are undone, the entry is
applied, and our intents run again on what it left. Where they no longer fit, fixed rules decide,
and nothing that either side wrote is lost:

    create   name taken                 the same under a conflict name; two directories become one
             directory gone             into the project's root, under a conflict name
    write    both changed the content   the winner's stays, ours becomes a conflict copy beside it
             file deleted               ours comes back, under its name if that is free
    link     name taken or directory gone, as for create; file deleted: dropped
    unlink   name means another file, or the content is another: dropped
    rmdir    no longer empty: dropped
    rename   source gone or elsewhere, new directory gone, cycle: dropped
             would replace what the user did not see: under a conflict name
    others   file gone: dropped
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

import msgspec

from lucidnode.fs.errors import FileError, NoSpace
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.conflict_name import conflict_names
from lucidnode.fs.replica.database import Database
from lucidnode.fs.replica.inode import (
    MAX_FILE_SIZE,
    MAX_XATTR_BYTES,
    MAX_XATTRS,
    ROOT,
    Attributes,
    InodeNo,
    Kind,
)
from lucidnode.fs.replica.intents import Intent, NewExtent, Recorded, Restore, Write
from lucidnode.fs.replica.operations import SLICE, Operations
from lucidnode.fs.replica.queries import Queries
from lucidnode.fs.replica.row_rules import encoded_operation
from lucidnode.fs.replica.rows import VERSION_COLUMN, RowChange
from lucidnode.fs.replica.tree_rules import check_tree
from lucidnode.node.client.ids import BlockId


@dataclass(frozen=True, slots=True)
class Waiting:
    """One pending operation: its place in line, what was asked, and the rows it changed."""

    id: int
    recorded: Recorded
    changes: list[RowChange]


@dataclass(frozen=True, slots=True)
class _Ours:
    """Our whole version of a file, before it is undone."""

    attributes: Attributes
    extents: list[NewExtent]
    blocks: dict[BlockId, BlockName]
    xattrs: list[tuple[bytes, bytes]]
    names: list[tuple[InodeNo, bytes]]


@dataclass(slots=True)
class Outcome:
    """How a rebase ended: the intents that stand, each with its new changes, and what moved."""

    standing: list[Waiting] = field(default_factory=list)
    restored: list[tuple[Recorded, list[RowChange]]] = field(default_factory=list)
    moved: dict[InodeNo, InodeNo] = field(default_factory=dict)
    merged: dict[InodeNo, InodeNo] = field(default_factory=dict)
    conflicts: list[tuple[InodeNo, bytes]] = field(default_factory=list)


def rewritten_by(winner: list[RowChange]) -> set[InodeNo]:
    """Return the files whose content *winner* changed or deleted."""
    files: set[InodeNo] = set()
    for table, old, new in winner:
        if old is None or table not in {"inode", "extent"}:
            continue
        if table == "extent" or new is None or new[VERSION_COLUMN] is not None:
            files.add(InodeNo(int(old[0])))
    return files


def _that_fit(xattrs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the first of *xattrs*, as many as we give one file: others may have given it more.

    The mark of a file on its way belongs to the file, not to a copy.
    """
    xattrs = [xattr for xattr in xattrs if xattr[0] != intents.MARK]
    sizes = accumulate(len(name) + len(value) for name, value in xattrs)
    count = sum(size <= MAX_XATTR_BYTES for size in sizes)
    return xattrs[: min(count, MAX_XATTRS)]


class Rebase:
    """One rebase, inside the caller's transaction. *tails* are the files with loose tails."""

    def __init__(
        self,
        database: Database,
        operations: Operations,
        *,
        device_name: str,
        new_ino: Callable[[], InodeNo],
        tails: set[InodeNo],
    ) -> None:
        self._database = database
        self._queries = Queries(database)
        self._operations = operations
        self._device_name = device_name
        self._new_ino = new_ino
        self._tails = tails
        self._outcome = Outcome()
        self._rewritten: set[InodeNo] = set()
        self._ours: dict[InodeNo, _Ours] = {}
        # Where a name went that we made and that could not stay: names do not follow inodes.
        self._relocated: dict[tuple[InodeNo, bytes], tuple[InodeNo, bytes]] = {}

    def run(
        self,
        waiting: list[Waiting],
        changeset: bytes,
        winner: list[RowChange],
        all_changes: list[RowChange],
    ) -> Outcome:
        """Undo *waiting*, apply the winner's *changeset*, run *waiting* again.

        *all_changes* is the transaction's growing list. Raises Unfit if the entry does not fit
        the state it claims to be made on, or breaks the tree.
        """
        self._rewritten = rewritten_by(winner)
        self._capture(waiting)
        self._database.undo([change for item in waiting for change in item.changes])
        check_tree(self._database, self._database.apply(changeset))
        for item in waiting:
            mark = len(all_changes)
            recorded = self._again(item.recorded, all_changes)
            if recorded is not None:
                self._outcome.standing.append(Waiting(item.id, recorded, all_changes[mark:]))
        for ino, ours in self._ours.items():
            for intent in self._restore(ino, ours):
                mark = len(all_changes)
                recorded = self._operations.run(intent, ours.attributes.version)
                self._outcome.restored.append((recorded, all_changes[mark:]))
        return self._outcome

    # -- our version of files that both sides changed ----------------------------------------

    def _capture(self, waiting: list[Waiting]) -> None:
        changed = set(self._tails)
        for item in waiting:
            match item.recorded.intent:
                case intents.Write(ino=ino) | intents.Truncate(ino=ino) | intents.Restore(ino=ino):
                    changed.add(ino)
                case _:
                    pass
        orphans = {InodeNo(ino) for (ino,) in self._database.rows("SELECT ino FROM orphan")}
        for ino in sorted((changed | orphans) & self._rewritten):
            attributes = self._queries.attributes(ino)
            if attributes is not None and (attributes.nlink > 0 or ino in orphans):
                self._ours[ino] = self._whole(attributes)

    def _whole(self, attributes: Attributes) -> _Ours:
        extents = self._queries.extents(attributes.ino, 0, MAX_FILE_SIZE)
        return _Ours(
            attributes,
            [NewExtent(e.offset, e.length, e.block.id, e.block_offset) for e in extents],
            {extent.block.id: extent.block for extent in extents},
            _that_fit(self._queries.xattrs(attributes.ino)),
            self._queries.names_of(attributes.ino),
        )

    def _restore(self, ino: InodeNo, ours: _Ours) -> Iterator[Intent]:
        """Bring back our version of a file: beside the winner's, or where it was deleted."""
        mine = ours.attributes
        theirs = self._queries.attributes(ino)
        if theirs is not None and ino not in self._tails and self._same_content(ours, theirs):
            return
        parent, name = InodeNo(0), b""
        if mine.nlink > 0:
            beside = self._queries.names_of(ino) or ours.names
            parent, name = self._free_place(*beside[0], mine.ctime_ns, conflict=theirs is not None)
        # Deleted by the winner, the number is free, and our open handles need not move.
        new = ino if theirs is None else self._new_ino()
        if new != ino:
            self._outcome.moved[ino] = new
            self._database.change("DELETE FROM orphan WHERE ino = ?", (ino,))
        yield Restore(
            parent=parent,
            name=name,
            ino=new,
            mode=mine.mode,
            uid=mine.uid,
            gid=mine.gid,
            size=mine.size,
            atime_ns=mine.atime_ns,
            mtime_ns=mine.mtime_ns,
            time_ns=mine.ctime_ns,
            version=mine.version,
            xattrs=ours.xattrs,
        )
        # In slices, as everything that must fit a journal entry.
        for start in range(0, len(ours.extents), SLICE):
            extents = ours.extents[start : start + SLICE]
            blocks = list({extent.block: ours.blocks[extent.block] for extent in extents}.values())
            yield Write(new, extents, blocks, time_ns=0)

    def _same_content(self, ours: _Ours, theirs: Attributes) -> bool:
        # Equal content is sealed as equal blocks: two nodes that wrote the same agree.
        return (
            ours.attributes.nlink > 0
            and ours.attributes.size == theirs.size
            and ours.extents == self._whole(theirs).extents
        )

    # -- running an intent again -------------------------------------------------------------

    def _again(self, recorded: Recorded, all_changes: list[RowChange]) -> Recorded | None:
        """Run an intent on the new state; None if it is dropped."""
        intent = self._fitted(recorded)
        if intent is None:
            return None
        try:
            with self._database.attempt():
                mark = len(all_changes)
                again = self._operations.run(intent, recorded.version)
                encoded_operation(all_changes[mark:])
                return again
        except NoSpace:
            raise
        except FileError:
            # A case that the rules above decide by dropping, such as an attribute that is gone.
            return None

    def _fitted(self, recorded: Recorded) -> Intent | None:
        match recorded.intent:
            case intents.Create() as intent:
                return self._create(intent)
            case intents.Link() as intent:
                return self._link(intent)
            case intents.Unlink() as intent:
                return self._unlink(intent, InodeNo(recorded.ino))
            case intents.Rmdir() as intent:
                return self._rmdir(intent, InodeNo(recorded.ino))
            case intents.Rename() as intent:
                return self._rename(intent, InodeNo(recorded.ino), InodeNo(recorded.replaced))
            case intents.Restore() as intent:
                return self._restore_again(intent)
            case intents.Forget() | intents.NameBlocks() as intent:
                return intent
            case intents.Write() | intents.Truncate() as intent:
                # Never onto the winner's content: our version is restored at the end, whole,
                # unless we deleted the file ourselves.
                return None if intent.ino in self._rewritten else intent
            case intent:
                return None if intent.ino in self._ours else intent

    def _create(self, intent: intents.Create) -> Intent | None:
        if self._queries.attributes(intent.ino) is not None:
            # Committed already, and then this replica came back from an older copy of itself.
            return None
        if intent.kind is Kind.DIRECTORY and (parent := self._home(intent.parent)) is not None:
            there = self._queries.lookup(parent, intent.name)
            if there is not None and there.is_directory:
                self._outcome.merged[intent.ino] = there.ino
                return None
        parent, name = self._free_place(intent.parent, intent.name, intent.time_ns)
        return msgspec.structs.replace(intent, parent=parent, name=name)

    def _restore_again(self, intent: Restore) -> Intent | None:
        if self._queries.attributes(intent.ino) is not None:
            return None
        if intent.parent == 0:
            return intent
        parent, name = self._free_place(intent.parent, intent.name, intent.time_ns)
        return msgspec.structs.replace(intent, parent=parent, name=name)

    def _link(self, intent: intents.Link) -> Intent | None:
        parent = self._home(intent.parent)
        there = None if parent is None else self._queries.lookup(parent, intent.name)
        if there is not None and there.ino == intent.ino:
            return None
        parent, name = self._free_place(intent.parent, intent.name, intent.time_ns)
        return msgspec.structs.replace(intent, parent=parent, name=name)

    def _unlink(self, intent: intents.Unlink, ino: InodeNo) -> Intent | None:
        place = self._located(intent.parent, intent.name, ino)
        if place is None or ino in self._rewritten:
            return None
        return msgspec.structs.replace(intent, parent=place[0], name=place[1])

    def _rmdir(self, intent: intents.Rmdir, ino: InodeNo) -> Intent | None:
        place = self._located(intent.parent, intent.name, ino)
        if place is None:
            return None
        return msgspec.structs.replace(intent, parent=place[0], name=place[1])

    def _rename(self, intent: intents.Rename, ino: InodeNo, replaced: InodeNo) -> Intent | None:
        source = self._located(intent.parent, intent.name, ino)
        new_parent = self._home(intent.new_parent)
        if source is None:
            return None
        if new_parent is None or self._queries.lies_within(new_parent, ino):
            self._relocated[intent.new_parent, intent.new_name] = source
            return None
        new_name = intent.new_name
        target = self._queries.lookup(new_parent, new_name)
        if intent.flags & intents.RENAME_EXCHANGE:
            place = self._located(intent.new_parent, intent.new_name, replaced)
            if place is None:
                return None
            new_parent, new_name = place
        elif target is not None and target.ino != ino and not self._may_replace(target, replaced):
            new_parent, new_name = self._free_place(intent.new_parent, new_name, intent.time_ns)
        return msgspec.structs.replace(
            intent,
            parent=source[0],
            name=source[1],
            new_parent=new_parent,
            new_name=new_name,
        )

    def _may_replace(self, target: Attributes, meant: InodeNo) -> bool:
        if target.ino != meant or target.ino in self._rewritten:
            return False
        return not (target.is_directory and self._queries.has_names(target.ino))

    # -- places ------------------------------------------------------------------------------

    def _home(self, parent: InodeNo) -> InodeNo | None:
        """Return the directory that *parent* is now, or None if it is gone."""
        parent = self._outcome.merged.get(parent, parent)
        found = self._queries.attributes(parent)
        return parent if found is not None and found.is_directory else None

    def _located(self, parent: InodeNo, name: bytes, ino: InodeNo) -> tuple[InodeNo, bytes] | None:
        """Return where the entry is now that the user knew as *name* in *parent*, or None."""
        for place in ((parent, name), self._relocated.get((parent, name))):
            if place is None or (home := self._home(place[0])) is None:
                continue
            found = self._queries.lookup(home, place[1])
            if found is not None and found.ino == ino:
                return home, place[1]
        return None

    def _free_place(
        self, parent: InodeNo, name: bytes, time_ns: int, *, conflict: bool = False
    ) -> tuple[InodeNo, bytes]:
        """Return a free place for *name* in *parent*, as near to it as the rules allow."""
        home = self._home(parent)
        if home is not None and not conflict and self._queries.lookup(home, name) is None:
            return home, name
        directory = ROOT if home is None else home
        free = next(
            candidate
            for candidate in conflict_names(name, self._device_name, time_ns)
            if self._queries.lookup(directory, candidate) is None
        )
        self._relocated[parent, name] = directory, free
        self._outcome.conflicts.append((directory, free))
        return directory, free
