"""The socket for programs without a mount, over a file layer without a daemon."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from file_layer_fixture import FileLayer, QuickClock, file_layer

from lucidnode.fs.files.file_system import Caller
from lucidnode.fs.programs.program_door import IDLE_S, ProgramDoor
from lucidnode.fs.programs.program_files import ProgramFiles
from lucidnode.fs.programs.requests import (
    MAX_FRAME_BYTES,
    MAX_PIECE_BYTES,
    PAGE_OF_NAMES,
    Done,
    FinishPut,
    Greet,
    LookAt,
    NamesPage,
    OpenToRead,
    OpenToWrite,
    ReadPiece,
    SettleWork,
    ShownFile,
    WritePiece,
    framed,
)
from lucidnode.fs.programs.socket_path import directory_of, listening_at
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.node.client.ids import DeviceId
from lucidnode.program_socket import DoorGone, ProgramSocket, ask_to_leave
from lucidnode.socket_door import SocketDoor

DEVICE = DeviceId("d" * 32)
LONG = "a home whose path is longer than the address of a socket can be, " * 2


@dataclass
class Served:
    """A door that is served at *path*. *committed* are the files whose commit was waited for."""

    layer: FileLayer
    path: Path
    door: ProgramDoor
    serving: asyncio.Task[None]
    committed: list[InodeNo | None] = field(default_factory=list)
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the bucket does."""

    def names(self) -> list[bytes]:
        return [name for name, _ in self.layer.replica.tree.list_names(ROOT, None, 100)]


@contextlib.asynccontextmanager
async def served(home: Path, clock: QuickClock | None = None) -> AsyncIterator[Served]:
    committed: list[InodeNo | None] = []
    answers = asyncio.Event()
    answers.set()

    async def until_committed(ino: InodeNo | None) -> None:
        committed.append(ino)
        await answers.wait()

    async with file_layer(home, saves_by_age=False) as layer:
        files = ProgramFiles(
            layer.files, layer.replica.tree, DEVICE, layer.writer.flush, until_committed
        )
        # No clock of the layer: there a second takes no time, and nobody would stay.
        door = ProgramDoor(files, clock or StillClock())
        path = home / LONG / "files.sock"
        path.parent.mkdir()
        with contextlib.closing(listening_at(path)) as bound:
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(door.serve(bound))
                yield Served(layer, path, door, serving, committed, answers)
                door.end()
                await serving


class StillClock(QuickClock):
    """Time that stands still."""

    def boot(self) -> float:
        return 0.0


async def test_a_content_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        door = await asyncio.to_thread(SocketDoor, it.path)
        sink = await asyncio.to_thread(door.writing, "a/b", "replace", parents=True)
        await asyncio.to_thread(sink.write, memoryview(b"x" * (MAX_PIECE_BYTES + 1)))
        assert await asyncio.to_thread(lambda: [*door.names("a")]) == []
        await asyncio.to_thread(lambda: sink.finish(soon=False))
        [shown] = await asyncio.to_thread(lambda: [*door.names("a")])
        assert (shown.path, shown.size, shown.mode) == ("a/b", MAX_PIECE_BYTES + 1, 0o644)
        above = it.layer.files.lookup(ROOT, b"a")
        assert above.mode == 0o755
        found = it.layer.files.lookup(above.ino, b"b")
        assert it.committed == [found.ino]
        door.close()


async def test_a_program_that_dies_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        door = await asyncio.to_thread(SocketDoor, it.path)
        await asyncio.to_thread(_put, door, "kept", b"before")
        before = it.names()
        sink = await asyncio.to_thread(door.writing, "kept", "replace", parents=False)
        await asyncio.to_thread(sink.write, memoryview(b"half"))
        assert len(it.names()) == 2
        await asyncio.to_thread(sink.discard)  # as the kernel does it for a program that is killed
        while it.names() != before:
            await asyncio.sleep(0)
        source = await asyncio.to_thread(door.reading, "kept")
        assert await asyncio.to_thread(source.read_at, 0, 100) == b"before"
        source.close()
        door.close()


