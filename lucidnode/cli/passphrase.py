"""The command that gives this workstation another passphrase."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lucidnode import membership
from lucidnode.cli import service_install
from lucidnode.cli.node_key_at_hand import membership_with
from lucidnode.cli.secrets_input import passphrase, passphrase_file


@click.group("passphrase", short_help="Change the passphrase of this workstation.")
def passphrase_command() -> None:
    """Change the passphrase that protects this workstation's keys on its disk.

    \b
    Example:
      lucidnode passphrase change
    """


@passphrase_command.command("change")
@passphrase_file
@click.option(
    "--new-passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read the new one from the first line of this file instead of asking.",
)
@click.pass_obj
def passphrase_change(
    home: Path, passphrase_file: Path | None, new_passphrase_file: Path | None
) -> None:
    """Ask for the passphrase and for a new one. What is mounted stays mounted.

    A copy of the keys that somebody made before still opens with the old one.

    \b
    Example:
      lucidnode passphrase change
    """
    membership.check_kept(home)
    mine = membership_with(home, passphrase(passphrase_file), typed=passphrase_file is None)
    membership.keep(home, mine, passphrase(new_passphrase_file, new=True))
    click.echo("the passphrase of this workstation is the new one now", err=True)
    if service_install.installed(home, os.environ) is not None:
        click.echo(
            "its service has the old one: give it the new one with `lucidnode service install`",
            err=True,
        )
