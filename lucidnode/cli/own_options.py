"""Options by which a person describes the workstation that is made: whose it is, and its cache."""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lucidnode.node.settings import LEAST_CACHE_BYTES

_Command = TypeVar("_Command", bound=Callable[..., Any])


def name_options(command: _Command) -> _Command:
    """Add `--name` and `--device-name`."""
    device = click.option(
        "--device-name",
        default=platform.node,
        help="This workstation's name; conflict copies carry it.",
    )
    return click.option("--name", default=_user, help="Your name, shown to other members.")(
        device(command)
    )


def local_options(command: _Command) -> _Command:
    """Add `--cache-dir` and `--cache-limit`."""
    limit = click.option(
        "--cache-limit",
        type=click.IntRange(min=LEAST_CACHE_BYTES >> 20),
        metavar="MIB",
        help="Most the cache may hold, in MiB. [default: 102400]",
    )
    return click.option(
        "--cache-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Keep cached blocks here instead of in the home directory.",
    )(limit(command))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as containers have them
        return f"user {os.getuid()}"
