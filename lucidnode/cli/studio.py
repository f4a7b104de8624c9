"""Commands about the studio: found one, join one."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import click

from lucidnode import joining, new_home, new_studio
from lucidnode.asking import Joiner, has_asked
from lucidnode.cli.given import (
    ca_file_option,
    credentials_file_option,
    given_network,
    given_place,
)
from lucidnode.cli.membership_input import stay_unlocked, token_in, unlocked_with
from lucidnode.cli.nearby import ticket_nearby
from lucidnode.cli.output import counted, show_line
from lucidnode.cli.own_options import local_options, name_options
from lucidnode.cli.progress import spinner
from lucidnode.cli.recovery import can_hand_out, check_sheet, hand_out, sheet_option
from lucidnode.cli.secrets_input import one_time_code, passphrase, passphrase_file
from lucidnode.credentials import warning
from lucidnode.fs.errors import SealDamaged, TicketSpent
from lucidnode.fs.membership.asking_ticket import (
    AskingTicket,
    check_asking,
    only_asks,
    open_asking,
)
from lucidnode.fs.membership.join_token import shuffled
from lucidnode.fs.membership.member import Label, shown, spelled
from lucidnode.fs.membership.ticket import Ticket, check_ticket, open_ticket
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.network import Network
from lucidnode.node.client.clock import SystemClock

_CODE_BELOW = re.compile(r"\n\s*\w{4}(-\w{4})+\s*$")
"""Of `lucidnode invite > FILE`. No ticket has a hyphen."""


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
        mine, socket = unlocked_with(home, words, typed=passphrase_file is None)
        hand_out(home, socket, mine, sheet)
    else:
        stay_unlocked(home, words, typed=passphrase_file is None)


@click.command("join", short_help="Join a studio with a ticket.")
@click.argument("ticket", metavar="[TICKET]", default="")
@click.option(
    "--join-token",
    "token_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Join with this file of `lucidnode invite --join-token` instead of a ticket, as one of its machines.",
)
@click.option(
    "--at",
    "place",
    default="",
    metavar="ADDRESS:PORT",
    help="Where an inviter is who is not found by multicast, if no ticket is given.",
)
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
    token_file: Path | None,
    place: str,
    code_file: Path | None,
    ca_file: Path | None,
    name: str,
    device_name: str,
    cache_dir: Path | None,
    cache_limit: int | None,
    passphrase_file: Path | None,
) -> None:
    """Join a studio with TICKET, or with @FILE that holds the ticket.

    Without one this looks for who runs `lucidnode invite --nearby` on this network, and asks for the
    code that his screen shows.

    If it is a ticket that asks, this waits for a workstation of an owner to answer, and shows the
    words that the other side shows too. Broken off, the same command goes on.

    \b
    Examples:
      lucidnode join @ticket.txt
      lucidnode join
      lucidnode join --join-token farm.json --passphrase-file /run/secrets/passphrase
    """
    if sum(map(bool, (ticket, token_file, place))) > 1:
        raise click.UsageError("give a ticket, or a join token, or where an inviter is")
    local = new_home.NodeOptions(cache_dir=cache_dir, cache_limit_mib=cache_limit)
    new_home.check_fresh(home, local)
    label = Label(spelled(name), spelled(device_name))
    network = given_network(ca_file)
    if token_file is not None:
        _join_by_token(home, token_file, network, local, label, passphrase_file)
        return
    code: str | None = None
    if ticket:
        text = _ticket_text(ticket)
    else:
        handed_out = ticket_nearby(place, code_file)
        text, code = handed_out.ticket, handed_out.code
    with _said_of_ticket():
        asks = only_asks(text)
    if asks:
        asking = _opened_asking(text, code_file, code)
        words = passphrase(passphrase_file, new=not has_asked(home, asking))
        joiner = Joiner(home, asking, words, network, SystemClock())
        opened = asyncio.run(_answered(joiner, asking, label))
        asyncio.run(joining.join_studio(home, opened, network, local, words, label))
        joiner.done()
    else:
        opened = _opened(text, code_file)
        # Before a passphrase is made up, as in `init`.
        asyncio.run(joining.check_invited(opened, network))
        words = passphrase(passphrase_file, new=True)
        asyncio.run(joining.join_studio(home, opened, network, local, words, label))
    _joined(opened)
    stay_unlocked(home, words, typed=passphrase_file is None)


def _join_by_token(
    home: Path,
    file: Path,
    network: Network,
    local: new_home.NodeOptions,
    label: Label,
    passphrase_file: Path | None,
) -> None:
    token = token_in(file, time.time_ns())
    asyncio.run(joining.check_invited(token.ticket, network))
    words = passphrase(passphrase_file, new=True)
    # Machines that are started together do not all ask for the same place.
    places = shuffled(token.invites)
    try:
        asyncio.run(
            joining.join_studio(home, token.ticket, network, local, words, label, invites=places)
        )
    except TicketSpent:
        raise TicketSpent(
            f"all places of this join token ({counted(len(places), 'machine')}) are used or withdrawn: "
            "ask for a new one"
        ) from None
    _joined(token.ticket)
    stay_unlocked(home, words, typed=passphrase_file is None)


def _joined(ticket: Ticket) -> None:
    _warn(joining.ticket_credentials(ticket))
    click.echo("joined: mount a project with `lucidnode mount PROJECT DIR`", err=True)


async def _answered(joiner: Joiner, asking: AskingTicket, label: Label) -> Ticket:
    """Ask, and wait: what is said here is what two people compare."""
    words = await joiner.ask(label)
    click.echo(f"Asked. The words of this request, on both sides: {words}", err=True)
    waiting = (
        f"waiting for {shown(asking.host)}, or somebody else who may invite: a workstation of theirs "
        "that runs and is unlocked answers by itself"
    )
    with spinner(f"{waiting}…") as update:
        said = ""

        def told(why: str) -> None:
            nonlocal said
            if why != said and update is None:
                show_line(f"still waiting: {why}", err=True)
            elif update is not None:
                update(f"{waiting}… ({why})")
            said = why

        if update is None:
            click.echo(waiting, err=True)
        return await joiner.answer(told)


def _warn(credentials: Credentials | None) -> None:
    if (words := warning(credentials)) is not None:
        click.echo(f"note: {words}", err=True)


def _opened(text: str, code_file: Path | None) -> Ticket:
    with _said_of_ticket():
        check_ticket(text)
        return open_ticket(text, one_time_code(code_file), time.time_ns())


def _opened_asking(text: str, code_file: Path | None, code: str | None) -> AskingTicket:
    with _said_of_ticket():
        check_asking(text)
        return open_asking(text, code or one_time_code(code_file), time.time_ns())


@contextlib.contextmanager
def _said_of_ticket() -> Iterator[None]:
    try:
        yield
    except SealDamaged as error:
        raise SealDamaged(
            f"the ticket is damaged ({error}): copy all of it again, or ask for a new one"
        ) from error


def _ticket_text(ticket: str) -> str:
    if not ticket.startswith("@"):
        return ticket
    try:
        return _CODE_BELOW.sub("", Path(ticket[1:]).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read the ticket from {ticket[1:]}") from error
