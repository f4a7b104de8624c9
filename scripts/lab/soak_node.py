"""One workstation of a soak: daemon and mount side by side in one loop, each of which can be killed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from replica_fixture import Blocks
from simulated_node import SimulatedNode

from lab.soak_daemon import Daemon
from lab.soak_door import Door
from lab.soak_mount import MountProcess
from lab.soak_workstation import Workstation
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.format.geometry import padded_size
from lucidnode.node.bucket.health import ARCHIVE_TOPIC
from lucidnode.node.cache.verified import block_id
from lucidnode.node.client.alerts import Alert
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.staging import staged_path


class StagedBlocks(Blocks):
    """Blocks named as real ones are, laid into staging when they are sealed."""

    def __init__(self, directory: Path, project: ProjectId, shared: dict[bytes, bytes]) -> None:
        super().__init__()
        self._held = shared
        self._directory = directory
        self._project = project

    def seal(self, data: bytes) -> BlockName:
        block = block_id(data)
        self._held[block] = data
        path = staged_path(self._directory, self._project, block)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return BlockName(block, 1, bytes(block), padded_size(max(len(data), 1)))


class SoakNode:
    """A workstation's processes, and its `user`, who does random things in the replica of its mount."""

    def __init__(
        self,
        workstation: Workstation,
        seed: int,
        contents: dict[bytes, bytes],
        *,
        checkpoints: bool,
    ) -> None:
        """*contents* are those of all nodes' blocks. With *checkpoints*, its mount makes and checks them."""
        self.workstation = workstation
        self.name = workstation.name
        self._checkpoints = checkpoints
        self._lives = 0
        directory = workstation.directory
        directory.mkdir()
        blocks = StagedBlocks(workstation.staging, workstation.project, contents)
        self.user = SimulatedNode(directory / "replica.db", self.name, blocks, seed)
        self.daemon: Daemon | None = None
        self.mount: MountProcess | None = None
        self.died: list[str] = []
        """How processes ended by themselves; none should."""
        self.committed: dict[Seq, bytes] = {}
        """The entries that were acknowledged to this node as its own."""

    # -- processes ----------------------------------------------------------------------------

    def start_daemon(self) -> None:
        self.daemon = Daemon(self.workstation)
        self._watch(self.daemon, self.daemon.run)

    def start_mount(self) -> None:
        door = Door(self.serving, self.acknowledged)
        self.mount = MountProcess(self.workstation, self.user, door, checkpoints=self._checkpoints)
        self._watch(self.mount, self.mount.run)

    def _watch(self, process: Daemon | MountProcess, work: Callable[[], Awaitable[None]]) -> None:
        task = process.start(work)
        task.add_done_callback(lambda ended: self._ended(process, ended))

    def _ended(self, process: Daemon | MountProcess, task: asyncio.Task[None]) -> None:
        """Note a process that ended by itself."""
        if not process.life.alive or task.cancelled():
            return
        process.life.alive = False
        self.died.append(f"{process.life.name}: {task.exception()!r}")

    async def kill(self, *, daemon: bool, mount: bool) -> None:
        """End processes as SIGKILL does. What a mount finds next is the disk as it is now."""
        if mount and self.mount is not None:
            path = self._copied_replica()
            await self.mount.die()
            self.mount = None
            self.user.replica.close()
            self.user.path = path
            self.user.replica = self.user._open()
            self.user.open.clear()
        if daemon and self.daemon is not None:
            await self.daemon.die()
            self.daemon = None

    def _copied_replica(self) -> Path:
        self._lives += 1
        path = self.workstation.directory / f"replica-{self._lives}.db"
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{self.user.path}{suffix}", f"{path}{suffix}")
        return path

    @property
    def is_up(self) -> bool:
        """Whether both processes serve."""
        return self.serving() is not None and self.mount is not None and self.mount.up.is_set()

    def serving(self) -> Daemon | None:
        """Return its daemon, if it serves."""
        return self.daemon if self.daemon is not None and self.daemon.up.is_set() else None

    # -- what it says -------------------------------------------------------------------------

    @property
    def mended(self) -> int:
        """How often its bucket has granted this daemon what it had failed to grant before."""
        return 0 if self.daemon is None else self.daemon.mended

    def acknowledged(self, seq: Seq, body: bytes) -> None:
        """Note that the mount was told: committed."""
        self.committed[seq] = body

    def alerts(self) -> list[Alert]:
        """Return what `status` would show now and somebody has to see the end of.

        That of an archive ends by itself: nobody can see that all was restored.
        """
        return [alert for alert in self._alerts() if alert.topic != ARCHIVE_TOPIC]

    def _alerts(self) -> Iterator[Alert]:
        for process in (self.daemon, self.mount):
            if process is not None and process.up.is_set():
                yield from process.alerts.current()

    @property
    def stopped(self) -> str | None:
        """Why this project is read-only here for good, if it is."""
        return self.mount.committer.stopped if self.is_up and self.mount else None
