"""The metadata of one project on this node: all that is committed, and what we did since.

A replica is put together here from its parts, each with one kind of client:

    apply, stop, go_on   local_operations.py     the file system and the writer
    tree                 tree_reader.py          whoever reads names, attributes or contents
    tails                tail_store.py           the writer
    former               former_files.py         the file system
    pending              pending_operations.py   the committer, and who shows what waits
    entries              remote_entries.py       the committer
    past                 past_states.py          who looks at earlier states
    give_up              lost_work.py            the committer
    substitute           substituted_work.py     who seals what may not be named any more anew
    collected            collected_blocks.py     who seals blocks, and the committer
    old_blocks           old_blocks.py           who seals them anew after an epoch has ended
    deleted              deleted_work.py         the committer, and who deletes staged blocks
    unsynced             unsynced_work.py        group sync, and who opens a replica
    first_state          first_state.py          who brings a newcomer the state at an entry
    known_checkpoint     known_checkpoint.py     who makes and checks checkpoints
    pins                 pin_table.py            who tells the daemon what to keep

Every method but `barrier` is synchronous, short, and one SQLite transaction at most: a crash leaves
all of it or nothing. One thread uses a replica; in asyncio that thread is the loop's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica.changes import GivenUp
from lucidnode.fs.replica.collected_blocks import CollectedBlocks
from lucidnode.fs.replica.deleted_work import DeletedWork
from lucidnode.fs.replica.first_state import FirstState
from lucidnode.fs.replica.former_files import FormerFiles
from lucidnode.fs.replica.id_allocator import IdAllocator
from lucidnode.fs.replica.inode import Attributes, InodeNo
from lucidnode.fs.replica.intents import Intent
from lucidnode.fs.replica.known_checkpoint import KnownCheckpoint
from lucidnode.fs.replica.local_operations import LocalOperations
from lucidnode.fs.replica.lost_work import LostWork
from lucidnode.fs.replica.old_blocks import OldBlocks
from lucidnode.fs.replica.past_states import PastStates
from lucidnode.fs.replica.pending.earlier_contents import EarlierContents
from lucidnode.fs.replica.pending.inode_aliases import InodeAliases
from lucidnode.fs.replica.pending.kept_files import KeptFiles
from lucidnode.fs.replica.pending.pending_journal import PendingJournal
from lucidnode.fs.replica.pending.replaced_contents import ReplacedContents
from lucidnode.fs.replica.pending_operations import PendingOperations
from lucidnode.fs.replica.pin_table import PinTable
from lucidnode.fs.replica.remote_entries import RemoteEntries
from lucidnode.fs.replica.replica_ground import ReplicaGround
from lucidnode.fs.replica.sqlite.barrier import Barrier
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.fs.replica.sqlite.snapshot import Snapshot
from lucidnode.fs.replica.sqlite.warming import warm
from lucidnode.fs.replica.substituted_work import SubstitutedWork
from lucidnode.fs.replica.tail_store import TailStore
from lucidnode.fs.replica.tail_table import TailTable
from lucidnode.fs.replica.tree.operations import Operations
from lucidnode.fs.replica.tree.queries import Queries
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.fs.replica.unsynced_work import UnsyncedWork
from lucidnode.fs.replica.usage import ProjectUsage
from lucidnode.fs.replica.watchers import Watchers
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import BlockId, DeviceId


class Replica:
    """One project's tree. Make it with `open`, and `close` it."""

    def __init__(self, database: Database, device_name: str, numbers: IdAllocator) -> None:
        self._database = database
        self._barrier = Barrier(database.log_path)
        queries = Queries(database)
        usage = ProjectUsage(queries)
        tails = TailTable(database)
        earlier = EarlierContents(database, queries)
        self._watchers = Watchers(usage)
        ground = ReplicaGround(
            database=database,
            operations=Operations(database),
            numbers=numbers,
            journal=PendingJournal(database),
            tails=tails,
            earlier=earlier,
            replaced=ReplacedContents(database),
            kept=KeptFiles(queries, tails.of, earlier),
            aliases=InodeAliases(),
            watchers=self._watchers,
            device_name=device_name,
        )
        self.tree = TreeReader(queries, tails, earlier, ground.kept, ground.aliases, usage)
        self._local = LocalOperations(ground, self.tree)
        self.tails = TailStore(ground, self._local)
        self.former = FormerFiles(ground, self._local)
        self.pending = PendingOperations(ground)
        self.entries = RemoteEntries(ground)
        self.past = PastStates(ground)
        self._lost = LostWork(ground, self.tree, self._local)
        self._substituted = SubstitutedWork(ground)
        self.collected = CollectedBlocks(queries)
        self.follow(self.collected.changed)
        self.old_blocks = OldBlocks(database)
        self.deleted = DeletedWork(ground)
        self.unsynced = UnsyncedWork(ground, self.tree, self._local)
        self.first_state = FirstState(ground)
        self.known_checkpoint = KnownCheckpoint(database)
        self.pins = PinTable(database)

    @classmethod
    def open(
        cls,
        path: Path,
        key: bytes,
        device_name: str,
        writer: DeviceId | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Replica:
        """Open the replica at *path*, sealed under the 32-byte *key*; an absent one is created.

        *device_name* is what people call this workstation: it appears in names of conflict copies.
        Contents that are written say that *writer* wrote them (id_allocator.py); who only reads is none.
        Raises a ReplicaError, or NoSpace.
        """
        database = Database.open(path, key)
        try:
            replica = cls(database, device_name, IdAllocator(database, random_bytes, writer))
            replica._local.forget_orphans()
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

        Except what names blocks that are `unsynced`, and all after it. Raises ReplicaError.
        """
        await self._barrier.wait()

    async def warm(self, clock: Clock) -> None:
        """Have the tree in memory before it is asked for: see `warming`. Raises NoSpace or a ReplicaError."""
        await warm(self._database, clock)

    def snapshot(self) -> Snapshot | None:
        """Return what the newest entry left, to be read beside the work here: see `Database.snapshot`."""
        return self._database.snapshot()

    # -- operations --------------------------------------------------------------------------

    def new_ino(self) -> InodeNo:
        """Return an inode number for a file to be created."""
        return self._local.new_ino()

    def apply(self, intent: Intent, loose: Collection[BlockId] = ()) -> Attributes | None:
        """Do *intent*, and have it committed later: see `LocalOperations.apply`.

        Raises a FileError, ReadOnly, or NoSpace; nothing has changed then.
        """
        return self._local.apply(intent, loose)

    def stop(self, reason: str) -> None:
        """Refuse every operation from now on with ReadOnly; questions are still answered."""
        self._local.stop(reason)

    def go_on(self) -> None:
        """Take operations again after `stop`."""
        self._local.go_on()

    def check_running(self) -> None:
        """Raise ReadOnly if `stop` was called."""
        self._local.check_running()

    def give_up(self, lost: Collection[BlockId], time_ns: int) -> GivenUp:
        """Go on without the contents of which a block is *lost*: see `LostWork.give_up`.

        Raises NoSpace.
        """
        return self._lost.give_up(lost, time_ns)

    def substitute(self, others: Mapping[BlockId, BlockName]) -> None:
        """Have what waits lie in *others*: see `SubstitutedWork.substitute`. Raises NoSpace."""
        self._substituted.substitute(others)

    # -- watchers ----------------------------------------------------------------------------

    def watch(self, on_work: Callable[[], None]) -> None:
        """Have *on_work* called after every operation that needs committing."""
        self._watchers.on_work = on_work

    def watch_contents(self, changed: Callable[[InodeNo | None], None]) -> None:
        """Have *changed* told of each file whose content may change, before that is answered.

        None is all files. It may be told of more than what changes, and of what is undone.
        """
        self._watchers.on_content = changed
        self._database.on_content = lambda ino: changed(InodeNo(ino))

    def follow(self, changed: Callable[[list[RowChange]], None]) -> None:
        """Have *changed* told of all changes to replicated rows, oldest first, until `unfollow`."""
        self._watchers.followers.append(changed)

    def unfollow(self, changed: Callable[[list[RowChange]], None]) -> None:
        """Tell *changed* no more."""
        self._watchers.followers.remove(changed)

    def count_commits(self, on_commit: Callable[[], None]) -> None:
        """Have *on_commit* called whenever something has been recorded."""
        self._database.on_commit = on_commit
