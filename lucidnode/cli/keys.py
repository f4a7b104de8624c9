"""Commands for a copy of this workstation's keys."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click

from lucidnode import key_copies, membership, new_home
from lucidnode.cli.own_options import local_options
from lucidnode.cli.secrets_input import passphrase, passphrase_file
from lucidnode.fs.errors import SealDamaged, WrongPassphrase
from lucidnode.fs.membership.key_copy import MAX_COPY_BYTES, check_copy


@click.group("keys", short_help="Export the keys of this workstation, or import such a copy.")
def keys_command() -> None:
    """Keep a copy of this workstation's keys in a safe, and come back with it.

    \b
    Example:
      lucidnode keys export /media/stick/keys.json
    """


@keys_command.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@passphrase_file
@click.pass_obj
def keys_export(home: Path, file: Path, passphrase_file: Path | None) -> None:
    """Write the keys of this workstation into the new FILE, sealed under its passphrase.

    Whoever has FILE and the passphrase is this workstation: its member's keys, its device key and the
    bucket's credentials are in it. What is in the cache and waits to be sent is not.

    \b
    Example:
      lucidnode keys export keys.json
    """
    membership.check_kept(home)
    words = passphrase(passphrase_file)
    key_copies.export_keys(home, membership.unlock(home, words), words, file)
    click.echo(
        f"exported to {file}: it opens with the passphrase of now, also when that is changed here",
        err=True,
    )


@keys_command.command("import")
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@local_options
@passphrase_file
@click.pass_obj
def keys_import(
    home: Path,
    file: Path,
    cache_dir: Path | None,
    cache_limit: int | None,
    passphrase_file: Path | None,
) -> None:
    """Be the workstation again whose keys were exported to FILE. It must not run elsewhere as well.

    Its passphrase is the one that it had when the keys were exported.

    \b
    Example:
      lucidnode keys import keys.json
    """
    local = new_home.NodeOptions(cache_dir=cache_dir, cache_limit_mib=cache_limit)
    new_home.check_fresh(home, local)
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_COPY_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"cannot read {file}: {error.strerror}") from error
    with _said_of(file):
        check_copy(raw)
        key_copies.import_keys(home, raw, passphrase(passphrase_file), local)
    click.echo(
        "imported: mount a project with `lucidnode mount PROJECT DIR`, and nowhere else with these keys",
        err=True,
    )


@contextlib.contextmanager
def _said_of(file: Path) -> Iterator[None]:
    try:
        yield
    except WrongPassphrase:
        raise WrongPassphrase(f"that is not the passphrase that {file} was sealed under") from None
    except SealDamaged as error:
        raise SealDamaged(f"{file} is damaged ({error}): take another copy") from error
