"""Commands about the studio: found one, invite to it, join it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click

from lucidnode import joining, membership, new_home, new_studio
from lucidnode.cli.given import (
    ca_file_option,
    credentials_file_option,
    given_network,
    given_place,
)
from lucidnode.cli.membership_input import unlocked, unlocked_with
from lucidnode.cli.output import as_json, show_json
from lucidnode.cli.own_options import local_options, name_options
from lucidnode.cli.progress import spinner
from lucidnode.cli.project import passphrase_file
from lucidnode.cli.recovery import can_hand_out, check_sheet, hand_out, sheet_option
from lucidnode.cli.secrets_input import one_time_code, passphrase
from lucidnode.credentials import warning
from lucidnode.fs.errors import SealDamaged
from lucidnode.fs.membership.member import Label, spelled
from lucidnode.fs.membership.ticket import Ticket, check_ticket, open_ticket
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.config import load_credentials


@click.command("init", short_help="Found a studio in a bucket.")
@click.argument("bucket_url")
@click.option("--endpoint-url", help="S3 endpoint, if it is not Amazon's.")
@click.option("--region", help="S3 region, if the store cannot be asked for it.")
@ca_file_option
@credentials_file_option
@name_options
@local_options
@sheet_option
@passphrase_file
@click.pass_obj
def init_command(
    home: Path,
    bucket_url: str,
    endpoint_url: str | None,
    region: str | None,
    ca_file: Path | None,
    credentials_file: Path | None,
    name: str,
    device_name: str,
    cache_dir: Path | None,
    cache_limit: int | None,
    sheet: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Found a studio in BUCKET_URL: s3://bucket/prefix, file:///path, az://container/prefix, or gs://bucket/prefix.

    A bucket of S3 or a directory is created if it is missing. Each is tried: a store that cannot
    create objects atomically is refused. A recovery code is shown at the end, once: with it and the
    bucket you come back when every workstation is lost.

    \b
    Examples:
      lucidnode init file:///srv/studio
      lucidnode init s3://studio --endpoint-url https://minio.example:9000
    """
    local = new_home.NodeOptions(cache_dir=cache_dir, cache_limit_mib=cache_limit)
    new_home.check_fresh(home, local)
    check_sheet(sheet)
    label = Label(spelled(name), spelled(device_name))
    place = given_place(bucket_url, endpoint_url, region, credentials_file, given_network(ca_file))
    # Before a passphrase is made up: most of what can go wrong is here.
    asyncio.run(new_studio.check_bucket(home, place))
    words = passphrase(passphrase_file, new=True)
    asyncio.run(new_studio.create_studio(home, place, local, words, label))
    _warn(place.credentials)
    click.echo("studio founded: create a project with `lucidnode project create NAME`", err=True)
    if can_hand_out(sheet):
        mine, socket = unlocked_with(home, words)
        hand_out(home, socket, mine, sheet)


@click.command("invite", short_help="Make a ticket for one more workstation.")
@click.option(
    "--role",
    type=click.Choice(["owner", "editor", "viewer"]),
    default="editor",
    show_default=True,
    help="What the new member may do.",
)
@click.option("--days", type=click.IntRange(1, 30), default=1, show_default=True)
@click.option("--for", "who", default="", help="Suggested name of the new member.")
@as_json
@passphrase_file
@click.pass_obj
def invite_command(
    home: Path, role: str, days: int, who: str, wants_json: bool, passphrase_file: Path | None
) -> None:
    """Make a one-time ticket for one more workstation, and the code that opens it.

    Send the two by different ways. The ticket lets its holder join once.

    \b
    Example:
      lucidnode invite --for Ada
    """
    if who:
        spelled(who)
    mine, socket = unlocked(home, passphrase_file)
    with spinner("writing the invitation into the bucket…"):
        ticket, code = asyncio.run(membership.invite(home, socket, mine, role, days, who))
    held = load_credentials(home)
    if held is not None and held.is_temporary:
        click.echo(
            "note: the ticket carries this workstation's credentials for the bucket, which are "
            "temporary: whoever joins has to renew them with `lucidnode credentials set`",
            err=True,
        )
    if wants_json:
        show_json({"ticket": ticket, "code": code})
        return
    click.echo("Ticket, for `lucidnode join`:", err=True)
    click.echo(ticket)
    click.echo("Code, to be told by another way:", err=True)
    click.echo(code)


@click.command("join", short_help="Join a studio with a ticket.")
@click.argument("ticket")
@click.option(
    "--code-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read the code from the first line of this file instead of asking.",
)
@ca_file_option
@name_options
@local_options
@passphrase_file
@click.pass_obj
def join_command(
    home: Path,
    ticket: str,
    code_file: Path | None,
    ca_file: Path | None,
    name: str,
    device_name: str,
    cache_dir: Path | None,
    cache_limit: int | None,
    passphrase_file: Path | None,
) -> None:
    """Join a studio with TICKET, or with @FILE that holds the ticket.

    \b
    Example:
      lucidnode join @ticket.txt
    """
    local = new_home.NodeOptions(cache_dir=cache_dir, cache_limit_mib=cache_limit)
    new_home.check_fresh(home, local)
    label = Label(spelled(name), spelled(device_name))
    network = given_network(ca_file)
    text = _ticket_text(ticket)
    opened = _opened(text, code_file)
    # Before a passphrase is made up, as in `init`.
    asyncio.run(joining.check_invited(opened, network))
    words = passphrase(passphrase_file, new=True)
    asyncio.run(joining.join_studio(home, opened, network, local, words, label))
    _warn(joining.ticket_credentials(opened))
    click.echo("joined: mount a project with `lucidnode mount PROJECT DIR`", err=True)


def _warn(credentials: Credentials | None) -> None:
    if (words := warning(credentials)) is not None:
        click.echo(f"note: {words}", err=True)


def _opened(text: str, code_file: Path | None) -> Ticket:
    try:
        check_ticket(text)
        return open_ticket(text, one_time_code(code_file), time.time_ns())
    except SealDamaged as error:
        raise SealDamaged(
            f"the ticket is damaged ({error}): copy all of it again, or ask for a new one"
        ) from error


def _ticket_text(ticket: str) -> str:
    if not ticket.startswith("@"):
        return ticket
    try:
        return Path(ticket[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read the ticket from {ticket[1:]}") from error
