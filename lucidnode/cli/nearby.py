"""Inviting and joining where both are on one network: a short code on one screen, typed at the other."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lucidnode import inviting
from lucidnode.cli.progress import spinner
from lucidnode.cli.secrets_input import one_time_code
from lucidnode.discovery.inviters import Inviting, announcing, inviters
from lucidnode.fs.errors import TicketSpent, WrongPassphrase
from lucidnode.fs.membership.member import shown
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.ticket import new_code
from lucidnode.inviting import InviteWish, MadeTicket
from lucidnode.node.client.errors import Refused
from lucidnode.node.peers.listener import bind
from lucidnode.pairing import TRIES, HandedOut, Inviter, fetch

LISTEN_S = 3.0
"""Seconds in which whoever invites on this network is heard."""

_CODE_GROUPS = 2
_LOOK_S = 2.0
_ANSWER_S = 120.0


def invite_nearby(home: Path, socket: Path, mine: Membership, wish: InviteWish) -> None:
    """Show a code, hand out a ticket to who types it, and let him in. Raises TicketSpent, Refused."""
    with spinner("writing the invitation into the bucket…"):
        made = asyncio.run(inviting.invite_asking(home, socket, mine, wish))
    try:
        host = asyncio.run(_handed_out(mine, made))
    except (TicketSpent, KeyboardInterrupt):
        asyncio.run(inviting.cancel_invite(socket, mine, made.ident))
        raise
    click.echo(f"{host} has the ticket: waiting for its request", err=True)
    words = asyncio.run(_let_in(socket, mine, made.ident))
    if not words:
        click.echo(
            "it has not asked yet: `lucidnode invite list` shows when it does, and this workstation answers by itself while it is unlocked",
            err=True,
        )
        return
    click.echo(f"let in. The words, on both sides: {words}", err=True)
    click.echo(
        "If its screen shows others, somebody else has used the code: an owner puts it out, with `lucidnode members revoke`",
        err=True,
    )


async def _handed_out(mine: Membership, made: MadeTicket) -> str:
    code = new_code(_CODE_GROUPS)

    def failed(left: int) -> None:
        click.echo(f"a wrong code was typed; {left} tries are left", err=True)

    with contextlib.closing(bind(None, 0)) as bound:
        port: int = bound.getsockname()[1]
        inviter = Inviter(code, HandedOut(made.ticket, made.code), failed)
        async with announcing(port, f"{mine.label.member} ({mine.label.device})"):
            click.echo(
                f"On the new workstation, in this network: `lucidnode join`. At other networks: "
                f"`lucidnode join --at ADDRESS:{port}`. The code, once, for five minutes:",
                err=True,
            )
            click.echo(code)
            return await inviter.listen(bound)


async def _let_in(socket: Path, mine: Membership, ident: str) -> str:
    """Answer until the invite is answered; return its words, none if nobody asks for long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ANSWER_S):
            while True:
                await inviting.answer_now(socket, mine)
                found = [
                    one for one in await inviting.list_invites(socket, mine) if one.ident == ident
                ]
                if not found or found[0].standing == "answered":
                    return found[0].words if found else "(it has joined already)"
                await asyncio.sleep(_LOOK_S)
    return ""


def ticket_nearby(place: str, code_file: Path | None) -> HandedOut:
    """Return the ticket of who invites on this network, or at *place*, by the code on his screen.

    Raises Refused, WrongPassphrase, TicketSpent, Unavailable.
    """
    chosen = _at(place) if place else _found()
    for left in range(TRIES - 1, -1, -1):
        code = _code(code_file)
        try:
            return asyncio.run(_fetched(chosen, code))
        except WrongPassphrase as error:
            if code_file is not None or not left:
                raise
            click.echo(f"{error}; {left} tries are left", err=True)
    raise AssertionError("the last try raises")


def _code(code_file: Path | None) -> str:
    if code_file is not None or not sys.stdin.isatty():
        return one_time_code(code_file)
    typed: str = click.prompt("Code that the inviter's screen shows", err=True)
    return typed.strip()


async def _fetched(chosen: Inviting, code: str) -> HandedOut:
    failure: TicketSpent | None = None
    for host in chosen.hosts:
        try:
            return await fetch(host, chosen.port, code)
        except TicketSpent as error:  # nobody listens at this address of his
            failure = error
    assert failure is not None, "whoever is found has an address"
    raise failure


def _at(place: str) -> Inviting:
    host, _, port = place.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise click.UsageError("--at takes ADDRESS:PORT, as the inviter's screen shows it")
    return Inviting((host.strip("[]"),), int(port), host)


def _found() -> Inviting:
    with spinner("looking who invites on this network…"):
        try:
            found = asyncio.run(inviters(LISTEN_S))
        except OSError as error:
            raise Refused(
                f"multicast does not work here ({error}): use --at, or a ticket"
            ) from None
    found = [one for one in found if one.hosts]
    if not found:
        raise Refused(
            "nobody on this network invites at the moment: have an owner run `lucidnode invite "
            "--nearby`, or give a ticket"
        )
    one = found[0] if len(found) == 1 else _picked(found)
    click.echo(f"invited by {shown(one.words)}", err=True)
    return one


def _picked(found: Sequence[Inviting]) -> Inviting:
    for number, one in enumerate(found, 1):
        click.echo(f"{number}: {shown(one.words)}, at {one.hosts[0]}", err=True)
    if not sys.stdin.isatty():
        raise click.UsageError("several invite on this network: name one with --at ADDRESS:PORT")
    number = click.prompt("Which", type=click.IntRange(1, len(found)), err=True)
    return found[number - 1]
