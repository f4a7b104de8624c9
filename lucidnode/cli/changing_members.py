"""Commands that change what members may do: roles, and putting out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import click

from lucidnode import membership, putting_out, role_credentials
from lucidnode.cli.background import facts
from lucidnode.cli.credentials import given_words
from lucidnode.cli.ended_epochs import (
    credentials_to_rotate,
    end_epochs,
    tell_ended,
    told_ended,
)
from lucidnode.cli.given import RoleFile, given_by_role, given_network, role_files_option
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.node import exit_command
from lucidnode.cli.output import as_json, confirm, counted, show_json
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.cli.unmounting import require_unmounted
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import Person, RosterView
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.client.errors import Refused
from lucidnode.node.client.kept import unsent
from lucidnode.node.client.roster_entry import Role
from lucidnode.node.config import (
    MEMBER_FILE,
    NODE_FILE,
    load_config,
)
from lucidnode.node.sealed_file import NODE_KEY_FILE
from lucidnode.node_key import SEALED_FILES

_SHORTEST_ID = 6
"""Digits of an id that name a workstation."""


@click.command("role")
@click.argument("who")
@click.argument("role", type=click.Choice(["owner", "editor", "viewer"]))
@click.option("--project", help="Only in this project, where the role of the studio is another.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@passphrase_file
@as_json
@click.pass_obj
def members_role(
    home: Path,
    who: str,
    role: str,
    project: str | None,
    yes: bool,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Give WHO, a member or a workstation, another ROLE in the studio or in one project. For owners.

    An editor reads and writes, a viewer reads: what a viewer's workstation writes counts for nobody.

    \b
    Examples:
      lucidnode members role 'Bo Lind' viewer
      lucidnode members role edit-2 editor --project demo
    """
    mine, socket = unlocked(home, passphrase_file)
    view = asyncio.run(membership.read_roster(socket, mine))
    where = None if project is None else view.project(project)

    def is_so(one: Person) -> bool:
        return role == (one.role if where is None else one.roles.get(where.id, one.role))

    changing = _changing(view, who, is_so, f"{who} is {role} already")
    place = "the studio" if where is None else where.name
    confirm(f"Make {_names(changing)} {role} of {place}?", yes=yes)
    sealed = asyncio.run(
        role_credentials.admit(socket, mine, cast(Role, role), [one.device for one in changing])
    )
    for one in changing:
        asyncio.run(
            putting_out.change_role(
                socket, mine, one.public, None if where is None else where.id, cast(Role, role)
            )
        )
    ended = end_epochs(home, socket, mine)
    closed = _closed_since(view, socket, mine)
    if wants_json:
        _show_changed(changing, closed, {"role": role, **told_ended(ended)})
        return
    click.echo(f"{_names(changing)}: {role} of {place}", err=True)
    _tell_closed(closed)
    tell_ended(ended)
    if sealed:
        click.echo(
            "their workstations take over the bucket's credentials of what they are now; those of what "
            "they were they know on: `lucidnode credentials set --role` gives that role new ones",
            err=True,
        )


@click.command("inviting")
@click.argument("who")
@click.argument("may", metavar="on|off", type=click.Choice(["on", "off"]))
@click.option("--yes", is_flag=True, help="Do not ask.")
@passphrase_file
@as_json
@click.pass_obj
def members_inviting(
    home: Path, who: str, may: str, yes: bool, passphrase_file: Path | None, wants_json: bool
) -> None:
    """Let WHO, an editor or an editor's workstation, invite others, or no more. For owners.

    Such an editor lets in editors and viewers, into the projects that he can open, and nobody may more
    there than he; his workstation answers those who ask, as an owner's does. It ends with his role, and
    then the invites that he could answer are closed. Workstations of releases before this have to be updated.

    \b
    Examples:
      lucidnode members inviting 'Bo Lind' on
      lucidnode members inviting edit-2 off
    """
    mine, socket = unlocked(home, passphrase_file)
    view = asyncio.run(membership.read_roster(socket, mine))
    wanted = may == "on"
    said = f"may {'' if wanted else 'not '}invite"
    changing = _changing(view, who, lambda one: one.may_invite == wanted, f"{who} {said} as it is")
    confirm(f"{'Let' if wanted else 'No more let'} {_names(changing)} invite?", yes=yes)
    for one in changing:
        asyncio.run(putting_out.allow_inviting(socket, mine, one.public, may=wanted))
    closed = _closed_since(view, socket, mine)
    if wants_json:
        _show_changed(changing, closed, {"may_invite": wanted})
        return
    click.echo(f"{_names(changing)}: {said}", err=True)
    _tell_closed(closed)


