"""What operations touch: by this the work of two nodes is known to be independent, or not."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import InodeNo, Kind
from lucidnode.fs.replica.pending.rebase import PendingOperation
from lucidnode.fs.replica.sqlite.rows import (
    KIND_COLUMN,
    SIZE_COLUMN,
    TIME_COLUMNS,
    Row,
    RowChange,
    key_of,
)
from lucidnode.node.client.ids import BlockId

T = TypeVar("T")

_MAX_LOCK_BYTES = 4096
"""Of a file that may be a lock: they say who has what they lie beside."""


class WriteSet(NamedTuple):
    """What a list of row changes touches.

    *rows* are hashes of the keys of names, extents, attributes and blocks: numbers, since there may
    be very many, and a collision does no harm. *inodes* are the files and directories that such rows
    belong to or mean, and *changed* those of them with a changed row of their own: an operation that
    sets a directory's time to what it was leaves no trace there. In the rows of *reshaped* more than
    the times changed; those of *born_or_gone* are new or no more.
    """

    rows: tuple[int, ...]
    inodes: tuple[InodeNo, ...]
    changed: tuple[InodeNo, ...]
    reshaped: tuple[InodeNo, ...]
    born_or_gone: tuple[InodeNo, ...]


def write_set_of(changes: list[RowChange]) -> WriteSet:
    """Return what *changes* touch. In updates, columns that stay may be None, except for the key."""
    rows: set[int] = set()
    inodes: set[InodeNo] = set()
    changed: set[InodeNo] = set()
    reshaped: set[InodeNo] = set()
    born_or_gone: set[InodeNo] = set()
    for change in changes:
        table, *versions = change
        key = key_of(change)
        if table == "inode":
            changed.update(_numbers(key[1]))
            if None in versions:
                born_or_gone.update(_numbers(key[1]))
            if not _only_times(*versions):
                reshaped.update(_numbers(key[1]))
            continue
        rows.add(hash(key))
        if table != "block":
            inodes.update(_numbers(key[1]))
        if table == "name":
            inodes.update(_numbers(*(row[2] for row in versions if row is not None)))
    return WriteSet(
        tuple(rows), tuple(inodes | changed), tuple(changed), tuple(reshaped), tuple(born_or_gone)
    )


def _only_times(old: Row | None, new: Row | None) -> bool:
    return (
        old is not None
        and new is not None
        and all(
            place in TIME_COLUMNS or was == now
            for place, (was, now) in enumerate(zip(old, new, strict=True))
            if place
        )
    )


def needs_of(winner: list[RowChange]) -> set[int]:
    """Return the `rows` that *winner* takes for granted: the blocks its new extents lie in.

    One that only pending work of ours has made is not there for anybody else.
    """
    return {row_of(block) for block in used_blocks(winner)}


def row_of(block: BlockId) -> int:
    """Return what stands in `WriteSet.rows` for the row of *block*."""
    return hash(("block", block))


def used_blocks(changes: list[RowChange]) -> set[BlockId]:
    """Return the blocks that *changes* lay extents in."""
    return {
        BlockId(block)
        for table, _, new in changes
        if table == "extent" and new is not None and isinstance(block := new[3], bytes)
    }


def _numbers(*values: int | bytes | str | None) -> Iterator[InodeNo]:
    return (InodeNo(value) for value in values if isinstance(value, int))


class Step(NamedTuple):
    """What one pending operation touches, and waits for.

    *content* is the file whose content it changes, *creates* the one it makes, *behind* the one with
    bytes that became a content later but were there before this. *blocks* are those that must be in the bucket
    before an entry may name them, *uses* those that its extents lie in. A *mark*, and
    a *lease*, may come before the content that waits. One that stands *alone* may follow no entry but the one
    it was made on. *directory* is one that it makes, *names* the one in which it makes a name that nobody else may have,
    *frees* the one from which it takes what may have been a lock.
    """

    id: int
    touches: WriteSet
    moves_directory: bool
    removes: bool
    content: InodeNo | None
    creates: InodeNo | None
    behind: InodeNo | None
    blocks: tuple[BlockId, ...]
    uses: tuple[BlockId, ...]
    mark: bool
    lease: intents.Lease | None
    directory: InodeNo | None
    names: InodeNo | None
    frees: InodeNo | None

    @classmethod
    def of(cls, item: PendingOperation) -> Step:
        """Return the step that *item* is."""
        touches = write_set_of(item.changes)
        intent = item.recorded.intent
        content = creates = None
        if isinstance(intent, intents.CONTENT_CHANGES | intents.Restore):
            content = intent.ino
        elif isinstance(intent, intents.Create) and intent.kind is Kind.FILE:
            creates = intent.ino
        blocks = tuple(
            BlockId(bytes(new[0]))
            for table, old, new in item.changes
            if table == "block" and old is None and new is not None
        )
        return cls(
            item.id,
            touches,
            _moves_directory(item),
            isinstance(intent, intents.Unlink | intents.Rmdir) or item.recorded.replaced != 0,
            content,
            creates,
            InodeNo(item.recorded.ino) if item.recorded.behind_tails else None,
            blocks,
            tuple(used_blocks(item.changes)),
            isinstance(intent, intents.Lease)
            or (isinstance(intent, intents.Mark) and intent.value is not None),
            intent if isinstance(intent, intents.Lease) else None,
            _directory_made(intent),
            _names_made_in(intent),
            _freed(item),
        )


class WriteSetIndex:
    """The write sets of all that waits, oldest first: one look tells whether an entry meets them.

    It may know too much (a collision), never too little.
    """

    def __init__(self) -> None:
        self._steps: deque[Step] = deque()
        self._rows: Counter[int] = Counter()
        self._inodes: Counter[InodeNo] = Counter()
        self._moves: set[int] = set()
        self._removals: set[int] = set()
        self._deleted: set[InodeNo] = set()
        self._leases: dict[int, intents.Lease] = {}
        self._directories: dict[InodeNo, int] = {}
        self._names: Counter[InodeNo] = Counter()

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, item: PendingOperation) -> None:
        """Put *item* at the end."""
        step = Step.of(item)
        self._steps.append(step)
        self._rows.update(step.touches.rows)
        self._inodes.update(step.touches.inodes)
        self._deleted.update(_deleted(item))
        if step.lease is not None:
            self._leases[step.id] = step.lease
        if step.moves_directory:
            self._moves.add(step.id)
        if step.removes:
            self._removals.add(step.id)
        if step.directory is not None:
            self._directories[step.directory] = step.id
        if step.names is not None:
            self._names[step.names] += 1

    def drop(self, last: int) -> None:
        """Forget everything up to *last*: it waits no more."""
        while self._steps and self._steps[0].id <= last:
            self._forget(self._steps.popleft())

    def take_back(self, last: int) -> None:
        """Forget everything behind *last*: its transaction has failed."""
        while self._steps and self._steps[-1].id > last:
            self._forget(self._steps.pop())

    def _forget(self, step: Step) -> None:
        _uncount(self._rows, step.touches.rows)
        _uncount(self._inodes, step.touches.inodes)
        self._leases.pop(step.id, None)
        self._moves.discard(step.id)
        self._removals.discard(step.id)
        if step.directory is not None:
            self._directories.pop(step.directory, None)
        if step.names is not None:
            _uncount(self._names, (step.names,))

    def reorder(self, steps: Iterable[Step]) -> None:
        """Stand in the order of *steps*: all that is here, some with other numbers."""
        self._steps = deque(steps)
        self._moves = {step.id for step in self._steps if step.moves_directory}
        self._removals = {step.id for step in self._steps if step.removes}
        self._leases = {step.id: step.lease for step in self._steps if step.lease is not None}
        self._directories = {
            step.directory: step.id for step in self._steps if step.directory is not None
        }

    def names(self, block: BlockId) -> bool:
        """Tell whether anything that waits names *block* for the first time."""
        return row_of(block) in self._rows

    def touches(self, ino: InodeNo) -> bool:
        """Tell whether anything that waits touches *ino*."""
        return ino in self._inodes

    def leases(self) -> list[intents.Lease]:
        """Return what waits to change a lease, oldest first."""
        return [lease for _, lease in sorted(self._leases.items())]

    def makes(self, directory: InodeNo) -> int | None:
        """Return the number of the operation that waits and makes *directory*, or None."""
        return self._directories.get(directory)

    def makes_names_in(self, directory: InodeNo) -> bool:
        """Tell whether anything waits that makes a name in *directory* which nobody else may have."""
        return directory in self._names

    def directories_named_in(self) -> list[InodeNo]:
        """Return the directories for which `makes_names_in` holds."""
        return list(self._names)

    def touched(self, ino: InodeNo, mark: int) -> bool:
        """Tell whether an operation numbered *mark* or less that touches *ino* waits."""
        if ino not in self._inodes:
            return False
        return any(ino in step.touches.inodes for step in self._steps if step.id <= mark)

    def moves_directory(self, number: int) -> bool:
        """Tell whether the operation in row *number* may have moved a directory, or two."""
        return number in self._moves

    def removes(self) -> bool:
        """Tell whether anything that waits takes a name away."""
        return bool(self._removals)

    def contents_deleted(self, behind: int) -> dict[InodeNo, set[BlockId]]:
        """Return the blocks of contents that wait behind number *behind*, of files that were deleted.

        So far as an extent still lies in them when its operation is done. Such a file may be there again.
        """
        found: dict[InodeNo, set[BlockId]] = {}
        if self._deleted:
            waiting: set[InodeNo] = set()
            for step in self._steps:
                if step.content in self._deleted:
                    waiting.add(step.content)
                    if step.id > behind:
                        found.setdefault(step.content, set()).update(step.uses)
            self._deleted &= waiting
        return found

    def shared(self, theirs: WriteSet, needs: set[int]) -> set[InodeNo] | None:
        """Return the files and directories that both sides touch; None if they touch a row both.

        None also if ours changed one of the rows that they need, and while we move directories:
        two such moves make a cycle out of rows that only one of them touches; and while we change a lease
        that no entry may come before.
        """
        if (
            self._moves
            or self._stands_alone()
            or any(key in self._rows for key in (*theirs.rows, *needs))
        ):
            return None
        return {ino for ino in theirs.inodes if ino in self._inodes}

    def _stands_alone(self) -> bool:
        return any(lease.alone for lease in self._leases.values())

    def first_changes_of(self, inos: set[InodeNo]) -> dict[InodeNo, int]:
        """Return the oldest operation that changed the row itself, for those of *inos* with one.

        It looks no further than to the last of them: mostly a directory, and the first work in it.
        """
        first: dict[InodeNo, int] = {}
        for step in self._steps:
            if len(first) == len(inos):
                break
            for ino in step.touches.changed:
                if ino in inos:
                    first.setdefault(ino, step.id)
        return first

    def changing(self, ino: InodeNo) -> list[int]:
        """Return the operations that changed the row of *ino* itself, oldest first."""
        return [step.id for step in self._steps if ino in step.touches.changed]


def _uncount(counted: Counter[T], gone: tuple[T, ...]) -> None:
    for each in gone:
        counted[each] -= 1
        if not counted[each]:
            del counted[each]


def _deleted(item: PendingOperation) -> Iterator[InodeNo]:
    """Yield the files and directories that *item* removed."""
    return (
        InodeNo(int(old[0]))
        for table, old, new in item.changes
        if table == "inode" and old is not None and new is None
    )


def _moves_directory(item: PendingOperation) -> bool:
    """Tell whether *item* may have moved a directory: a rename of what is not known to be a file.

    Of what an earlier release has recorded the rows may tell; but a rename in the same tick of the
    clock as the change before it leaves no trace in them.
    """
    intent = item.recorded.intent
    if not isinstance(intent, intents.Rename) or item.recorded.moves_files:
        return False
    moved = {item.recorded.ino}
    if intent.flags & intents.RENAME_EXCHANGE:
        moved.add(item.recorded.replaced)
    files = {
        row[0]
        for table, *versions in item.changes
        if table == "inode"
        for row in versions
        if row is not None and row[KIND_COLUMN] != Kind.DIRECTORY
    }
    return not moved <= files


def _directory_made(intent: intents.Intent) -> InodeNo | None:
    if isinstance(intent, intents.Create) and intent.kind is Kind.DIRECTORY:
        return intent.ino
    return None


def _names_made_in(intent: intents.Intent) -> InodeNo | None:
    """Return in which directory *intent* makes a name that may not be there: for a file, if asked so."""
    match intent:
        case intents.Create() | intents.Link():
            return intent.parent
        case intents.Rename() if intent.flags & intents.RENAME_NOREPLACE:
            return intent.new_parent
        case _:
            return None


def _freed(item: PendingOperation) -> InodeNo | None:
    """Return the directory from which *item* takes a name that may have kept others out: a lock file's.

    Not of a directory: all other names beside one that waits would wait as well.
    """
    match item.recorded.intent:
        case intents.Unlink(parent=parent):
            sizes = [
                size
                for table, old, _ in item.changes
                if table == "inode"
                and old is not None
                and old[KIND_COLUMN] != Kind.DIRECTORY
                and isinstance(size := old[SIZE_COLUMN], int)
            ]
            return parent if sizes and max(sizes) <= _MAX_LOCK_BYTES else None
        case _:
            return None
