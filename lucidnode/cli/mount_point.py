"""The mount point that somebody names, without a question to what may be mounted there and not answer."""

from __future__ import annotations

import os
from pathlib import Path

import click


class MountPath(click.Path):
    """A parameter that names a mount point: click's own looks at what is there."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,  # noqa: ARG002  # click's interface
        ctx: click.Context | None,  # noqa: ARG002
    ) -> Path:
        """Return *value* as it was written."""
        return Path(value)


def mount_path(directory: Path) -> Path:
    """Return the one name of *directory*.

    Raises UsageError for one that is no text: mount and daemon tell each other of it.
    """
    absolute = Path(os.path.normpath(directory.expanduser().absolute()))
    real = absolute.parent.resolve() / absolute.name
    try:
        str(real).encode()
    except UnicodeEncodeError:
        raise click.UsageError(f"{real} is no UTF-8: name another directory") from None
    return real
