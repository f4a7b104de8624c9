"""Acknowledged bytes on their way from the tail table into packs, and from there into blocks."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from lucidnode.fs.errors import FileTooBig
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import MAX_FILE_SIZE, InodeNo, Tail
from lucidnode.fs.replica.local_operations import LocalOperations
from lucidnode.fs.replica.replica_ground import ReplicaGround
from lucidnode.fs.replica.tree.extent_table import ExtentTable
from lucidnode.fs.replica.tree.queries import Queries
from lucidnode.node.client.ids import BlockId


class TailStore:
    """Puts tails into the replica and packs them (`Replica.tails`), a transaction each.

    Raises as `Database.rows`, and what each says.
    """

    def __init__(self, ground: ReplicaGround, local: LocalOperations) -> None:
        self._ground = ground
        self._queries = Queries(ground.database)
        self._content = ExtentTable(ground.database)
        self._local = local

    def put(
        self,
        ino: InodeNo,
        offset: int,
        data: bytes,
        time_ns: int,
        *,
        appended: bool = False,
        attributes: intents.SetAttributes | None = None,
    ) -> None:
        """Keep *data*, written at *offset* at *time_ns*, until it is packed into a block.

        *attributes* of the file, its times among them, are set in the same step.

        *appended* data belong at the end of the file, and move with it. It survives once
        `Replica.barrier` has returned. Time 0 leaves the times of the file alone.
        Raises FileMissing, FileTooBig, ReadOnly, NoSpace.
        """
        self._local.check_running()
        if offset + len(data) > MAX_FILE_SIZE:
            raise FileTooBig("write")
        self._queries.existing(ino)
        is_first = ino not in self._ground.tails.ends
        with self._ground.database.transaction() as changes:
            if attributes is None and time_ns:
                attributes = intents.SetAttributes(ino, time_ns=time_ns, mtime_ns=time_ns)
            if attributes is not None:
                self._local.record(attributes, changes, behind_tails=True)
            self._ground.tails.put(ino, offset, data, appended=appended)
        if is_first:
            self._ground.tails.count_first(ino, offset, len(data))
        else:
            self._ground.tails.recount(ino)
        self._ground.watchers.on_work()

    def loose(self) -> list[Tail]:
        """Return every loose tail, oldest first."""
        return self._ground.tails.loose()

    def packed(
        self, pack: BlockName, places: Iterable[tuple[int, int]], writes: Iterable[intents.Write]
    ) -> None:
        """Turn tails into extents: (row, offset in the pack) each, and the writes that map them.

        The writes carry time 0, since `put` accounted for the times. Tails of files that are gone
        are simply in the pack. Raises NoSpace.
        """
        with self._ground.database.transaction() as changes:
            writes = [
                msgspec.structs.replace(write, appended=self._ground.tails.only_appended(write.ino))
                for write in writes
            ]
            self._ground.tails.assign(pack.id, places)
            self._local.record(intents.NameBlocks([pack]), changes)
            for write in writes:
                if self._queries.attributes(write.ino) is not None:
                    for part in self._content.parts(write):
                        self._local.record(part, changes)
        self._ground.tails.recount_all()
        self._ground.watchers.changed(changes)

    def packs(self) -> dict[BlockId, bytes]:
        """Return what the packs not released were made of: to be sealed and staged."""
        return self._ground.tails.packs()

    def pack_ids(self) -> set[BlockId]:
        """Return the packs not released: their bytes are in the replica."""
        return self._ground.tails.pack_ids()

    def release_pack(self, pack: BlockId) -> None:
        """Forget the tails of *pack*, now that its block is durably staged. Raises NoSpace."""
        with self._ground.database.transaction():
            self._ground.tails.release(pack)
