"""Which error each status of the daemon's socket stands for, told by one end and read by the other."""

from __future__ import annotations

from lucidnode.node.client.errors import (
    AccessDenied,
    Archived,
    Corrupt,
    DiskFull,
    Held,
    Malformed,
    NodeError,
    NotThere,
    Refused,
    Unavailable,
    Withheld,
)

_ERROR_OF_STATUS: dict[int, type[NodeError]] = {
    400: Malformed,
    403: AccessDenied,
    404: NotThere,
    406: Withheld,
    409: Refused,
    422: Corrupt,
    423: Archived,
    429: Held,
    503: Unavailable,
    507: DiskFull,
}

_STATUS_OF_ERROR = {error: status for status, error in _ERROR_OF_STATUS.items()}


def error_of(status: int) -> type[NodeError]:
    """Return the error that *status* stands for: Unavailable for one that nobody has agreed on."""
    return _ERROR_OF_STATUS.get(status, Unavailable)


def status_of(error: NodeError) -> int:
    """Return the status that stands for *error*, or for the nearest of its kinds."""
    return next(
        (_STATUS_OF_ERROR[kind] for kind in type(error).__mro__ if kind in _STATUS_OF_ERROR), 503
    )
