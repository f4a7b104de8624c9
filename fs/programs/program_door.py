"""The Unix socket at which programs of this user find a project that is open without a mount.

Who may connect is whoever may read the user's files: the socket lies in the home, for its user alone,
and the kernel says who calls. Keys stay on this side.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator
from functools import partial

from lucidnode.fs.errors import FsError, Invalid
from lucidnode.fs.programs.program_files import ProgramFiles, PutContent
from lucidnode.fs.programs.requests import (
    LENGTH_BYTES,
    MAX_FRAME_BYTES,
    Answer,
    Closing,
    CopyFile,
    Done,
    Failed,
    FilePiece,
    FinishPut,
    Greet,
    ListNames,
    LookAt,
    MakeDirectory,
    MakeWay,
    MoveName,
    OpenToRead,
    OpenToWrite,
    Question,
    ReadPiece,
    RemoveName,
    SettleWork,
    Stay,
    WritePiece,
    framed,
    length_of,
    question_in,
)
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.node.client.callers import closed_if_cancelled, next_caller
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed, NodeError

log = logging.getLogger(__name__)

IDLE_S = 60.0
"""After the last question of a program that has nothing open, the project is closed."""

_LOOK_EVERY_S = 0.5

_CREDENTIALS = struct.Struct("3i")
"""struct ucred, unix(7): pid, uid, gid."""


class ProgramDoor:
    """Answers programs until none has come for a while, or until it is told to end."""

    def __init__(self, files: ProgramFiles, clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._at_work = 0
        """Questions under way, and files that are open."""
        self._staying = 0
        """Connections that want it to stay open."""
        self._asked = clock.boot()
        self._ended = asyncio.Event()

    @property
    def is_at_work(self) -> bool:
        """Whether a program has asked something, or has a file open."""
        return self._at_work > 0

    def end(self) -> None:
        """Have `serve` return."""
        self._ended.set()

    async def serve(self, bound: socket.socket) -> None:
        """Answer at *bound*, which is closed in the end. What is written and not finished then is given up."""
        with contextlib.closing(bound):  # who waits in its queue then was never let in
            async with asyncio.TaskGroup() as group:
                callers: set[asyncio.Task[None]] = set()
                callers.add(group.create_task(self._accept(bound, group, callers)))
                callers.add(group.create_task(self._end_when_idle()))
                await self._ended.wait()
                for each in callers:
                    each.cancel()

    async def _accept(
        self, bound: socket.socket, group: asyncio.TaskGroup, callers: set[asyncio.Task[None]]
    ) -> None:
        while True:
            try:
                connection, _ = await next_caller(bound)
            except OSError as error:
                log.warning("a program could not be let in: %s", error)
                await self._clock.sleep(_LOOK_EVERY_S)
                continue
            caller = group.create_task(self._converse(connection))
            callers.add(caller)
            caller.add_done_callback(callers.discard)
            caller.add_done_callback(partial(closed_if_cancelled, connection))

    async def _end_when_idle(self) -> None:
        while self.is_at_work or self._staying or self._clock.boot() - self._asked < IDLE_S:
            await self._clock.sleep(_LOOK_EVERY_S)
        self._ended.set()

    async def _converse(self, connection: socket.socket) -> None:
        uid = _CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )[1]
        if uid not in {0, os.geteuid()}:
            connection.close()
            return
        reader, writer = await asyncio.open_connection(sock=connection, limit=2 * MAX_FRAME_BYTES)
        caller = _Caller(self._files, self._at_work_now)
        stays, answered = False, True
        try:
            while True:
                length = length_of(await reader.readexactly(LENGTH_BYTES))
                question = question_in(await reader.readexactly(length))
                if isinstance(question, Stay) and not stays:
                    stays = True
                    self._staying += 1
                answered = False
                with self._busy():
                    answer = (
                        self._left()
                        if isinstance(question, MakeWay)
                        else await _unless_gone(reader, self._answer(caller, question))
                    )
                    writer.write(framed(answer))
                    answered = True
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the program has gone
        except Malformed as error:
            log.warning("a program was not understood: %s", error)
        except asyncio.CancelledError:
            if answered:  # what was under way may be done already: of that nothing is said
                writer.write(framed(Closing()))
            raise
        finally:
            self._staying -= stays
            caller.close()
            writer.close()

    async def _answer(self, caller: _Caller, question: Question) -> Answer:
        try:
            return await caller.answer(question)
        except (FsError, NodeError) as error:
            return Failed(error.errno, str(error) or type(error).__name__)
        except OSError as error:
            log.warning("%s: %s", type(question).__name__, error)
            return Failed(errno.EIO, str(error))
        except Exception:
            # A fault of ours: the program is answered as for any error, and it is logged in full.
            log.exception("%s failed", type(question).__name__)
            return Failed(errno.EIO, "this should not have happened: its log tells more")

    def _left(self) -> Answer:
        others = self._at_work - 1  # this question
        if others:
            return Failed(errno.EBUSY, f"programs have {others} files open or at work there")
        self._ended.set()
        return Done()

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        self._at_work_now(1)
        try:
            yield
        finally:
            self._at_work_now(-1)

    def _at_work_now(self, change: int) -> None:
        self._at_work += change
        self._asked = self._clock.boot()


async def _unless_gone(reader: asyncio.StreamReader, work: Coroutine[None, None, Answer]) -> Answer:
    """Return what *work* does, unless the program goes meanwhile: a commit waits as long as the bucket is away.

    Raises ConnectionResetError then.
    """
    async with asyncio.TaskGroup() as group:
        working = group.create_task(work)
        while not working.done():
            await asyncio.wait({working}, timeout=_LOOK_EVERY_S)
            if reader.at_eof():
                working.cancel()
                break
    if working.cancelled():
        raise ConnectionResetError("the program has gone")
    return working.result()


class _Caller:
    """What one connection has open. *at_work* hears of it when that is one more, or one less."""

    def __init__(self, files: ProgramFiles, at_work: Callable[[int], None]) -> None:
        self._files = files
        self._at_work = at_work
        self._reading: int | None = None
        self._writing: PutContent | None = None

    async def answer(self, question: Question) -> Answer:
        """Do what is asked. Raises a FileError, another FsError or a NodeError."""
        files = self._files
        match question:
            case LookAt():
                return files.look(question.path, follow=question.follow)
            case ListNames():
                return files.names(question.path, question.after)
            case OpenToRead():
                self._check_nothing_open()
                self._reading, shown = await files.opened(question.path)
                self._at_work(1)
                return shown
            case ReadPiece():
                if self._reading is None:
                    raise Invalid("nothing is open to read")
                return FilePiece(await files.read(self._reading, question.offset, question.length))
            case OpenToWrite():
                self._check_nothing_open()
                self._writing = await files.begin(
                    question.path, question.how, question.mode, parents=question.parents
                )
                self._at_work(1)
                return Done()
            case WritePiece():
                await files.write(self._content(), question.data)
                return Done()
            case FinishPut():
                content = self._content()
                self._writing = None
                self._at_work(-1)
                return Done(await files.finish(content))
            case MakeDirectory():
                return Done(
                    await files.make_directory(
                        question.path,
                        question.mode,
                        parents=question.parents,
                        exist_ok=question.exist_ok,
                    )
                )
            case RemoveName():
                return Done(files.remove(question.path, directory=question.directory))
            case MoveName():
                return Done(files.move(question.path, question.target))
            case CopyFile():
                return Done(
                    await files.copy(
                        question.path, question.target, question.mode, parents=question.parents
                    )
                )
            case SettleWork():
                await files.committed(InodeNo(question.ino) if question.ino else None)
                return Done()
            case Greet() | Stay():
                return Done()
            case MakeWay():
                raise Invalid("that is asked of the door")

    def close(self) -> None:
        """Give up what is written, close what is read."""
        if self._writing is not None:
            self._files.give_up(self._writing)
            self._at_work(-1)
        if self._reading is not None:
            self._files.close(self._reading)
            self._at_work(-1)

    def _content(self) -> PutContent:
        if self._writing is None:
            raise Invalid("nothing is open to write")
        return self._writing

    def _check_nothing_open(self) -> None:
        if self._reading is not None or self._writing is not None:
            raise Invalid("a connection has one file open at most")
