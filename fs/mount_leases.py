"""What a mount that writes may decide alone: the names of directories, who writes a file, who locks one."""

from __future__ import annotations

from lucidnode.fs.commit_path import CommitPath
from lucidnode.fs.file_layer import Ground, WritePath
from lucidnode.fs.files.file_locks import FileLocks
from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.leases.directory_leases import DirectoryLeases
from lucidnode.fs.leases.lock_tokens import LockTokens
from lucidnode.fs.leases.locked_work import LockedWork
from lucidnode.fs.leases.recalls import Recalls
from lucidnode.fs.leases.write_leases import LockOnOpen, WriteLeases
from lucidnode.fs.mount_spec import MountSpec


class MountLeases:
    """The leases of the mount that *spec* says. Keep `directories.run` and `files.run` running."""

    def __init__(
        self,
        ground: Ground,
        write: WritePath,
        commit: CommitPath,
        work: WorkHere,
        recalls: Recalls,
        spec: MountSpec,
    ) -> None:
        self._ground = ground
        self._commit = commit
        self._work = work
        self._recalls = recalls
        # Who waits for the bucket at each `close` can wait for it here: nobody decides without it.
        self._alone_when_away = not spec.waits_for_bucket
        self._locked_work = LockedWork(
            ground.replica, write.writer, write.unsaved, write.unfinished, commit.committer
        )
        self.directories = DirectoryLeases(
            replica=ground.replica,
            device=work.device,
            committer=commit.committer,
            alone_when_away=self._alone_when_away,
            recalls=recalls,
            alerts=ground.alerts,
            clock=ground.clock,
        )
        commit.shipments.heed(self.directories.may_commit, self.directories.may_give)
        self.files = WriteLeases(
            work=work,
            committer=commit.committer,
            commit_file=self._locked_work.commit_alone,
            settled=commit.invalidation.settled,
            policy=LockOnOpen(
                spec.lock_on_open, spec.locked_elsewhere, alone_when_away=self._alone_when_away
            ),
            tasks=ground.tasks,
            alerts=ground.alerts,
            clock=ground.clock,
        )

    def lock_tokens(self, locks: FileLocks) -> LockTokens:
        """Return who decides whether *locks* of the mount's files are for it to give. Keep its `run` running."""
        return LockTokens(
            replica=self._ground.replica,
            device=self._work.device,
            locks=locks,
            committer=self._commit.committer,
            work=self._locked_work,
            settled=self._commit.invalidation.settled,
            alone_when_away=self._alone_when_away,
            recalls=self._recalls,
            tasks=self._ground.tasks,
            alerts=self._ground.alerts,
            clock=self._ground.clock,
        )
