"""Commands that invite: make tickets, show how they stand, withdraw them, answer who asks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import click

from lucidnode import inviting
from lucidnode.cli.ended_epochs import credentials_to_rotate, end_epochs, tell_ended
from lucidnode.cli.membership_input import token_in, unlocked
from lucidnode.cli.nearby import invite_nearby
from lucidnode.cli.output import as_json, counted, minute_of, show_json, show_table
from lucidnode.cli.progress import spinner
from lucidnode.cli.project_names import offering_projects
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.membership.answering import Answered
from lucidnode.fs.membership.join_token import written
from lucidnode.fs.membership.member import spelled
from lucidnode.fs.membership.member_file import Membership
from lucidnode.inviting import InviteWish, ListedInvite, MadeTicket
from lucidnode.new_secret import write_new_secret
from lucidnode.node.client.errors import Refused
from lucidnode.node.client.roster_entry import Role
from lucidnode.node.config import load_credentials
from lucidnode.node.setting_values import BadSetting, read_duration

_LONGEST_S = 30 * 24 * 3600
_MOST_TICKETS = 100

_STANDINGS = {
    "waiting": "nobody has asked yet",
    "asked": "asked; waits for somebody who may answer",
    "answered": "let in; has not joined yet",
    "withdrawn": "withdrawn",
    "unattended": "its ticket works by itself",
    "expired": "past its time",
}


class _Lasting(click.ParamType[int]):
    """A time as people write it, in seconds."""

    name = "time"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        try:
            lasts_s = read_duration(value)
        except BadSetting as error:
            self.fail(str(error), param, ctx)
        if lasts_s > _LONGEST_S:
            self.fail("an invite counts for 30 days at most", param, ctx)
        return lasts_s


@click.group(
    "invite", invoke_without_command=True, short_help="Make a ticket for one more workstation."
)
@click.option(
    "--role",
    type=click.Choice(["owner", "editor", "viewer"]),
    default="editor",
    show_default=True,
    help="What the new member may do.",
)
@click.option(
    "--expires",
    "lasts_s",
    type=_Lasting(),
    default="1d",
    show_default=True,
    metavar="TIME",
    help="How long it counts, from now on, such as 30min, 8h or 7d; at most 30d.",
)
@click.option("--for", "who", default="", help="Suggested name of the new member.")
@click.option(
    "--project",
    "projects",
    multiple=True,
    metavar="PROJECT",
    shell_complete=offering_projects,
    help="Of the projects there are now, open only this one; can be given again.",
)
@click.option(
    "--count",
    type=click.IntRange(1, _MOST_TICKETS),
    default=1,
    show_default=True,
    help="Make so many tickets, each for one workstation.",
)
@click.option(
    "--confirm",
    is_flag=True,
    help="Let nobody in before somebody who may invite types the words that the newcomer sees.",
)
@click.option(
    "--unattended",
    is_flag=True,
    help="A ticket that joins while nobody of the studio is there: it carries the studio's keys and "
    "the bucket's credentials.",
)
@click.option(
    "--join-token",
    "token_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the new FILE instead, with which --count machines join by themselves, such as render nodes.",
)
@click.option(
    "--nearby",
    is_flag=True,
    help="Show a short code instead, which is typed at a workstation in this network; it waits for that.",
)
@click.option(
    "--ticket-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the ticket into the new FILE instead of showing it, for `lucidnode join @FILE`.",
)
@click.option("--qr", is_flag=True, help="Show the ticket as a QR code as well.")
@as_json
@passphrase_file
@click.pass_context
def invite_command(
    context: click.Context,
    role: str,
    lasts_s: int,
    who: str,
    projects: tuple[str, ...],
    count: int,
    confirm: bool,
    unattended: bool,
    token_file: Path | None,
    nearby: bool,
    ticket_file: Path | None,
    qr: bool,
    wants_json: bool,
    passphrase_file: Path | None,
) -> None:
    """Make a one-time ticket for one more workstation, and the code that opens it.

    For owners, and for editors whom an owner lets (`lucidnode members inviting`).
    Send the two by different ways. The ticket lets its holder ask; a workstation of somebody who may
    invite answers, if it runs and is unlocked or has a project mounted, and both show the same words. With
    --unattended nobody is asked.

    \b
    Examples:
      lucidnode invite --for Ada
      lucidnode invite --ticket-file ada.txt
      lucidnode invite --nearby
      lucidnode invite --join-token farm.json --role editor --count 20 --expires 7d
      lucidnode invite list
    """
    if context.invoked_subcommand is not None:
        return
    home: Path = context.obj
    if who:
        spelled(who)
    if confirm and unattended:
        raise click.UsageError("give --confirm or --unattended, not both")
    if ticket_file is not None and (nearby or token_file or wants_json or count > 1):
        raise click.UsageError("--ticket-file takes one ticket, and goes not with --json")
    if ticket_file is not None and ticket_file.exists():
        raise Refused(f"{ticket_file} exists already: name a new file")
    wish = InviteWish(cast(Role, role), lasts_s, who, projects or None, confirm)
    mine, socket = unlocked(home, passphrase_file)
    if nearby:
        if confirm or unattended or qr or wants_json or token_file is not None or count > 1:
            raise click.UsageError("--nearby goes with --role, --for, --project and a time")
        invite_nearby(home, socket, mine, wish)
        return
    if token_file is not None:
        if confirm or unattended or qr or wants_json:
            raise click.UsageError("--join-token goes with --role, --count, --project and a time")
        _write_token(home, socket, mine, wish, count, token_file)
        return
    make = inviting.invite_unattended if unattended else inviting.invite_asking
    with spinner("writing the invitation into the bucket…"):
        made = [asyncio.run(make(home, socket, mine, wish)) for _ in range(count)]
    held = load_credentials(home)
    if held is not None and held.is_temporary:
        click.echo(
            "note: this workstation's credentials for the bucket are temporary, and so is what the "
            "new one gets: it has to renew them with `lucidnode credentials set`",
            err=True,
        )
    if unattended:
        click.echo(
            "note: whoever has ticket and code joins, and has the studio's keys and the bucket's "
            "credentials, at any time until it expires",
            err=True,
        )
    _show(made, ticket_file, qr=qr, wants_json=wants_json)


def _write_token(
    home: Path, socket: Path, mine: Membership, wish: InviteWish, count: int, file: Path
) -> None:
    if file.exists():
        raise Refused(f"{file} exists already: name a new file")
    with spinner("writing the invitations into the bucket…"):
        token = asyncio.run(inviting.invite_machines(home, socket, mine, wish, count))
    write_new_secret(file, written(token, wish.role))
    machines = counted(count, "machine")
    click.echo(
        f"{file}: {machines} can join with it as {wish.role}, until {minute_of(token.ticket.expires_ns)}: "
        f"`lucidnode join --join-token {file}`",
        err=True,
    )
    click.echo(
        "note: whoever has the file joins, and has the studio's keys and the bucket's credentials: keep "
        f"it as a key, and withdraw what is left of it with `lucidnode invite cancel --join-token {file}`",
        err=True,
    )


@invite_command.command("list")
@passphrase_file
@as_json
@click.pass_obj
def invite_list(home: Path, passphrase_file: Path | None, wants_json: bool) -> None:
    """List the invites that are open, who has asked, and with which words.

    \b
    Example:
      lucidnode invite list --json
    """
    mine, socket = unlocked(home, passphrase_file)
    listed = asyncio.run(inviting.list_invites(socket, mine))
    if wants_json:
        show_json({"invites": [_facts(one) for one in listed]})
        return
    if not listed:
        click.echo("No invite is open.")
        return
    show_table(
        ["id", "for", "role", "until", "", "asked by", "words"],
        [
            [
                one.ident[:12],
                one.label.member or "(nobody named)",
                one.role,
                minute_of(one.expires_ns),
                _STANDINGS[one.standing],
                f"{one.asked_by.member} on {one.asked_by.device}" if one.asked_by else "",
                one.words,
            ]
            for one in listed
        ],
    )


@invite_command.command("cancel")
@click.argument("ident", metavar="[ID]", default="")
@click.option(
    "--join-token",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Withdraw what is left of this join token instead.",
)
@passphrase_file
@click.pass_obj
def invite_cancel(home: Path, ident: str, file: Path | None, passphrase_file: Path | None) -> None:
    """Withdraw the invite with that ID, or its beginning: its ticket lets nobody in any more.

    If keys have left with it already, in an unattended ticket or an answer, what is written from now on
    is sealed without them, as after `lucidnode members revoke`.

    \b
    Example:
      lucidnode invite cancel 3f2a91
      lucidnode invite cancel --join-token farm.json
    """
    if (file is None) == (not ident):
        raise click.UsageError("name an invite by its ID, or a join token by its file")
    token = None if file is None else token_in(file, 0)
    mine, socket = unlocked(home, passphrase_file)
    if token is not None:
        left = asyncio.run(inviting.cancel_token(socket, mine, token))
        click.echo(f"withdrawn: {counted(left, 'place')}", err=True)
        if left:
            tell_ended(end_epochs(home, socket, mine))
        return
    gone, had_keys = asyncio.run(inviting.cancel_invite(socket, mine, ident))
    click.echo(f"withdrawn: the invite of {gone.label.member or 'nobody named'}", err=True)
    if had_keys:
        tell_ended(end_epochs(home, socket, mine))
        click.echo(credentials_to_rotate(home, socket, {gone.role}), err=True)


@invite_command.command("answer")
@click.argument("words", required=False, default="")
@passphrase_file
@as_json
@click.pass_obj
def invite_answer(home: Path, words: str, passphrase_file: Path | None, wants_json: bool) -> None:
    """Let in who has asked with WORDS, or without them all who were invited without --confirm.

    Where the workstation of somebody who may invite runs, unlocked or with a project mounted, the latter
    happens by itself.

    \b
    Examples:
      lucidnode invite answer
      lucidnode invite answer lusab-babad-gutih-tugad
    """
    mine, socket = unlocked(home, passphrase_file)
    found = asyncio.run(inviting.answer_now(socket, mine, words.strip().lower()))
    if wants_json:
        show_json(
            {
                "answered": [_let_in(one) for one in found if one.let_in],
                "to_confirm": [_let_in(one) for one in found if not one.let_in],
            }
        )
        return
    if not found:
        click.echo("Nobody has asked.")
        return
    show_table(
        ["member", "workstation", "role", "words", ""],
        [
            [
                one.label.member,
                one.label.device,
                one.role,
                one.words,
                "let in" if one.let_in else "waits: answer with the words, if they are right",
            ]
            for one in found
        ],
    )


def _show(made: list[MadeTicket], ticket_file: Path | None, *, qr: bool, wants_json: bool) -> None:
    if wants_json:
        tickets = [{"id": one.ident, "ticket": one.ticket, "code": one.code} for one in made]
        show_json(tickets[0] if len(tickets) == 1 else {"tickets": tickets})
        return
    for one in made:
        if ticket_file is None:
            click.echo("Ticket, for `lucidnode join`:", err=True)
            click.echo(one.ticket)
        else:
            write_new_secret(ticket_file, one.ticket.encode() + b"\n")
            click.echo(f"The ticket is in {ticket_file}, for `lucidnode join @FILE`.", err=True)
        if qr:
            _show_code(one.ticket)
        click.echo("Code, to be told by another way:", err=True)
        click.echo(one.code)


def _show_code(ticket: str) -> None:
    from lucidnode.cli.qr_code import drawn  # noqa: PLC0415  # 40 ms for who wants it

    try:
        code = drawn(ticket)
    except ValueError:
        click.echo("It is too long for a QR code.", err=True)
        return
    if code is None:
        click.echo(
            "This terminal is too narrow for it as a QR code: make the letters smaller.", err=True
        )
    else:
        click.echo(code, err=True, nl=False)


def _facts(one: ListedInvite) -> dict[str, object]:
    return {
        "id": one.ident,
        "for": one.label.member,
        "role": one.role,
        "until_ns": one.expires_ns,
        "standing": one.standing,
        "asked_by": None
        if one.asked_by is None
        else {"member": one.asked_by.member, "device": one.asked_by.device},
        "words": one.words,
    }


def _let_in(one: Answered) -> dict[str, object]:
    return {
        "member": one.label.member,
        "device": one.label.device,
        "role": one.role,
        "words": one.words,
    }
