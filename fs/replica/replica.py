"""The metadata of one project on this node: all that is committed, and what we did since.

Every method but `barrier` is synchronous, short, and one SQLite transaction at most: a crash leaves
all of it or nothing. One thread uses a replica; in asyncio that thread is the loop's.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from lucidnode.fs.errors import FileError, FileTooBig, NoSpace, ReadOnly
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.barrier import Barrier
from lucidnode.fs.replica.changes import Batch, GivenUp, Head, InFlight, Touched, touched_by
from lucidnode.fs.replica.database import ChangesetUnfit, Database
from lucidnode.fs.replica.id_allocator import IdAllocator
from lucidnode.fs.replica.inode import (
    MAX_FILE_SIZE,
    NOT_COUNTED,
    Attributes,
    Extent,
    InodeNo,
    Tail,
    Version,
)
from lucidnode.fs.replica.intents import Intent, OperationRecord
from lucidnode.fs.replica.pending.batch_selection import Contents, Shipping
from lucidnode.fs.replica.pending.earlier import EarlierContents
from lucidnode.fs.replica.pending.fast_forward import fast_forward
from lucidnode.fs.replica.pending.inode_aliases import InodeAliases
from lucidnode.fs.replica.pending.journal import PendingJournal
from lucidnode.fs.replica.pending.kept import KeptFile, KeptFiles
from lucidnode.fs.replica.pending.lost_contents import losses
from lucidnode.fs.replica.pending.rebase import PendingOperation, Rebase, RebaseResult
from lucidnode.fs.replica.rows import SIZE_COLUMN, RowChange
from lucidnode.fs.replica.tails import Tails
from lucidnode.fs.replica.tree.extent_table import ExtentTable
from lucidnode.fs.replica.tree.operations import SLICE, Operations
from lucidnode.fs.replica.tree.queries import Queries
from lucidnode.fs.replica.tree.row_rules import checked_changes
from lucidnode.node.client.ids import BlockId, Seq
from lucidnode.node.client.journal import empty_link

log = logging.getLogger(__name__)

_MOST_BYTES = 2**63 - 1
"""Sizes count holes, so a project can show more bytes than programs have numbers for."""

_MOST_COUNTED = 4096
"""Large files whose stored bytes are remembered."""


class Replica:
    """One project's tree. Make it with `open`, and `close` it."""

    def __init__(self, database: Database, device_name: str, numbers: IdAllocator) -> None:
        self._database = database
        self._device_name = device_name
        self._numbers = numbers
        self._queries = Queries(database)
        self._content = ExtentTable(database)
        self._operations = Operations(database)
        self._journal = PendingJournal(database)
        self._tails = Tails(database)
        self._unsynced = database.unsynced
        self._barrier = Barrier(database.log_path)
        self._usage: tuple[int, int] | None = None
        self._stored: dict[InodeNo, tuple[Version, int]] = {}
        self._stopped: str | None = None
        self._on_work: Callable[[], None] = _nobody
        self._content_changed: Callable[[InodeNo | None], None] = _nobody_for
        self._unsaved: Callable[[], Mapping[InodeNo, bool]] = dict
        self._merged = InodeAliases()
        self._earlier = EarlierContents(database, self._queries)
        self._kept = KeptFiles(self._queries, self._tails.of, self._earlier)

    @classmethod
    def open(
        cls,
        path: Path,
        key: bytes,
        device_name: str,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Replica:
        """Open the replica at *path*, sealed under the 32-byte *key*; an absent one is created.

        *device_name* is what people call this workstation: it appears in names of conflict copies.
        Raises a ReplicaError, or NoSpace.
        """
        database = Database.open(path, key)
        try:
            replica = cls(database, device_name, IdAllocator(database, random_bytes))
            replica._forget_orphans()
        except BaseException:
            database.close()
            raise
        return replica

    def close(self) -> None:
        """Close the files. Everything applied is kept, pending work included."""
        self._barrier.close()
        self._database.close()

    @property
    def files(self) -> list[Path]:
        """The files that hold it, as long as it is open."""
        return self._database.files

    async def barrier(self) -> None:
        """Return once everything applied before this call survives a power cut.

        Except what names blocks that are `unsynced`, and all after it.
        """
        await self._barrier.wait()

    # -- what a power cut may take back ------------------------------------------------------

    def count_commits(self, on_commit: Callable[[], None]) -> None:
        """Have *on_commit* called whenever something has been recorded."""
        self._database.on_commit = on_commit

    def newest_unsynced(self) -> int:
        """Return a mark for all that names blocks which may not be on the disk, 0 if none does."""
        return self._unsynced.newest()

    def unsynced(self, *, but_of: str = "") -> list[BlockId]:
        """Return the blocks that may not be on the disk; not those of the boot *but_of*."""
        return self._unsynced.blocks(but_of=but_of)

    def synced(self, mark: int) -> None:
        """Note that the blocks of all that was unsynced up to *mark* are on the disk.

        True after a power cut once `barrier` has returned. Raises NoSpace.
        """
        self._database.synced(mark)

    def take_back(self, lost: Collection[BlockId]) -> list[str]:
        """Undo what names the blocks *lost*, and all that was done after it; see unsynced.py.

        Returns the paths of the files whose content that was, as they were last called. To be
        called before anybody uses this replica. Raises NoSpace.
        """
        first, inodes = self._unsynced.doomed(lost)
        if not first:
            return []
        paths = self._paths(inodes)
        self._database.take_back(first)
        paths = self._paths(inodes) | paths
        self._journal = PendingJournal(self._database)
        self._tails.recount_all()
        self._earlier.reload()
        self._content_changed(None)
        self._usage = None
        self._stored.clear()
        self._forget_orphans()
        return sorted(paths.values())

    def _paths(self, inodes: Iterable[int]) -> dict[int, str]:
        """Return the paths of those of *inodes* that have a name."""
        return {ino: self.shown_path(InodeNo(ino)) for ino in inodes if self.names_of(InodeNo(ino))}

    # -- questions ---------------------------------------------------------------------------

    def lookup(self, parent: InodeNo, name: bytes) -> Attributes | None:
        """Return what *name* in directory *parent* means, or None."""
        found = self._queries.lookup(self._merged.now(parent), name)
        return None if found is None else self._with_tails(found)

    def attributes(self, ino: InodeNo) -> Attributes | None:
        """Return the attributes of *ino*, tails included, or None if it does not exist.

        A file that is kept has no names, and stays as it was when it lost them: see `keep`.
        """
        if (kept := self._kept.get(ino)) is not None:
            return kept.attributes
        found = self._queries.attributes(self._merged.now(ino))
        return None if found is None else self._with_tails(found)

    def list_names(
        self, parent: InodeNo, after: bytes | None = None, limit: int = 1000
    ) -> list[tuple[bytes, Attributes]]:
        """Return up to *limit* names of *parent* greater than *after*, in byte order."""
        found = self._queries.list_names(self._merged.now(parent), after, limit)
        if not self._tails.ends and not self._earlier:
            return found
        return [(name, self._with_tails(attributes)) for name, attributes in found]

    def names_in(self, parent: InodeNo) -> Iterator[bytes]:
        """Yield every name in directory *parent*; change nothing meanwhile."""
        return self._queries.names_in(self._merged.now(parent))

    def parent_of(self, directory: InodeNo) -> InodeNo | None:
        """Return the parent of *directory*; None for the root and for what is not in the tree."""
        return self._queries.parent_of(self._merged.now(directory))

    def shown_path(self, ino: InodeNo) -> str:
        """Return a path of *ino*, for people."""
        return self._queries.shown_path(self._merged.now(ino))

    def names_of(self, ino: InodeNo) -> list[tuple[InodeNo, bytes]]:
        """Return every (parent, name) that means *ino*."""
        return self._queries.names_of(self._merged.now(ino))

    def conflict_copies(self, limit: int) -> list[tuple[InodeNo, bytes]]:
        """Return up to *limit* (parent, name) with the mark of a conflict. Looks at every name."""
        return self._queries.conflict_copies(limit)

    def readlink(self, ino: InodeNo) -> bytes:
        """Return the target of symbolic link *ino*; raises FileMissing."""
        return self._queries.readlink(ino)

    def xattr(self, ino: InodeNo, name: bytes) -> bytes:
        """Return the value of an extended attribute, or raise NoAttribute."""
        if (kept := self._kept.get(ino)) is not None:
            return kept.xattr(name)
        return self._queries.xattr(self._merged.now(ino), name)

    def xattr_names(self, ino: InodeNo) -> list[bytes]:
        """Return the names of all extended attributes of *ino* but its mark."""
        kept = self._kept.get(ino)
        xattrs = (
            self._queries.xattrs(self._merged.now(ino)) if kept is None else kept.version.xattrs
        )
        return [name for name, _ in xattrs if name != intents.MARK]

    def mark(self, ino: InodeNo) -> bytes | None:
        """Return the mark of a file that is on its way, None if it has none."""
        return self._queries.mark(ino)

    def marks(self) -> list[tuple[InodeNo, bytes]]:
        """Return every file with a mark, and its mark."""
        return self._queries.marks()

    def extents(self, ino: InodeNo, offset: int, length: int) -> list[Extent]:
        """Return what maps [offset, offset + length), in order and cut to it; holes are absent.

        The loose tails of the file lie over this: see `tails_of`.
        """
        if (kept := self._kept.get(ino)) is not None:
            return kept.within(offset, length)
        if ino in self._earlier:
            return self._earlier.extents(ino, offset, length)
        return self._queries.extents(ino, offset, length)

    def stored_bytes(self, found: Attributes) -> int:
        """Return how many bytes extents and tails hold of the file with the attributes *found*."""
        tails = sum(len(tail.data) for tail in self.tails_of(found.ino))
        if found.stored != NOT_COUNTED:
            return found.stored + tails
        if (kept := self._kept.get(found.ino)) is not None:
            return sum(extent.length for extent in kept.version.extents) + tails
        version, stored = self._stored.get(found.ino, (None, 0))
        if version != found.version:
            earlier = found.ino in self._earlier
            stored = (self._earlier if earlier else self._queries).stored_bytes(found.ino)
            if len(self._stored) >= _MOST_COUNTED:
                self._stored.clear()
            self._stored[found.ino] = found.version, stored
        return stored + tails

    def usage(self) -> tuple[int, int]:
        """Return (plain bytes, inodes) of the project; of bytes, 2**63 - 1 means "or more"."""
        if self._usage is None:
            self._usage = self._queries.usage()
        size, count = self._usage
        return min(size, _MOST_BYTES), count

    # -- operations --------------------------------------------------------------------------

    def new_ino(self) -> InodeNo:
        """Return an inode number for a file to be created."""
        return self._numbers.ino()

    def apply(self, intent: Intent, loose: Collection[BlockId] = ()) -> Attributes | None:
        """Do *intent*, and have it committed later. Of its blocks, *loose* are not durable yet.

        Returns the attributes of the file it was about, or None if that is gone now. Raises the
        FileError that the operation meets; nothing has changed then. Raises NoSpace on a full disk.
        """
        intent = self._merged.redirected(intent)
        if isinstance(intent, intents.Truncate):
            # A huge file shrinks in steps, each small enough for one journal entry.
            while (cut := self._content.cut_point(intent.ino, SLICE + 1)) > max(intent.size, 0):
                self._do(intents.Truncate(intent.ino, cut, intent.time_ns))
        replaced = self._replaced_by(intent)
        recorded = self._do_in_parts(intent, loose)
        if recorded.ino == 0:
            return None
        found = self.attributes(InodeNo(recorded.ino))
        if isinstance(intent, intents.Forget):
            while found is not None and found.nlink == 0:
                self._do(intent)
                found = self._queries.attributes(intent.ino)
        elif isinstance(intent, intents.Unlink | intents.Rename) and not intent.keep:
            self._reap(InodeNo(recorded.replaced or recorded.ino))
            self._kept.keep(replaced, [])
        return found

    def stop(self, reason: str) -> None:
        """Refuse every operation from now on with ReadOnly; questions are still answered."""
        self._stopped = reason

    def go_on(self) -> None:
        """Take operations again after `stop`."""
        self._stopped = None

    def check_running(self) -> None:
        """Raise ReadOnly if `stop` was called."""
        self._must_run()

    # -- tails -------------------------------------------------------------------------------

    def put_tail(
        self, ino: InodeNo, offset: int, data: bytes, time_ns: int, *, appended: bool = False
    ) -> None:
        """Keep *data*, written at *offset* at *time_ns*, until it is packed into a block.

        *appended* data belong at the end of the file, and move with it. It survives once `barrier` has returned. Time 0 leaves the times of the file alone.
        Raises FileMissing, FileTooBig, ReadOnly, NoSpace.
        """
        self._must_run()
        if offset + len(data) > MAX_FILE_SIZE:
            raise FileTooBig("write")
        self._queries.existing(ino)
        with self._database.transaction() as changes:
            if time_ns:
                times = intents.SetAttributes(ino, time_ns=time_ns, mtime_ns=time_ns)
                self._record(times, changes, behind_tails=True)
            self._tails.put(ino, offset, data, appended=appended)
        self._tails.recount(ino)
        self._on_work()

    def tails(self) -> list[Tail]:
        """Return every loose tail, oldest first."""
        return self._tails.loose()

    def tails_of(self, ino: InodeNo) -> list[Tail]:
        """Return the loose tails of *ino*. They never overlap, and lie over its extents."""
        kept = self._kept.get(ino)
        return self._tails.of(ino) if kept is None else kept.tails

    def packed(
        self, pack: BlockName, places: Iterable[tuple[int, int]], writes: Iterable[intents.Write]
    ) -> None:
        """Turn tails into extents: (row, offset in the pack) each, and the writes that map them.

        The writes carry time 0, since `put_tail` accounted for the times. Tails of files that
        are gone are simply in the pack.
        """
        with self._database.transaction() as changes:
            writes = [
                msgspec.structs.replace(write, appended=self._tails.only_appended(write.ino))
                for write in writes
            ]
            self._tails.assign(pack.id, places)
            self._record(intents.NameBlocks([pack]), changes)
            for write in writes:
                if self._queries.attributes(write.ino) is not None:
                    for part in self._content.parts(write, SLICE):
                        self._record(part, changes)
        self._tails.recount_all()
        self._changed(changes)

    def packs(self) -> dict[BlockId, list[Tail]]:
        """Return the packs not released, with their tails in order: to be sealed and staged."""
        return self._tails.packs()

    def pack_ids(self) -> set[BlockId]:
        """Return the packs not released: their bytes are in the replica."""
        return self._tails.pack_ids()

    def release_pack(self, pack: BlockId) -> None:
        """Forget the tails of *pack*, now that its block is durably staged."""
        with self._database.transaction():
            self._tails.release(pack)

    # -- the committer's side ----------------------------------------------------------------

    def set_dirty_source(self, unsaved: Callable[[], Mapping[InodeNo, bool]]) -> None:
        """Count the files that *unsaved* names as changed by us when another's entry comes in.

        Their bytes in memory were written over the content as it was. Laid over the winner's they
        would make a file that nobody wrote; so our version goes into a conflict copy. Not if
        *unsaved* says that all of them belong at the end of the file: then they follow it.
        """
        self._unsaved = unsaved

    def keep(self, in_use: Callable[[InodeNo], bool]) -> None:
        """Keep files readable that others delete while *in_use* tells that somebody needs them."""
        self._kept.in_use = in_use

    def is_kept(self, ino: InodeNo) -> bool:
        """Tell whether *ino* is no more, and is kept for those who use it."""
        return self._kept.get(ino) is not None

    def is_former(self, ino: InodeNo) -> bool:
        """Tell whether *ino* is shown as it was: it is no more, or a new content is arriving.

        What is written goes to a file of its own then: see `bring_back`.
        """
        return ino in self._earlier or self._kept.get(ino) is not None

    def let_go(self, ino: InodeNo) -> None:
        """Keep *ino* no longer: nobody can ask for it any more."""
        self._kept.forget(ino)

    def bring_back(self, ino: InodeNo, time_ns: int) -> Touched:
        """Make *ino* anew as it is shown, beside what has its name now: a program goes on with it.

        For a file that `is_former`. It is another inode, as `Touched.moved` says, while the old one
        exists. Raises ReadOnly, NoSpace.
        """
        self._must_run()
        kept = self._kept.get(ino) or self._kept.snapshot(self._queries.existing(ino))
        new = ino if self._queries.attributes(ino) is None else self.new_ino()
        made, conflicts = self._kept.back(kept, new, self._device_name, time_ns)
        with self._database.transaction() as changes:
            for intent in made:
                self._record(intent, changes)
            for tail in kept.tails:
                self._tails.put(new, tail.offset, tail.data)
        self._tails.recount(new)
        if new == ino:
            self._kept.forget(ino)
        self._changed(changes)
        return touched_by(
            changes,
            moved={} if new == ino else {ino: new},
            conflicts=tuple(conflicts),
            refused=None,
        )

    def watch_contents(self, changed: Callable[[InodeNo | None], None]) -> None:
        """Have *changed* told of each file whose content may change, before that is answered.

        None is all files. It may be told of more than what changes, and of what is undone.
        """
        self._content_changed = changed
        self._database.on_content = lambda ino: changed(InodeNo(ino))

    def watch(self, on_work: Callable[[], None]) -> None:
        """Have *on_work* called after every operation that needs committing."""
        self._on_work = on_work

    def head(self) -> Head:
        """Return the journal entry this replica stands on."""
        return self._journal.head()

    def pending(self) -> int:
        """Return how many operations are not committed yet; tails are not counted."""
        return self._journal.count()

    def has_work(self) -> bool:
        """Tell whether anything waits for a commit, tails included."""
        return bool(self._tails.ends) or self._journal.oldest() is not None

    def newest(self) -> int:
        """Return a mark for everything done so far, for `is_settled`."""
        return self._journal.last

    def is_settled(self, mark: int, ino: InodeNo | None = None) -> bool:
        """Tell whether everything up to *mark* is committed, or all that touches *ino* of it."""
        if ino is not None:
            return not self._journal.line.touched(ino, mark)
        oldest = self._journal.oldest()
        return oldest is None or oldest > mark

    def is_pending(self, ino: InodeNo) -> bool:
        """Tell whether an operation that touches *ino*, or a tail of it, is not committed yet."""
        return ino in self._tails.ends or self._journal.line.touches(ino)

    def contents(self, shipping: Shipping) -> Contents:
        """Return how far the contents are that no entry has carried yet."""
        return self._journal.contents(shipping)

    def blocks_waited_for(self) -> Iterator[BlockId]:
        """Yield the blocks that pending work needs in the bucket, oldest first."""
        return (block for step in self._journal.line for block in step.blocks)

    def blocks_of_contents(self) -> dict[InodeNo, set[BlockId]]:
        """Return the blocks that the content of each file lies in, as far as it is not committed."""
        blocks: dict[InodeNo, set[BlockId]] = {}
        for step in self._journal.line:
            if step.content is not None:
                blocks.setdefault(step.content, set()).update(step.uses)
        return blocks

    def next_batch(self, shipping: Shipping | None = None) -> Batch | None:
        """Return what the next entry should carry, or None. Operations that cancel out go.

        With *shipping*, that is what can be committed now, ahead of what has to wait; without, all
        of it in its order.
        """
        first_held = None
        if shipping is not None:
            choice = self._journal.choose(shipping)
            if choice.held:
                if not choice.ready:
                    return None
                with self._database.transaction():
                    line = self._journal.give_way(choice)
                self._journal.line.reorder(line)
                first_held = choice.held[0].id
        while (batch := self._journal.batch(first_held)) is not None and not batch.changeset:
            with self._database.transaction():
                self._journal.settle(batch.last)
            self._journal.line.drop(batch.last)
        if batch is not None and (cut := self._journal.cut_by(batch.last)):
            with self._database.transaction():
                self._journal.say_that_more_follows(cut, batch.last)
            batch = self._journal.batch(self._journal.after(batch.last))
        return batch

    def in_flight(self) -> InFlight | None:
        """Return the entry that may exist in the bucket already, or None."""
        return self._journal.in_flight()

    def set_in_flight(self, batch: Batch, unsigned: bytes) -> InFlight:
        """Remember that *batch*, sealed as *unsigned*, is about to be sent.

        Wait for `barrier` before sending: after a power cut we must know our own entry.
        """
        flight = InFlight(batch.seq, unsigned, batch.needs, batch.last)
        with self._database.transaction():
            self._journal.set_in_flight(flight)
        return flight

    def settled_committed(self, seq: Seq, entry_hash: bytes) -> None:
        """Note that the entry in flight is committed as *seq*."""
        flight = self.in_flight()
        assert flight is not None
        assert flight.seq == seq
        with self._database.transaction():
            self._journal.settle(flight.last)
            self._journal.set_head(seq, entry_hash)
            if self._earlier and self._journal.oldest() is None:
                self._earlier.forget_gone()
        self._earlier.reload()
        self._content_changed(None)
        self._journal.line.drop(flight.last)

    def apply_entry(self, seq: Seq, entry_hash: bytes, changeset: bytes | None) -> Touched:
        """Stand on entry *seq* of another, our pending work on top; ours in flight has lost.

        None is an entry that failed verification: it counts as empty. So does a changeset that
        does not fit, on every node alike since all stand on the same state; `refused` says why.
        """
        assert seq == self.head().seq + 1, "entries are applied in order"
        refused = rebased = None
        leaving: list[KeptFile] = []
        with self._database.transaction() as changes:
            if changeset:
                try:
                    with self._database.attempt():
                        winner = checked_changes(changeset)
                        leaving = self._kept.leaving(winner)
                        rebased = self._apply_winner(changeset, winner, changes)
                except ChangesetUnfit as error:
                    refused = str(error)
            outcome = rebased or RebaseResult()
            for old, new in outcome.moved.items():
                self._tails.move(old, new)
            for ino, by in outcome.shifted.items():
                self._tails.shift(ino, by)
            empty = changeset is None or refused is not None
            self._journal.set_head(seq, empty_link(entry_hash) if empty else entry_hash)
        if rebased is not None:
            self._journal.reload()
        self._tails.recount_all()
        self._earlier.reload()
        self._content_changed(None)
        self._kept.keep(leaving, changes)
        self._merged.forget(_inserted(changes))
        self._merged.add(outcome.merged)
        self._changed(changes)
        return touched_by(
            changes,
            moved={**outcome.merged, **outcome.moved},
            conflicts=tuple(outcome.conflicts),
            refused=refused,
            shifted=outcome.shifted,
        )

    def give_up(self, lost: Collection[BlockId], time_ns: int) -> GivenUp:
        """Go on without the contents of which a block is *lost*: nobody has it any more.

        Pending work is undone and runs again without them, so each file is as it was before; a name
        that others saw ahead of its content goes. An entry in flight that needs one of *lost*
        cannot be in the bucket, and is forgotten. Raises NoSpace.
        """
        flight = self.in_flight()
        waiting = self._journal.waiting()
        gone = losses(waiting, lost)
        paths = {ino: self._queries.shown_path(ino) for ino in gone.files if self._has_name(ino)}
        with self._database.transaction() as changes:
            self._database.undo([change for item in waiting for change in item.changes])
            outcome = RebaseResult()
            for item in waiting:
                if item.id not in gone.dropped and (again := self._again(item, changes)):
                    outcome.standing.append(again)
            self._journal.replace(outcome)
            for ino in gone.bare:
                self._tails.drop(ino)
            if flight is not None and not set(lost).isdisjoint(flight.needs):
                self._journal.forget_in_flight()
        self._journal.reload()
        self._tails.recount_all()
        self._changed(changes)
        touched = touched_by(changes, moved={}, conflicts=(), refused=None)
        for ino in gone.files:
            self._remove_if_never_whole(ino, time_ns)
        return GivenUp(tuple(paths.values()), touched)

    def unsent_files(self) -> frozenset[InodeNo]:
        """Return the files whose content, or part of it, no entry has carried yet."""
        changes = [change for item in self._journal.waiting() for change in item.changes]
        return _content_of(changes) | frozenset(self._tails.ends)

    # -- inside ------------------------------------------------------------------------------

    def _apply_winner(
        self, changeset: bytes, winner: list[RowChange], changes: list[RowChange]
    ) -> RebaseResult | None:
        """Apply the winner's *changeset*; return how our work was rebased, or None if it was not."""
        unsaved = self._unsaved()
        ours = {*self._tails.ends, *unsaved}

        def on_base() -> None:
            self._earlier.note(winner)

        if fast_forward(self._database, self._journal, changeset, winner, ours, on_base):
            log.debug("fast-forward: %d rows under our pending work", len(winner))
            return None
        rebase = Rebase(
            self._database,
            self._operations,
            device_name=self._device_name,
            new_ino=self.new_ino,
            tails=ours,
            appending={
                ino for ino in ours if unsaved.get(ino, True) and self._tails.only_appended(ino)
            },
            version_of=self._earlier.version,
            on_base=on_base,
        )
        outcome = rebase.run(self._journal.waiting(), changeset, winner, changes)
        self._journal.replace(outcome)
        log.debug(
            "rebase: %d rows came first; %d operations of ours stand, %d are new, %d conflicts",
            len(winner),
            len(outcome.standing),
            len(outcome.restored),
            len(outcome.conflicts),
        )
        return outcome

    def _again(self, item: PendingOperation, changes: list[RowChange]) -> PendingOperation | None:
        """Run an operation of ours again; None if it needs what is no more."""
        mark = len(changes)
        try:
            with self._database.attempt():
                recorded = self._operations.run(item.recorded.intent, item.recorded.version)
        except NoSpace:
            raise
        except FileError:
            return None
        recorded = msgspec.structs.replace(recorded, behind_tails=item.recorded.behind_tails)
        return PendingOperation(item.id, recorded, changes[mark:])

    def _has_name(self, ino: InodeNo) -> bool:
        found = self._queries.attributes(ino)
        return found is not None and found.nlink > 0

    def _remove_if_never_whole(self, ino: InodeNo, time_ns: int) -> None:
        """Remove a file that others know by its name and mark only."""
        found = self.attributes(ino)
        if found is None or found.size or self._queries.mark(ino) is None:
            return
        for parent, name in self._queries.names_of(ino):
            self.apply(intents.Unlink(parent, name, time_ns, keep=self._kept.in_use(ino)))

    def _replaced_by(self, intent: Intent) -> list[KeptFile]:
        """Return the file that *intent* takes away, if somebody may be about to open it."""
        if not isinstance(intent, intents.Rename) or intent.keep:
            return []
        found = self._queries.lookup(intent.new_parent, intent.new_name)
        return [] if found is None else self._kept.as_it_is(found.ino)

    def _do_in_parts(self, intent: Intent, loose: Collection[BlockId]) -> OperationRecord:
        """Do *intent*, a huge write in parts that each fit one journal entry; return the last."""
        if not isinstance(intent, intents.Write):
            return self._do(intent)
        parts = self._content.parts(intent, SLICE)
        recorded = self._do(next(parts), loose)
        for part in parts:
            # All that comes after a part goes with it, so its blocks need not be named again.
            recorded = self._do(part)
        return recorded

    def _do(self, intent: Intent, loose: Collection[BlockId] = ()) -> OperationRecord:
        self._must_run()
        with self._database.transaction(loose) as changes:
            recorded = self._record(intent, changes)
            touched = self._tails.cover(recorded)
        for ino in touched:
            self._tails.recount(ino)
        self._changed(changes)
        return recorded

    def _record(
        self, intent: Intent, changes: list[RowChange], *, behind_tails: bool = False
    ) -> OperationRecord:
        mark = len(changes)
        recorded = self._operations.run(intent, self._numbers.version())
        if behind_tails or recorded.ino in self._tails.ends:
            recorded = msgspec.structs.replace(recorded, behind_tails=True)
        self._journal.add(recorded, changes[mark:])
        return recorded

    def _changed(self, changes: list[RowChange]) -> None:
        if self._usage is not None:
            size, count = self._usage
            for table, old, new in changes:
                if table == "inode":
                    size += _size(new) - _size(old)
                    count += (new is not None) - (old is not None)
            self._usage = size, count
        self._on_work()

    def _reap(self, ino: InodeNo) -> None:
        """Delete a file without names that was too big to go with its last name."""
        found = self._queries.attributes(ino)
        if found is not None and found.nlink == 0:
            self.apply(intents.Forget(ino))

    def _forget_orphans(self) -> None:
        """Delete the files that were open without a name when this replica was last closed."""
        for (ino,) in self._database.rows("SELECT ino FROM orphan"):
            self.apply(intents.Forget(InodeNo(ino)))

    def _must_run(self) -> None:
        if self._stopped is not None:
            raise ReadOnly(self._stopped)

    def _with_tails(self, found: Attributes) -> Attributes:
        found = self._earlier.shown(found)
        end = self._tails.ends.get(found.ino, 0)
        return msgspec.structs.replace(found, size=end) if end > found.size else found


def changed_content(changeset: bytes) -> frozenset[InodeNo]:
    """Return the files that an entry's *changeset* gives a content; none if it breaks a rule."""
    try:
        return _content_of(checked_changes(changeset))
    except ChangesetUnfit:
        return frozenset()


def _content_of(changes: list[RowChange]) -> frozenset[InodeNo]:
    return touched_by(changes, moved={}, conflicts=(), refused=None).content


def _inserted(changes: list[RowChange]) -> Iterator[InodeNo]:
    """Return the inodes that were not there before, some of them perhaps long before."""
    for table, old, new in changes:
        if table == "inode" and old is None and new is not None:
            yield InodeNo(int(new[0]))


def _size(row: tuple[int | bytes, ...] | None) -> int:
    return 0 if row is None else int(row[SIZE_COLUMN])


def _nobody() -> None:
    """Nobody watches for work yet."""


def _nobody_for(_: InodeNo | None) -> None:
    """Nobody watches contents yet."""
