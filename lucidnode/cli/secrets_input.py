"""Passphrases and codes from a person or a file; never from the command line's arguments."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import click

from lucidnode.fs.membership.recovery_code import is_whole

_SHORTEST = 8

passphrase_file = click.option(
    "--passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read the passphrase from the first line of this file instead of asking.",
)


def passphrase(file: Path | None, *, new: bool = False) -> str:
    """Return the passphrase from *file*, or ask on the terminal (twice for a *new* one).

    Raises UsageError when there is neither a file nor a terminal.
    """
    text = _first_line(file, "passphrase") if file is not None else _asked(new)
    if new and len(text) < _SHORTEST:
        raise click.UsageError(f"a passphrase has at least {_SHORTEST} characters")
    return text


def _asked(new: bool) -> str:
    if not sys.stdin.isatty():
        held = "" if new else ", or `lucidnode unlock` before, where there is one"
        raise click.UsageError(
            "no terminal to ask for the passphrase: write it to a file that only you can read "
            f"and name it with --passphrase-file{held}"
        )
    text: str = click.prompt(
        "New passphrase for this workstation" if new else "Passphrase",
        hide_input=True,
        confirmation_prompt=new,
        err=True,
    )
    return text


def one_time_code(file: Path | None) -> str:
    """Return the code of a ticket from *file*, or ask on the terminal. Raises UsageError."""
    if file is not None:
        return _first_line(file, "code")
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask for the code: name a file with --code-file")
    text: str = click.prompt("Code that came with the ticket", err=True)
    return text.strip()


def recovery_code(file: Path | None) -> str:
    """Return a recovery code from *file*, or ask on the terminal. Raises UsageError."""
    if file is not None:
        text = _first_line(file, "recovery code")
    elif sys.stdin.isatty():
        text = click.prompt("Recovery code", err=True)
    else:
        raise click.UsageError("no terminal to ask for the code: name a file with --code-file")
    if not is_whole(text):
        raise click.UsageError("a recovery code has 32 characters: see that all of it was typed")
    return text


def _first_line(file: Path, what: str) -> str:
    try:
        with file.open(encoding="utf-8-sig") as stream:  # editors on Windows begin with a mark
            mode = os.fstat(stream.fileno()).st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise click.UsageError(
                    f"{file} can be read by other users: run `chmod 600 {file}` first"
                )
            text = stream.readline().rstrip("\r\n")
    except OSError as error:
        raise click.UsageError(f"cannot read the {what} from {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f"the {what} in {file} is not text in UTF-8") from error
    if not text:
        raise click.UsageError(f"{file} holds no {what} in its first line")
    return text
