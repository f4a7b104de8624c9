"""Files that programs here go on with though the tree has them no more, or otherwise."""

from __future__ import annotations

from collections.abc import Callable

from lucidnode.fs.replica.changes import Touched, touched_by
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.local_operations import LocalOperations
from lucidnode.fs.replica.replica_ground import ReplicaGround
from lucidnode.fs.replica.tree.queries import Queries


class FormerFiles:
    """Keeps files for those who use them (`Replica.former`), and makes them anew for who writes."""

    def __init__(self, ground: ReplicaGround, local: LocalOperations) -> None:
        self._ground = ground
        self._queries = Queries(ground.database)
        self._local = local

    def keep(self, in_use: Callable[[InodeNo], bool]) -> None:
        """Keep files readable that others delete while *in_use* tells that somebody needs them."""
        self._ground.kept.in_use = in_use

    def is_kept(self, ino: InodeNo) -> bool:
        """Tell whether *ino* is no more, and is kept for those who use it."""
        return self._ground.kept.get(ino) is not None

    def is_former(self, ino: InodeNo) -> bool:
        """Tell whether *ino* is shown as it was: it is no more, or a new content is arriving.

        What is written goes to a file of its own then: see `bring_back`.
        """
        return ino in self._ground.earlier or self._ground.kept.get(ino) is not None

    def let_go(self, ino: InodeNo) -> None:
        """Keep *ino* no longer: nobody can ask for it any more."""
        self._ground.kept.forget(ino)

    def bring_back(self, ino: InodeNo, time_ns: int) -> Touched:
        """Make *ino* anew as it is shown, beside what has its name now: a program goes on with it.

        For a file that `is_former`, or that another node has for itself now. It is another inode, as `Touched.moved` says, while the old one
        exists. Raises ReadOnly, NoSpace.
        """
        self._local.check_running()
        kept = self._ground.kept.get(ino) or self._ground.kept.snapshot(self._queries.existing(ino))
        new = ino if self._queries.attributes(ino) is None else self._local.new_ino()
        made, conflicts = self._ground.kept.back(kept, new, self._ground.device_name, time_ns)
        with self._ground.database.transaction() as changes:
            for intent in made:
                self._local.record(intent, changes)
            for tail in kept.tails:
                self._ground.tails.put(new, tail.offset, tail.data)
        self._ground.tails.recount(new)
        if new == ino:
            self._ground.kept.forget(ino)
        self._ground.watchers.changed(changes)
        return touched_by(
            changes,
            moved={} if new == ino else {ino: new},
            conflicts=tuple(conflicts),
            refused=None,
        )
