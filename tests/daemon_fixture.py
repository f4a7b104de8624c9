"""Workstations for tests of real mounts: the daemon's real socket over a bucket that is a folder.

Each node serves the wire protocol from a thread of the test, so a test can break things under a
mount that runs in a process of its own, and look at what crossed the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from disk_fixture import Told
from studio_fixture import Studio

from lucidnode.fs.format import sodium
from lucidnode.fs.kernel.mountpoint import mounted_at
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.mount_spec import Consistency, MountSpec
from lucidnode.node.client import mount_messages, wire
from lucidnode.node.client.checkpoint import checkpoint_message
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import NotThere, Unavailable
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import signing_message
from lucidnode.node.client.roster_entry import device_id
from lucidnode.node.client.staging import cached_path, staged_path
from lucidnode.node.client.supervision import supervised
from lucidnode.node.daemon_socket.blocks import BlockRoutes
from lucidnode.node.daemon_socket.checkpoints import CheckpointRoutes
from lucidnode.node.daemon_socket.journal import JournalRoutes
from lucidnode.node.daemon_socket.listener import DaemonSocket
from lucidnode.node.daemon_socket.mounts import MountRoutes
from lucidnode.node.daemon_socket.roster import RosterRoutes
from lucidnode.node.daemon_socket.server import SocketServer
from lucidnode.node.journal.register import SlotContent
from lucidnode.node.mounts import MountTable

BLOCK = 256 * 1024

_THREAD_S = 40.0
"""Seconds that a thread of the test may take to begin or end where the machine is busy."""


class Bucket:
    """A folder that all nodes of a test share.

    While *cut*, nobody reaches it; while *frozen*, it answers no question for a block at all.
    """

    def __init__(self, root: Path) -> None:
        self.blocks = root / "block"
        self.journal = root / "journal"
        self.checkpoints = root / "checkpoint"
        self.cut = False
        self.frozen = False
        for folder in (self.blocks, self.journal, self.checkpoints):
            folder.mkdir(parents=True)

    def check(self) -> None:
        if self.cut:
            raise Unavailable("the bucket is away")

    def entries(self) -> int:
        """Return how many entries the journal has."""
        return sum(1 for path in self.journal.iterdir() if path.name.isdigit())


class Workstation:
    """One node. Faults: *uploads* False keeps staged blocks where they are."""

    def __init__(
        self,
        home: Path,
        bucket: Bucket,
        studio: Studio,
        member: Membership,
        seed: bytes,
        project: ProjectId,
    ) -> None:
        self.home = home
        self.bucket = bucket
        self.mountpoint = home / "mount"
        self.blocks_dir = home / "cache" / "blocks"
        self.staging_dir = home / "cache" / "staging"
        for folder in (self.mountpoint, self.blocks_dir, self.staging_dir / project):
            folder.mkdir(parents=True)
        self.uploads = True
        self.staging_limit = 1 << 40
        self.channel = True
        self.never_ends = False
        """Whether who reads on at the end of the journal waits for a colleague's next entry."""
        self.tells_end = True
        """Whether its daemon knows where the journal ends, as one of an earlier release does not."""
        self.fetched: list[BlockId] = []
        self.others: list[Workstation] = []
        self.words: list[bytes] = []
        """What its mount said to those of others, as its daemon saw it."""
        self._studio = studio
        self._member = member
        self._seed = seed
        self.project = project
        self._mounts = MountTable()
        self._process: subprocess.Popen[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- the daemon --------------------------------------------------------------------------

    def start_daemon(self) -> None:
        """Serve the daemon's socket from a thread."""
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)))
        self._thread.start()
        assert started.wait(_THREAD_S)

    def stop_daemon(self) -> None:
        """Close the socket and all connections."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._ended.set)
        self._loop = None
        self._thread.join(_THREAD_S)
        assert not self._thread.is_alive()

    @contextlib.contextmanager
    def restarting(self) -> Iterator[None]:
        """Stop the daemon, and start it again on leaving."""
        self.stop_daemon()
        try:
            yield
        finally:
            self.start_daemon()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Have the daemon do nothing for a while, as one that is stopped with SIGSTOP."""
        asleep, over = threading.Event(), threading.Event()

        def sleep() -> None:
            asleep.set()
            over.wait()

        assert self._loop is not None
        self._loop.call_soon_threadsafe(sleep)
        assert asleep.wait(_THREAD_S)
        try:
            yield
        finally:
            over.set()

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        with DaemonSocket(self.home / "daemon.sock") as listener:
            await self._serve_at(listener, started)

    async def _serve_at(self, listener: DaemonSocket, started: threading.Event) -> None:
        clock = SystemClock()
        alerts = Told([])  # that a mount is killed is said in the log of a real daemon
        async with (
            supervised(alerts, clock) as tasks,
            SocketServer(
                listener,
                [
                    BlockRoutes(self),
                    JournalRoutes(_Journal(self), self._mounts),
                    CheckpointRoutes(_Checkpoints(self)),
                    RosterRoutes(_Roster(self._studio)),
                    MountRoutes(self._mounts, self._welcome, self._relay, alerts),
                ],
                tasks,
            ),
        ):
            started.set()
            while not self._ended.is_set():
                self._upload()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await self._ended.wait()

    async def _welcome(self) -> mount_messages.MountWelcome:
        return mount_messages.MountWelcome(
            self.device, str(self.blocks_dir), str(self.staging_dir), self.staging_limit, 0
        )

    async def obtain(
        self,
        project: ProjectId,
        block: BlockId,
        *,
        patience_s: float,
        as_bytes: bool,
        reading: wire.Reading | None,
    ) -> tuple[wire.Source, bytes | None]:
        """Bring a block from the bucket into the cache."""
        while self.bucket.frozen:
            await asyncio.sleep(0.02)
        self.bucket.check()
        self.fetched.append(block)
        stored = self.bucket.blocks / block.hex()
        if not stored.exists():
            raise NotThere(block.hex())
        if as_bytes:
            return "bucket", stored.read_bytes()
        _place(cached_path(self.blocks_dir, block), stored.read_bytes())
        return "bucket", None

    def prefetch(self, project: ProjectId, blocks: list[BlockId]) -> None:
        raise AssertionError("mounts read ahead with plain requests")

    def touched(self, blocks: list[BlockId]) -> None:
        """Take note of nothing."""

    async def staged(self, project: ProjectId, blocks: list[BlockId], ranks: list[int]) -> None:
        """Take note of nothing: the directory is looked at all the time."""

    async def uploaded(self, project: ProjectId, blocks: list[BlockId]) -> list[BlockId]:
        """Return those of *blocks* that are in the bucket."""
        return [block for block in blocks if (self.bucket.blocks / block.hex()).exists()]

    async def gone(self, project: ProjectId, blocks: list[BlockId]) -> list[BlockId]:
        """Return nothing: what is staged here is never lost."""
        return []

    def bad(self, project: ProjectId) -> list[BlockId]:
        """Return nothing: this bucket looks after its blocks."""
        return []

    def withdraw(self, project: ProjectId, blocks: list[BlockId]) -> None:
        """Take note of nothing: their mount deletes the staged files."""

    async def given_up(self, project: ProjectId, blocks: list[BlockId]) -> None:
        """Take note of nothing."""

    async def put_back(
        self, project: ProjectId, blocks: list[BlockId], *, look: bool
    ) -> wire.BlocksPutBack:
        raise AssertionError("mounts ask for what is bad here, which is nothing")

    def _upload(self) -> None:
        """Move what is staged to the bucket and the cache."""
        if not self.uploads or self.bucket.cut:
            return
        for path in list((self.staging_dir / self.project).iterdir()):
            if path.name.startswith("."):
                continue
            block = BlockId(bytes.fromhex(path.name))
            with contextlib.suppress(FileNotFoundError):  # its mount has deleted it meanwhile
                content = path.read_bytes()
                _place(self.bucket.blocks / path.name, content)
                _place(cached_path(self.blocks_dir, block), content)
                staged_path(self.staging_dir, self.project, block).unlink()
                self._mounts.tell(self.project, mount_messages.BlocksUploaded([bytes(block)]))

    def sign(self, unsigned: bytes) -> bytes:
        """Return the signed entry."""
        return unsigned + sodium.sign(self._seed, signing_message(unsigned))

    def sign_checkpoint(self, unsigned: bytes) -> bytes:
        """Return the signed manifest."""
        return unsigned + sodium.sign(self._seed, checkpoint_message(unsigned))

    def push(self, seq: Seq) -> None:
        """Tell the other nodes' mounts of an entry."""
        for other in self.others:
            if other._loop is not None:
                other._loop.call_soon_threadsafe(
                    other._mounts.tell, self.project, mount_messages.Look(seq)
                )

    @property
    def device(self) -> DeviceId:
        return device_id(sodium.signing_public(self._seed))

    def _relay(self, device: DeviceId, project: ProjectId, word: bytes) -> bool:
        self.words.append(word)
        for other in self.others:
            if other.device == device and other._loop is not None:
                message = mount_messages.OfficeMessage(self.device, word)
                other._loop.call_soon_threadsafe(other._mounts.tell, project, message)
                return True
        return False

    def described(self) -> mount_messages.StatusReply:
        """Return what its mount says of itself; one that is busy is asked again."""
        answers: list[mount_messages.StatusReply] = []

        def answered() -> bool:
            assert self._loop is not None
            asking = self._mounts.mount(self.project).describe(every_alert=False)
            answer = asyncio.run_coroutine_threadsafe(asking, self._loop).result()
            answers.extend([] if answer is None else [answer])
            return bool(answers)

        eventually(answered)
        return answers[0]

    def requests(self) -> dict[str, int]:
        """Return how many requests of each kind the mount has answered, once nothing is open any more.

        The kernel says that something is closed a moment after the program has closed it.
        """
        told: list[dict[str, int]] = []

        def nothing_is_open() -> bool:
            self.described()  # with it the mount tells what it has counted up to now
            asked = {name: sum(of.counts) for name, of in self.stats().requests.items()}
            told.append(asked)
            opened = asked.get("open", 0) + asked.get("create", 0)
            return (opened, asked.get("opendir", 0)) == (
                asked.get("release", 0),
                asked.get("releasedir", 0),
            )

        eventually(nothing_is_open)
        return told[-1]

    def evict(self) -> None:
        """Empty the cache."""
        for path in self.blocks_dir.glob("*/*"):
            path.unlink()

    # -- the mount ---------------------------------------------------------------------------

    def mount(
        self,
        *,
        durability: str = "local",
        read_only: bool = False,
        lock_on_open: tuple[str, ...] = (),
        consistency: Consistency = "polled",
        came_back: str = "",
    ) -> int:
        """Start a mount process as the command line does, or its keeper with *came_back*; return its pid once it serves."""
        spec = MountSpec(
            home=str(self.home),
            mountpoint=str(self.mountpoint),
            membership=self._member,
            project=self.project,
            durability=durability,  # type: ignore[arg-type]  # one of its words
            read_only=read_only,
            allow_other=False,
            channel=self.channel,
            lock_on_open=lock_on_open,
            consistency=consistency,
        )
        with (self.home / "mount.log").open("ab") as errors:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "lucidnode",
                    "mount-process",
                    f"--came-back={came_back}",
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "LUCIDNODE_HOME": str(self.home)},
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(msgspec.msgpack.encode(spec))
            self._process.stdin.close()
        said = self._process.stdout.readline()
        self._process.stdout.close()
        if said.strip() != b"ready":
            self._process.wait()
            raise MountFailed(self.log())
        return self._process.pid

    def mount_again(self) -> None:
        """Try a second mount of the same project, beside the first."""
        first, self.mountpoint = (self._process, self.mountpoint), self.home / "elsewhere"
        self.mountpoint.mkdir()
        try:
            self.mount()
        finally:
            self._process, self.mountpoint = first

    def wait_for_end(self) -> None:
        """Wait for the mount process to end well."""
        assert self._process is not None
        assert self._process.wait(60) == 0, self.log()

    def kill(self) -> None:
        """End the mount process as a power cut would; its dead mount stays."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def unmount(self) -> None:
        """End the mount in order."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self.wait_for_end()
        assert mounted_at(self.mountpoint) is None

    def remount_empty(self) -> None:
        """Unmount, and mount again with nothing but the bucket: no cache, no replica."""
        self.unmount()
        self.evict()
        for path in self.home.glob("projects/*/replica.db*"):
            path.unlink()
        self.mount()

    def stats(self) -> mount_messages.MountStats:
        """Return what all mounts have told of themselves together."""
        return self._mounts.totals()

    def clean_up(self) -> None:
        """Leave nothing behind, however the test ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        while mounted_at(self.mountpoint) is not None:
            subprocess.run(["umount", "-l", str(self.mountpoint)], check=True)
        if (self.home / "mount.log").exists():
            assert "Traceback" not in self.log(), self.log()

    def log(self) -> str:
        """Return what the mount process logged."""
        return (self.home / "mount.log").read_text(errors="replace")


class MountFailed(Exception):
    """The mount process gave up; the text is its log."""


class _Journal:
    """Creates entries if absent, once what they need is uploaded."""

    def __init__(self, node: Workstation) -> None:
        self._node = node

    async def commit(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        bucket = self._node.bucket
        while any(not (bucket.blocks / block.hex()).exists() for block in request.needs):
            await asyncio.sleep(0.01)
        bucket.check()
        body = self._node.sign(request.unsigned)
        path = bucket.journal / f"{seq:016d}"
        scratch = path.with_name(f".{seq}.{id(self._node)}")
        scratch.write_bytes(body)
        try:
            os.link(scratch, path)
        except FileExistsError:
            other = path.read_bytes()
            return wire.CommitReply("committed" if other == body else "lost", other)
        finally:
            scratch.unlink()
        self._node.push(seq)
        return wire.CommitReply("committed", body)

    async def proven(self, project: ProjectId, seq: Seq) -> SlotContent:
        return await self.entry(project, seq)

    async def entry(self, project: ProjectId, seq: Seq) -> SlotContent:
        self._node.bucket.check()
        path = self._node.bucket.journal / f"{seq:016d}"
        while self._node.never_ends and not path.exists():
            await asyncio.sleep(0.01)
        try:
            return SlotContent.of(path.read_bytes())
        except FileNotFoundError:
            raise NotThere("no such entry") from None

    async def end(self, project: ProjectId, known: Seq) -> Seq:
        if not self._node.tells_end:
            raise NotThere("no such question")
        return Seq(self._node.bucket.entries())

    def has_signed(self, hash_: bytes) -> bool:
        return False

    async def kept(self, project: ProjectId, seq: Seq) -> bytes:
        raise AssertionError("only a repair asks for what is kept")

    async def put_back(self, project: ProjectId, seq: Seq) -> wire.CommitReply:
        raise AssertionError("only a repair puts back")

    def lost(self, project: ProjectId) -> list[Seq]:
        raise AssertionError("only a repair asks for what is lost")

    async def forget(self, project: ProjectId) -> None:
        raise AssertionError("only a repair forgets")


class _Checkpoints:
    """Manifests in a folder, each created if absent."""

    def __init__(self, node: Workstation) -> None:
        self._node = node

    async def seqs(self, project: ProjectId) -> list[Seq]:
        self._node.bucket.check()
        return sorted(Seq(int(path.name)) for path in self._node.bucket.checkpoints.iterdir())

    async def manifest(self, project: ProjectId, seq: Seq) -> bytes:
        self._node.bucket.check()
        try:
            return (self._node.bucket.checkpoints / f"{seq:016d}").read_bytes()
        except FileNotFoundError:
            raise NotThere("no such checkpoint") from None

    async def attestations(self, project: ProjectId) -> list[tuple[Seq, DeviceId]]:
        return []

    async def attestation(self, project: ProjectId, seq: Seq, device: DeviceId) -> bytes:
        raise NotThere("nobody has attested anything")

    async def attest(self, project: ProjectId, seq: Seq, manifest: bytes) -> None:
        return

    async def delete(self, project: ProjectId, seqs: Sequence[Seq]) -> list[Seq]:
        raise AssertionError("no mount deletes checkpoints")

    async def make(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        bucket = self._node.bucket
        while any(not (bucket.blocks / block.hex()).exists() for block in request.needs):
            await asyncio.sleep(0.01)
        body = self._node.sign_checkpoint(request.unsigned)
        try:
            with (bucket.checkpoints / f"{seq:016d}").open("xb") as file:
                file.write(body)
        except FileExistsError:
            return wire.CommitReply("lost", await self.manifest(project, seq))
        return wire.CommitReply("committed", body)


class _Roster:
    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def entries(self, look: wire.RosterLook) -> list[bytes]:
        return self._studio.entries

    async def append(self, seq: Seq, body: bytes) -> wire.CommitReply:
        raise AssertionError("mounts do not write the roster")

    async def shown(self) -> wire.ShownRoster:
        raise AssertionError("mounts do not compare the roster")

    async def start_again(self, seq: Seq, hash_: bytes) -> None:
        raise AssertionError("mounts do not choose the roster")


@contextlib.contextmanager
def workstations(root: Path, count: int = 1) -> Iterator[list[Workstation]]:
    """Yield *count* nodes of one studio with one project, their daemons serving, none mounted."""
    studio = Studio()
    bucket = Bucket(root / "bucket")
    project = studio.project("demo", block_size=BLOCK)
    nodes: list[Workstation] = []
    for number in range(count):
        seed = sodium.random_bytes(32)
        invite, who = studio.invite(), studio.newcomer(f"Member {number}", f"edit-{number}")
        studio.entries.append(studio.joining(invite, who, seed))
        nodes.append(Workstation(root / f"node-{number}", bucket, studio, who, seed, project))
    for node in nodes:
        node.others = [other for other in nodes if other is not node]
    with contextlib.ExitStack() as stack:
        for node in nodes:
            node.start_daemon()
            stack.callback(node.stop_daemon)
        for node in nodes:
            # Before the daemons stop: they wait a while for mounts that hang on.
            stack.callback(node.clean_up)
        yield nodes


def eventually(true: Callable[[], Any], seconds: float = 40.0) -> None:
    """Return once *true* holds; fail if it does not within *seconds*."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)  # noqa: TID251  # a test thread, not a loop


def _place(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, as a cache does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{threading.get_ident()}")
    scratch.write_bytes(content)
    scratch.rename(path)
