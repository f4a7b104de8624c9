"""What a person reads when a command fails: one line, whatever was raised."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback
from collections.abc import Iterator

from lucidnode.cli.child import ChildFailed
from lucidnode.cli.exit_codes import Exit, exit_code
from lucidnode.cli.printable import printable
from lucidnode.discovery.errors import DiscoveryError
from lucidnode.fs.errors import FsError
from lucidnode.node.client.errors import NodeError


def failure(error: Exception) -> tuple[str, int]:
    """Return the line and the exit code for *error*.

    Of several that came in a group the first that was expected counts. The traceback of one that
    nobody expected is kept in a file of its own, which the line names.
    """
    for cause in _causes(error):
        match cause:
            case ChildFailed():
                return str(cause), cause.code
            case FsError() | NodeError() | DiscoveryError():
                return _one_line(str(cause) or type(cause).__name__), exit_code(cause)
            case ProcessLookupError():
                return "a process of Lucidnode ended meanwhile: try again", exit_code(cause)
            case OSError(errno=errno.ENOTCONN) if cause.filename:
                return (
                    f"the mount at {cause.filename} has lost its process: try again, or take it away "
                    f"with `lucidnode umount {cause.filename}`",
                    exit_code(cause),
                )
            case OSError():
                where = f"cannot use {printable(str(cause.filename))}: " if cause.filename else ""
                return where + (cause.strerror or str(cause)), exit_code(cause)
            case _:
                continue
    return (
        f"this should not have happened ({type(error).__name__}); "
        f"please report it with {_kept(error)}",
        Exit.FAILED,
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    else:
        yield error


def _one_line(words: str) -> str:
    line = " ".join(words.split()).removesuffix(".")
    # Sentences of the bucket begin with a capital, and `lucidnode:` stands before them.
    return line[0].lower() + line[1:] if line[1:2].islower() or line[1:2] == " " else line


def _kept(error: Exception) -> str:
    # Only this user can read it: mkstemp makes it 0600.
    descriptor, path = tempfile.mkstemp(prefix="lucidnode-error-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    return path