@click.command("revoke")
@click.argument("who", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@role_files_option
@passphrase_file
@as_json
@click.pass_obj
def members_revoke(
    home: Path,
    who: tuple[str, ...],
    yes: bool,
    role_files: tuple[RoleFile, ...],
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Put WHO out of the studio: members, with all their workstations, or single workstations. For owners.

    No other workstation talks to theirs any more, what is written from now on is sealed without them,
    and nothing they write counts. What they have read, they have read. Invites they opened are closed.
    If it is broken off, or a project cannot be reached, `lucidnode members settle` goes on. The
    credentials for the bucket that they know are named; with a --credentials-file everybody who stays
    and has their role gets new ones at once.

    \b
    Examples:
      lucidnode members revoke 'Bo Lind'
      lucidnode members revoke edit-2 --yes --credentials-file editors.json
      lucidnode members revoke Ada --credentials-file editor=e.json --credentials-file viewer=v.json
    """
    mine, socket = unlocked(home, passphrase_file)
    view = asyncio.run(membership.read_roster(socket, mine))
    chosen = list({one.public: one for name in who for one in _chosen(view, name)}.values())
    put_out(home, socket, mine, view, chosen, who[0], role_files, yes=yes, wants_json=wants_json)


def put_out(
    home: Path,
    socket: Path,
    mine: Membership,
    view: RosterView,
    chosen: list[Person],
    asked: str,
    role_files: Sequence[RoleFile],
    *,
    yes: bool,
    wants_json: bool,
) -> None:
    """Put *chosen* out of the studio, whom a person *asked* for, and say what is left to do."""
    roles = {view.roster.widest_role(one.device) or one.role for one in chosen}
    given = given_by_role(role_files, roles)
    if any(one.is_me for one in chosen):
        raise Refused(f"{asked} is, or has, this workstation: have another owner do it")
    confirm(f"Put {_names(chosen)} out of the studio for good?", yes=yes)
    asyncio.run(putting_out.revoke(socket, mine, [one.public for one in chosen]))
    ended = end_epochs(home, socket, mine)
    known = {*roles, "viewer"} if any(one.may_invite for one in chosen) else roles
    closed = _closed_since(view, socket, mine)
    rotated = _rotated(home, socket, mine, given)
    rotate = "\n".join([*rotated, credentials_to_rotate(home, socket, known, given)]).strip()
    if wants_json:
        show_json(
            {
                "put_out": [_facts(one) for one in chosen],
                "rotate": rotate,
                "closed_invites": closed,
                **told_ended(ended),
            }
        )
        return
    click.echo(f"{_names(chosen)}: out of the studio", err=True)
    _tell_closed(closed)
    tell_ended(ended)
    click.echo(rotate, err=True)
    click.echo(
        "What they had, they have: what was there before opens with their keys for as long as they reach "
        "it. `lucidnode project rekey` seals that anew.",
        err=True,
    )


def _rotated(
    home: Path, socket: Path, mine: Membership, given: Mapping[Role, Credentials]
) -> Iterator[str]:
    """Give each role its new credentials, and yield what to say of it."""
    for role, new in given.items():
        network = given_network(None, load_config(home).authorities)
        yield given_words(
            asyncio.run(role_credentials.give_role(home, socket, mine, role, new, network))
        )


@click.command("settle")
@passphrase_file
@as_json
@click.pass_obj
def members_settle(home: Path, passphrase_file: Path | None, wants_json: bool) -> None:
    """Have the last change of members in force in every project, where `role` or `revoke` was broken off.

    \b
    Example:
      lucidnode members settle
    """
    mine, socket = unlocked(home, passphrase_file)
    ended = end_epochs(home, socket, mine)
    if wants_json:
        show_json(told_ended(ended))
        return
    tell_ended(ended)


@click.command("leave")
@click.option("--yes", is_flag=True, help="Do not ask.")
@passphrase_file
@click.pass_context
def leave_command(context: click.Context, yes: bool, passphrase_file: Path | None) -> None:
    """Leave the studio with this workstation, and remove its keys and credentials from here.

    Unmount first. No other workstation talks to this one from then on; an owner's next change of
    members seals what comes without it. To come back takes a new invitation.

    \b
    Example:
      lucidnode umount ~/demo && lucidnode leave
    """
    home: Path = context.obj
    mine, socket = unlocked(home, passphrase_file)
    _require_sent(home)
    lost = "".join(
        f"Not all that was saved in the drive at {point} is in the cloud, and it is lost with this: mount it "
        "once more to send it. "
        for point in unsent(home)
    )
    if lost and yes:
        raise Refused(f"{lost}Without --yes you can give it up")
    confirm(f"{lost}Leave the studio, and remove this workstation's keys for good?", yes=yes)
    _require_sent(home)  # what was mounted and written while the question stood
    asyncio.run(putting_out.leave(socket, mine))
    context.invoke(exit_command)
    for name in (MEMBER_FILE, NODE_KEY_FILE, *SEALED_FILES, NODE_FILE):
        (home / name).unlink(missing_ok=True)
    click.echo(
        f"this workstation has left the studio; what it had cached, which nobody can read now, is "
        f"still in {home}",
        err=True,
    )


def _require_sent(home: Path) -> None:
    """Raise MountPointBusy while anything is mounted, Refused if what was written waits here."""
    status = asyncio.run(facts(home, "status"))
    require_unmounted(home, status)
    if waiting := status["uploads"]["blocks"]:
        raise Refused(
            f"{counted(waiting, 'block')} of what was written here did not reach the bucket yet: "
            "`lucidnode status` says how far it is"
        )


def _changing(
    view: RosterView, who: str, is_so: Callable[[Person], bool], already: str
) -> list[Person]:
    """Return those that *who* names for whom it is not so yet. Raises Refused if there are none."""
    changing = [one for one in _chosen(view, who) if not is_so(one)]
    if not changing:
        raise Refused(already)
    return changing


def _show_changed(changed: list[Person], closed: int, what: Mapping[str, object]) -> None:
    """Say for scripts who was *changed*, to *what*, and how many invites were *closed* with it."""
    show_json({"changed": [_facts(one) for one in changed], "closed_invites": closed, **what})


def _closed_since(view: RosterView, socket: Path, mine: Membership) -> int:
    """Return how many invites of *view* are open no more: who may less now could have used them."""
    now = asyncio.run(membership.read_roster(socket, mine))
    return len(view.roster.invites.keys() - now.roster.invites.keys())


def _tell_closed(closed: int) -> None:
    if closed:
        click.echo(
            f"closed {counted(closed, 'open invite')}, which could have been used by them: make new ones",
            err=True,
        )


def _chosen(view: RosterView, who: str) -> list[Person]:
    """Return the members that *who* names: one person's workstations, or one. Raises Refused."""
    found = _named(view, who)
    if not found:
        known = _names(view.people())
        raise Refused(
            f"nobody of the studio, and no workstation, is called {who}: there is {known}"
        )
    return found


def chosen_devices(view: RosterView, which: str) -> list[Person]:
    """Return the workstations with the name or id *which*, or whose ids begin so. Raises Refused."""
    people = view.people()
    found = [one for one in people if which == one.label.device] or [
        one for one in people if len(which) >= _SHORTEST_ID and one.device.startswith(which.lower())
    ]
    if not found:
        known = ", ".join(one.label.device for one in people)
        raise Refused(f"no workstation of the studio is called {which}: there is {known}")
    return found


def _named(view: RosterView, who: str) -> list[Person]:
    people = view.people()
    return (
        [one for one in people if who == one.device]
        or [one for one in people if who == one.label.member]
        or [one for one in people if who == one.label.device]
    )


def _names(people: Iterable[Person]) -> str:
    return ", ".join(f"{one.label.member} ({one.label.device})" for one in people)


def _facts(one: Person) -> dict[str, str]:
    return {"member": one.label.member, "device": one.label.device, "device_id": one.device}
