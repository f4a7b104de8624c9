"""Commands that keep a studio from being lost with its workstations."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from pathlib import Path

import click

from lucidnode import joining, membership, new_home, recovery
from lucidnode.cli.given import (
    ca_file_option,
    credentials_file_option,
    given_network,
    given_place,
)
from lucidnode.cli.lone_owner import tell_lone_owner
from lucidnode.cli.membership_input import stay_unlocked, unlocked, unlocked_with
from lucidnode.cli.own_options import local_options, name_options
from lucidnode.cli.progress import spinner
from lucidnode.cli.secrets_input import passphrase, passphrase_file, recovery_code
from lucidnode.fs.errors import MembershipError
from lucidnode.fs.membership.member import Label, spelled
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.ticket import plain_code
from lucidnode.node.client.errors import NodeError, Refused

_code_file = click.option(
    "--code-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read the code from the first line of this file instead of asking.",
)
sheet_option = click.option(
    "--sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the sheet into this new file, for you alone, instead of showing it.",
)


@click.group("recovery", short_help="Make a recovery code, for when all workstations are lost.")
def recovery_command() -> None:
    """Make a recovery code: with it and the bucket an owner comes back from nothing.

    \b
    Example:
      lucidnode recovery new --sheet sheet.txt && lpr sheet.txt && shred -u sheet.txt
    """


@recovery_command.command("new")
@sheet_option
@passphrase_file
@click.pass_obj
def recovery_new(home: Path, sheet: Path | None, passphrase_file: Path | None) -> None:
    """Make a recovery code, shown once. One that was made here before opens nothing any more.

    \b
    Example:
      lucidnode recovery new
    """
    check_sheet(sheet)
    if can_hand_out(sheet):
        mine, socket = unlocked(home, passphrase_file)
        hand_out(home, socket, mine, sheet)


@recovery_command.command("check")
@_code_file
@passphrase_file
@click.pass_obj
def recovery_check(home: Path, code_file: Path | None, passphrase_file: Path | None) -> None:
    """See that the code on your sheet opens this studio. It is as good as before, and not used up.

    Whether it is written down right, and whether it is the newest, shows before it is needed.

    \b
    Example:
      lucidnode recovery check
    """
    mine, socket = unlocked(home, passphrase_file)
    code = recovery_code(code_file)
    with spinner("looking for what the code opens…"):
        asyncio.run(recovery.check_recovery(home, socket, mine, code))
    click.echo("right: this code makes you an owner again when all workstations are lost", err=True)


@click.command("recover", short_help="Come back with a recovery code when all is lost.")
@click.argument("bucket_url")
@click.option("--endpoint-url", help="S3 endpoint, if it is not Amazon's.")
@click.option("--region", help="S3 region, if the store cannot be asked for it.")
@ca_file_option
@credentials_file_option
@_code_file
@sheet_option
@name_options
@local_options
@passphrase_file
@click.pass_obj
def recover_command(
    home: Path,
    bucket_url: str,
    endpoint_url: str | None,
    region: str | None,
    ca_file: Path | None,
    credentials_file: Path | None,
    code_file: Path | None,
    sheet: Path | None,
    name: str,
    device_name: str,
    cache_dir: Path | None,
    cache_limit: int | None,
    passphrase_file: Path | None,
) -> None:
    """Make this workstation an owner's with a recovery code, from the bucket at BUCKET_URL alone.

    The code is used up; another is made at once.

    \b
    Example:
      lucidnode recover s3://studio --endpoint-url https://minio.example:9000
    """
    local = new_home.NodeOptions(cache_dir=cache_dir, cache_limit_mib=cache_limit)
    new_home.check_fresh(home, local)
    check_sheet(sheet)
    label = Label(spelled(name), spelled(device_name))
    network = given_network(ca_file)
    place = given_place(bucket_url, endpoint_url, region, credentials_file, network)
    code = recovery_code(code_file)
    with spinner("looking for what the code opens…"):
        ticket = asyncio.run(recovery.find_recovery(place, code))
    words = passphrase(passphrase_file, new=True)
    asyncio.run(joining.join_studio(home, ticket, network, local, words, label))
    asyncio.run(recovery.forget_recovery(place, code))
    click.echo("you are an owner again: `lucidnode project list` names what there is", err=True)
    if can_hand_out(sheet):
        mine, socket = unlocked_with(home, words, typed=passphrase_file is None)
        hand_out(home, socket, mine, sheet)
    else:
        stay_unlocked(home, words, typed=passphrase_file is None)


def check_sheet(sheet: Path | None) -> None:
    """Raise Refused for a *sheet* that exists, before anything is asked for."""
    if sheet is not None and sheet.exists():
        raise Refused(f"{sheet} exists already: name a file that does not")


def can_hand_out(sheet: Path | None) -> bool:
    """Return whether there is a file or a terminal to write a recovery code to; say so if not."""
    if sheet is not None or (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    click.echo(
        "no recovery code was made, for there is no terminal to show it on: make one with `lucidnode "
        "recovery new --sheet FILE`; without it the studio is lost with its owners' workstations",
        err=True,
    )
    return False


def hand_out(home: Path, socket: Path, mine: Membership, sheet: Path | None) -> None:
    """Make a recovery code and give it to the person: in the file *sheet*, or on the terminal.

    Raises Refused, NotAllowed, and what bucket and daemon say.
    """
    descriptor = None if sheet is None else _created(sheet)
    try:
        with spinner("making a recovery code…"):
            made = asyncio.run(recovery.make_recovery_code(home, socket, mine))
        if descriptor is None:
            click.echo(f"\n{made.text()}")
        else:
            with open(descriptor, "w", encoding="utf-8", closefd=False) as file:
                file.write(made.text())
            os.fsync(descriptor)
    except BaseException:
        if sheet is not None:
            sheet.unlink(missing_ok=True)  # there is no code in it
        raise
    finally:
        if descriptor is not None:
            os.close(descriptor)
    # Not before: who has lost this one on the way still has the one before.
    try:
        asyncio.run(recovery.end_earlier_codes(home, made.code))
        asyncio.run(recovery.close_earlier_codes(socket, mine, made))
    except (NodeError, MembershipError) as error:
        click.echo(
            f"an earlier code may still open the studio ({error}): `lucidnode recovery new` ends it",
            err=True,
        )
    if sheet is not None:
        click.echo(
            f"the recovery sheet is in {sheet}: print it, delete the file, and see with `lucidnode recovery "
            "check` that it can be read",
            err=True,
        )
    else:
        _check_written_down(made.code)
    tell_lone_owner(asyncio.run(membership.read_roster(socket, mine)))


def _check_written_down(code: str) -> None:
    groups = code.split("-")
    asked = secrets.randbelow(len(groups))
    while True:
        typed = click.prompt(
            f"To see that you have it: its group {asked + 1} of {len(groups)} (Enter: later)",
            default="",
            show_default=False,
            err=True,
        )
        if not typed:
            click.echo(
                "not checked: `lucidnode recovery check` does it once it is written down, `lucidnode "
                "recovery new` makes another",
                err=True,
            )
            return
        if plain_code(typed) == groups[asked]:
            click.echo("right: keep it where only you find it", err=True)
            return
        click.echo("that is another one: look again", err=True)


def _created(sheet: Path) -> int:
    try:
        return os.open(sheet, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(f"cannot write {sheet}: {error.strerror}") from error