async def test_what_a_process_of_before_has_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        me = Caller(0, 0)
        left, others = b".lucidnode-put-dddddddd-0123", b".lucidnode-put-eeeeeeee-0123"
        stray = b".lucidnode-put-dddddddd-is a directory"
        for name in (left, others):
            it.layer.files.make(ROOT, name, 0o100644, me)
        it.layer.files.make(ROOT, stray, 0o040755, me)
        door = await asyncio.to_thread(SocketDoor, it.path)
        one = await asyncio.to_thread(door.writing, "one", "replace", parents=False)
        two = await asyncio.to_thread(door.writing, "two", "replace", parents=False)
        assert left not in it.names()
        for sink in (one, two):
            await asyncio.to_thread(partial(sink.finish, soon=True))
        assert it.names() == [stray, others, b"one", b"two"]
        assert it.committed == []
        door.close()


async def test_a_replaced_file_keeps_its_mode_and_attributes(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        made = it.layer.files.make(ROOT, b"file", 0o100640, Caller(7, 8))
        it.layer.files.xattrs.set(made.ino, b"user.shot", b"sh010")
        door = await asyncio.to_thread(SocketDoor, it.path)
        await asyncio.to_thread(_put, door, "file", b"new")
        now = it.layer.files.lookup(ROOT, b"file")
        assert (now.mode, now.uid, now.gid, now.size) == (0o640, 7, 8, 3)
        assert it.layer.files.xattrs.get(now.ino, b"user.shot") == b"sh010"
        door.close()


async def test_links_lead_where_they_lead_but_not_out(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        files, me = it.layer.files, Caller(0, 0)
        folder = files.make(ROOT, b"folder", 0o040755, me)
        for name, target in ((b"in", b"../file"), (b"out", b"/etc/passwd"), (b"round", b"round")):
            files.make(folder.ino, name, 0o120777, me, target=target)
        door = await asyncio.to_thread(SocketDoor, it.path)
        await asyncio.to_thread(_put, door, "folder/in", b"through it")
        assert files.lookup(ROOT, b"file").size == 10
        shown = await asyncio.to_thread(door.look, "folder/../folder/in")
        assert (shown.kind, shown.size) == ("file", 10)
        shown = await asyncio.to_thread(lambda: door.look("folder/in", follow=False))
        assert shown.kind == "symlink"
        for path in ("folder/out", "folder/round"):
            with pytest.raises(OSError, match="leads out") as refused:
                await asyncio.to_thread(door.look, path)
            assert refused.value.errno == errno.EINVAL
        door.close()


async def test_long_directories_are_listed_whole_and_in_order(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        me = Caller(0, 0)
        for number in range(150):
            it.layer.files.make(ROOT, b"%03d" % number, 0o100644, me)
            it.layer.files.make(ROOT, b".lucidnode-put-%03d" % number, 0o100644, me)
        door = await asyncio.to_thread(SocketDoor, it.path)
        listed = await asyncio.to_thread(lambda: [*door.names("")])
        assert [each.path for each in listed] == [f"{number:03}" for number in range(150)]
        door.close()


async def test_who_wants_to_mount_waits_for_programs_at_work_and_not_for_others(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as it:
        door = await asyncio.to_thread(SocketDoor, it.path)
        await asyncio.to_thread(_put, door, "file", b"bytes")
        source = await asyncio.to_thread(door.reading, "file")
        quiet = await asyncio.to_thread(ProgramSocket, it.path)
        with pytest.raises(OSError, match="1 files open") as busy:
            await asyncio.to_thread(ask_to_leave, it.path)
        assert busy.value.errno == errno.EBUSY
        await asyncio.to_thread(source.close)
        # The door hears of it a moment later.
        while it.door.is_at_work:
            await asyncio.sleep(0)
        await asyncio.to_thread(ask_to_leave, it.path)
        await it.serving
        with pytest.raises(DoorGone):  # told in order, so that it is known not to be done
            await asyncio.to_thread(quiet.ask, LookAt(b""), ShownFile)
        with pytest.raises(DoorGone):
            await asyncio.to_thread(lambda: [*door.names("")])
        quiet.close()
        door.close()


async def test_a_program_that_is_gone_waits_for_nothing_any_more(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        it.answers.clear()
        waits = await asyncio.to_thread(ProgramSocket, it.path)
        settling = asyncio.create_task(  # noqa: TID251  # it fails when the connection ends
            asyncio.to_thread(waits.ask, SettleWork(), Done)
        )
        while not it.committed:
            await asyncio.sleep(0)
        waits.end()
        with pytest.raises(OSError, match="was closed"):
            await settling
        while it.door.is_at_work:
            await asyncio.sleep(0.01)
        waits.close()


async def test_it_ends_a_minute_after_the_last_program(tmp_path: Path) -> None:
    clock = QuickClock()
    async with served(tmp_path, clock) as it:
        stays = await asyncio.to_thread(SocketDoor, it.path)
        begun = clock.slept
        while clock.slept < begun + 2 * IDLE_S:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(stays.look, "")
        await asyncio.to_thread(stays.close)
        await it.serving
        with pytest.raises(DoorGone):
            await asyncio.to_thread(ProgramSocket, it.path)


def _put(door: SocketDoor, path: str, data: bytes) -> None:
    sink = door.writing(path, "replace", parents=False)
    sink.write(memoryview(data))
    sink.finish(soon=True)


@pytest.mark.parametrize(
    "nonsense",
    [
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        b"\0\0\0\0",
        b"\0\0\0\1\xc1",
        b"\0\0\0\2\x81\xa1",
    ],
)
async def test_nonsense_ends_the_connection_that_it_came_on_and_no_other(
    tmp_path: Path, nonsense: bytes, expected_warnings: list[str]
) -> None:
    expected_warnings.append("a program was not understood")
    async with served(tmp_path) as it:
        good = await asyncio.to_thread(ProgramSocket, it.path)
        with directory_of(it.path) as short:
            reader, writer = await asyncio.open_unix_connection(short)
        writer.write(nonsense)
        assert await reader.read() == b""
        writer.close()
        assert (await asyncio.to_thread(good.ask, LookAt(b""), ShownFile)).kind == "directory"
        good.close()


async def test_questions_out_of_place_are_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        it.layer.files.make(ROOT, b"file", 0o100644, Caller(0, 0))
        one = await asyncio.to_thread(ProgramSocket, it.path)

        async def refused(question: object, number: int) -> None:
            with pytest.raises(OSError, match=r".") as error:
                await asyncio.to_thread(one.ask, question, Done)  # type: ignore[arg-type]
            assert error.value.errno == number

        await refused(FinishPut(), errno.EINVAL)
        await refused(WritePiece(b"x"), errno.EINVAL)
        await refused(ReadPiece(0, 1), errno.EINVAL)
        await refused(LookAt(b"missing"), errno.ENOENT)
        await refused(LookAt(b"file/below"), errno.ENOTDIR)
        await asyncio.to_thread(one.ask, OpenToRead(b"file"), ShownFile)
        await refused(OpenToWrite(b"other", "new", 0o644), errno.EINVAL)
        await refused(OpenToRead(b"file"), errno.EINVAL)
        one.close()


_PYTHON = Path(sys.executable).resolve()

_ANOTHER = """
import socket
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("files.sock")
    connection.sendall(bytes.fromhex("%s"))
    print(connection.recv(100))
"""


async def test_another_user_is_told_nothing_even_where_he_reaches_the_socket(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as it:
        it.path.parent.chmod(0o777)
        it.path.chmod(0o777)
        for user, answer in ((65534, b""), (0, framed(Done()))):
            # Its directory is given before the user: those above are not his.
            asked = partial(
                subprocess.run,
                [
                    _PYTHON,
                    "-I",
                    "-S",
                    "-c",
                    _ANOTHER % framed(Greet()).hex(),
                ],
                capture_output=True,
                text=True,
                check=False,
                cwd=it.path.parent,
                user=user,
            )
            done = await asyncio.to_thread(asked)
            refused = "ConnectionResetError" in done.stderr or "BrokenPipeError" in done.stderr
            assert done.stdout.strip() == repr(answer) or (user and refused), done


def test_only_this_user_may_connect(tmp_path: Path) -> None:
    with contextlib.closing(listening_at(tmp_path / "files.sock")):
        assert (tmp_path / "files.sock").stat().st_mode & 0o777 == 0o600


def test_a_socket_that_nobody_listens_at_is_a_door_that_is_gone(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "no" / "directory"):
        with pytest.raises(DoorGone):
            ProgramSocket(path)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "left"))
    left.close()
    with pytest.raises(DoorGone):
        ProgramSocket(tmp_path / "left")
    with contextlib.closing(listening_at(tmp_path / "left")):
        assert (tmp_path / "left").is_socket(), "in the place of the one that was left"


def test_a_page_fits_into_a_frame() -> None:
    longest = ShownFile(b"n" * 255, "symlink", 2**53, 0o777, 2**62, 2**62, "uploading")
    assert len(framed(NamesPage([longest] * PAGE_OF_NAMES, more=True))) < MAX_FRAME_BYTES
