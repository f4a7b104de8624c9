"""Commands for the keys of this workstation: a copy of them, and what opens them at a start."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click

from lucidnode import key_copies, membership, new_home, node_key
from lucidnode.cli import key_places
from lucidnode.cli.membership_input import stay_unlocked
from lucidnode.cli.node_key_at_hand import have_node_key, membership_with
from lucidnode.cli.own_options import local_options
from lucidnode.cli.secrets_input import passphrase, passphrase_file
from lucidnode.fs.errors import SealDamaged, WrongPassphrase
from lucidnode.fs.membership.key_copy import MAX_COPY_BYTES, check_copy
from lucidnode.node import sealed_file
from lucidnode.node.client.errors import Unavailable
from lucidnode.node_key import KeyPlace


@click.group(
    "keys", short_help="Export or import the keys of this workstation; say what holds them."
)
def keys_command() -> None:
    """Keep a copy of this workstation's keys in a safe, and come back with it; choose what holds them.

    \b
    Example:
      lucidnode keys export /media/stick/keys.json
    """


@keys_command.command("hold")
@click.argument("place", required=False, type=click.Choice(get_args(KeyPlace)))
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The new file that holds it, for `file`.",
)
@passphrase_file
@click.pass_obj
def keys_hold(
    home: Path, place: KeyPlace | None, file: Path | None, passphrase_file: Path | None
) -> None:
    """Have PLACE hold the key of this workstation's secrets besides, or say what does.

    With it the daemon starts unasked: it opens the device key and the bucket's credentials, and
    nothing of what is in the projects. `keyring` is opened by a login to the desktop; `systemd` and `tpm`
    belong to this machine; `file` is for machines that nobody attends; `passphrase` is nothing else.

    \b
    Examples:
      lucidnode keys hold keyring
      lucidnode keys hold file --file /etc/lucidnode.key
    """
    if (place == "file") != (file is not None):
        raise click.UsageError("--file names the file for `file`, and goes with nothing else")
    membership.check_kept(home)
    before = node_key.kept_where(home)
    if place is None:
        click.echo(key_places.IN_WORDS[before.place if before else "passphrase"])
        return
    have_node_key(home, passphrase_file)
    if not sealed_file.is_home_sealed(home):
        membership_with(home, passphrase(passphrase_file), typed=passphrase_file is None)
    key = sealed_file.held(home)
    assert key is not None, "opened without a key"
    node_key.note_kept(home, key_places.keep(home, key, place, file))
    if before is not None and (before.place, before.path) != (place, str(file or "")):
        try:
            key_places.forget(home, before)
        except Unavailable as error:
            click.echo(
                f"note: the one {key_places.IN_WORDS[before.place]} is not deleted: {error}",
                err=True,
            )
    click.echo(f"the key of this workstation's secrets is {key_places.IN_WORDS[place]}", err=True)


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
    key_copies.export_keys(
        home, membership_with(home, words, typed=passphrase_file is None), words, file
    )
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
        words = passphrase(passphrase_file)
        key_copies.import_keys(home, raw, words, local)
    click.echo(
        "imported: mount a project with `lucidnode mount PROJECT DIR`, and nowhere else with these keys",
        err=True,
    )
    stay_unlocked(home, words, typed=passphrase_file is None)


@contextlib.contextmanager
def _said_of(file: Path) -> Iterator[None]:
    try:
        yield
    except WrongPassphrase:
        raise WrongPassphrase(f"that is not the passphrase that {file} was sealed under") from None
    except SealDamaged as error:
        raise SealDamaged(f"{file} is damaged ({error}): take another copy") from error
