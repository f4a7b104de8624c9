"""What people are told of a fault of a local disk: what it is, and what to do about it."""

from __future__ import annotations

import errno
from pathlib import Path

_SCRATCH = ".tmp"


def said_by(error: BaseException) -> str:
    """Return what *error* says: of the system's the words, without its number and the file."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def help_for(error: Exception, place: str, otherwise: str) -> str:
    """Return in a sentence what a person does about *error*, which was met in *place*.

    *otherwise* is for what no rights and no room would mend.
    """
    where = _directory(error) or place
    match getattr(error, "errno", None):
        case errno.EACCES | errno.EPERM:
            return f"Give the user who runs Lucidnode the right to read and write in {where}."
        case errno.EROFS:
            return (
                f"Mount the disk of {where} so that it can be written; check it first if the system "
                "made it read-only."
            )
        case errno.ENOSPC | errno.EDQUOT:
            return f"Make room on the disk of {where}."
        case errno.EXDEV:
            return f"Keep all of {place} on one disk: a link or a mount in it leads to another."
        case _:
            return otherwise


def _directory(error: Exception) -> Path | None:
    """Return where *error* was met as people know it: never a file that lives for a moment."""
    name = error.filename if isinstance(error, OSError) else None
    if not isinstance(name, str):
        return None
    path = Path(name)
    return path.parent if path.suffix == _SCRATCH else path
