"""What a program and the process that has its project open say to each other over the Unix socket.

Frames: four bytes, the length of what follows (big-endian), then MessagePack. A program asks, and gets one
answer to each question, in order. A connection has one file open at most; when it ends, what was
being written on it is given up. Paths are bytes, from the root of the project, without a slash in front.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.msgpack import decoded

MAX_PIECE_BYTES = 1024 * 1024
"""Of a file, in one question or answer."""

MAX_FRAME_BYTES = MAX_PIECE_BYTES + 512 * 1024
"""More is no frame: a page of names has a few hundred, each with a target of a link at most."""

MAX_PATH_BYTES = 64 * 1024

PAGE_OF_NAMES = 64
"""Names in one answer: each may have 255 bytes, and a target of 4,095."""

LENGTH_BYTES = 4

How = Literal["replace", "new", "append"]
"""What is written: the whole content in the place of what is there, the content of a file that must not
be there, or what comes behind the end."""

KindOfFile = Literal["file", "directory", "symlink", "other"]


class LookAt(msgspec.Struct, frozen=True, tag=True):
    """What is at *path*? With *follow*, a symbolic link stands for what it leads to. Answer: `ShownFile`."""

    path: bytes
    follow: bool = True


class ListNames(msgspec.Struct, frozen=True, tag=True):
    """What is in the directory *path*, behind the name *after*? Answer: `NamesPage`."""

    path: bytes
    after: bytes = b""


class OpenToRead(msgspec.Struct, frozen=True, tag=True):
    """Open the file *path* on this connection. Answer: `ShownFile`."""

    path: bytes


class ReadPiece(msgspec.Struct, frozen=True, tag=True):
    """Bytes of the file that is open. Answer: `FilePiece`, shorter at its end only."""

    offset: int
    length: int


class OpenToWrite(msgspec.Struct, frozen=True, tag=True):
    """Begin a content for *path*. With *parents*, directories above are made. Answer: `Done`.

    *mode* are the permission bits of a new file.
    """

    path: bytes
    how: How
    mode: int
    parents: bool = False


class WritePiece(msgspec.Struct, frozen=True, tag=True):
    """The bytes that come next. Answer: `Done`."""

    data: bytes


class FinishPut(msgspec.Struct, frozen=True, tag=True):
    """The content is whole: have it be that of the file. Answer: `Done` with the file's number."""


class MakeDirectory(msgspec.Struct, frozen=True, tag=True):
    """Make the directory *path*, and those above with *parents*. Answer: `Done`."""

    path: bytes
    mode: int
    parents: bool = False
    exist_ok: bool = False


class RemoveName(msgspec.Struct, frozen=True, tag=True):
    """Take a file's name away, or with *directory* an empty directory. Answer: `Done`."""

    path: bytes
    directory: bool = False


class MoveName(msgspec.Struct, frozen=True, tag=True):
    """Give *path* the name *target*, in the place of a file there. Answer: `Done`."""

    path: bytes
    target: bytes


class CopyFile(msgspec.Struct, frozen=True, tag=True):
    """Give *target* the content of the file *path*; blocks are shared. Answer: `Done`."""

    path: bytes
    target: bytes
    mode: int
    parents: bool = False


class SettleWork(msgspec.Struct, frozen=True, tag=True):
    """Answer `Done` once what was done to file number *ino*, or to all for 0, is in the bucket."""

    ino: int = 0


class Greet(msgspec.Struct, frozen=True, tag=True):
    """Is anybody there? Answer: `Done`. A connection that is not answered was never let in."""


class Stay(msgspec.Struct, frozen=True, tag=True):
    """Have the project stay open as long as this connection lasts, unless it is mounted. Answer: `Done`."""


class MakeWay(msgspec.Struct, frozen=True, tag=True):
    """Somebody wants to mount: end if no program is at work. Answer: `Done`, or `Failed` with EBUSY."""


Question = (
    LookAt
    | ListNames
    | OpenToRead
    | ReadPiece
    | OpenToWrite
    | WritePiece
    | FinishPut
    | MakeDirectory
    | RemoveName
    | MoveName
    | CopyFile
    | SettleWork
    | Greet
    | Stay
    | MakeWay
)


class ShownFile(msgspec.Struct, frozen=True, tag=True):
    """A file as it is now. *mode* are permission bits, times in ns since 1970."""

    name: bytes
    kind: KindOfFile
    size: int
    mode: int
    mtime_ns: int
    ctime_ns: int
    state: str
    """As `user.lucid.state` has it."""


class NamesPage(msgspec.Struct, frozen=True, tag=True):
    """Names of a directory, in order of their bytes; *more* may follow behind the last."""

    names: list[ShownFile]
    more: bool


class FilePiece(msgspec.Struct, frozen=True, tag=True):
    """Bytes of a file."""

    data: bytes


class Done(msgspec.Struct, frozen=True, tag=True):
    """It is done; *ino* is the file that it was done to."""

    ino: int = 0


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It is not done: *errno*, and why, in words."""

    errno: int
    words: str


class Closing(msgspec.Struct, frozen=True, tag=True):
    """The project is closed here in order; whatever is asked now is not done."""


Answer = ShownFile | NamesPage | FilePiece | Done | Failed | Closing

_QUESTION = msgspec.msgpack.Decoder(Question)
_ANSWER = msgspec.msgpack.Decoder(Answer)


def framed(message: Question | Answer) -> bytes:
    """Return *message* as it goes over the socket."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def length_of(head: bytes) -> int:
    """Return the length that a frame begins with. Raises Malformed if it is too long."""
    length = int.from_bytes(head, "big")
    if not 0 < length <= MAX_FRAME_BYTES:
        raise Malformed(f"a frame of {length} bytes")
    return length


def question_in(body: bytes) -> Question:
    """Return the question in a frame. Raises Malformed."""
    question: Question = decoded(_QUESTION, body)
    _check(question)
    return question


def answer_in(body: bytes) -> Answer:
    """Return the answer in a frame. Raises Malformed."""
    answer: Answer = decoded(_ANSWER, body)
    return answer


def _check(question: Question) -> None:
    match question:
        case ReadPiece(offset=offset, length=length):
            if offset < 0 or not 0 <= length <= MAX_PIECE_BYTES:
                raise Malformed("such a piece cannot be read")
        case WritePiece(data=data):
            if len(data) > MAX_PIECE_BYTES:
                raise Malformed("such a piece cannot be written")
        case (
            LookAt()
            | ListNames()
            | OpenToRead()
            | OpenToWrite()
            | MakeDirectory()
            | RemoveName()
            | MoveName()
            | CopyFile()
        ):
            target = question.target if isinstance(question, MoveName | CopyFile) else b""
            for path in (question.path, target):
                if len(path) > MAX_PATH_BYTES or b"\0" in path:
                    raise Malformed("such a path cannot be")
        case FinishPut() | SettleWork() | Greet() | Stay() | MakeWay():
            pass
