"""Commands for single workstations of the studio: which there are, what they are called, putting one out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from lucidnode import membership, putting_out
from lucidnode.cli.background import facts
from lucidnode.cli.changing_members import chosen_devices, put_out
from lucidnode.cli.given import RoleFile, role_files_option
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.output import as_json, show_json, show_table
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.errors import NameTaken
from lucidnode.fs.membership.member import spelled
from lucidnode.fs.membership.roster_view import Person


@click.group("devices", short_help="Show the studio's workstations, rename one, put one out.")
def devices_command() -> None:
    """Show the workstations of the studio, rename one, and put single ones out.

    A person may have several; `lucidnode members` has all of one person together.

    \b
    Examples:
      lucidnode devices list
      lucidnode devices revoke edit-2
    """


@devices_command.command("list")
@passphrase_file
@as_json
@click.pass_obj
def list_command(home: Path, passphrase_file: Path | None, wants_json: bool) -> None:
    """List the workstations, whose they are, and which are connected with this one.

    \b
    Example:
      lucidnode devices list --json
    """
    mine, socket = unlocked(home, passphrase_file)
    people = asyncio.run(membership.read_roster(socket, mine)).people()
    linked = {
        peer["device"]
        for peer in asyncio.run(facts(home, "peers"))["peers"]
        if peer["state"] == "linked"
    }
    if wants_json:
        show_json(
            {
                "devices": [
                    {
                        "device": one.label.device,
                        "device_id": one.device,
                        "member": one.label.member,
                        "role": one.role,
                        "is_me": one.is_me,
                        "connected": one.device in linked,
                        "has_left": one.has_left,
                    }
                    for one in people
                ]
            }
        )
        return
    show_table(
        ["workstation", "member", "role", "id", ""],
        [
            [one.label.device, one.label.member, one.role, one.device[:12], _said(one, linked)]
            for one in people
        ],
    )


@devices_command.command("rename")
@click.argument("device")
@click.argument("name")
@passphrase_file
@click.pass_obj
def rename_command(home: Path, device: str, name: str, passphrase_file: Path | None) -> None:
    """Have the workstation DEVICE, a name or an id, called NAME. Owners rename any, others their own.

    \b
    Example:
      lucidnode devices rename edit-2 grading
    """
    spelled(name)
    mine, socket = unlocked(home, passphrase_file)
    view = asyncio.run(membership.read_roster(socket, mine))
    one, *more = chosen_devices(view, device)
    if more:
        raise click.UsageError(
            f"{1 + len(more)} workstations are called {device}: name it by its id, which "
            "`lucidnode devices list` shows"
        )
    if any(name == other.label.device and other != one for other in view.people()):
        raise NameTaken(f"there is a workstation {name!r} already")
    asyncio.run(putting_out.rename(socket, mine, one.public, name))
    click.echo(f"{one.label.device} of {one.label.member} is called {name} now", err=True)


@devices_command.command("revoke")
@click.argument("device", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@role_files_option
@passphrase_file
@as_json
@click.pass_obj
def revoke_command(
    home: Path,
    device: tuple[str, ...],
    yes: bool,
    role_files: tuple[RoleFile, ...],
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Put single workstations out of the studio: names or ids of them, never of people. For owners.

    It is `lucidnode members revoke` for a laptop that was lost: its owner goes on with the others.

    \b
    Examples:
      lucidnode devices revoke edit-2
      lucidnode devices revoke 3f2a91c07b44 --yes --credentials-file editors.json
    """
    mine, socket = unlocked(home, passphrase_file)
    view = asyncio.run(membership.read_roster(socket, mine))
    chosen = list(
        {one.public: one for name in device for one in chosen_devices(view, name)}.values()
    )
    put_out(
        home,
        socket,
        mine,
        view,
        chosen,
        device[0],
        role_files,
        yes=yes,
        wants_json=wants_json,
    )


def _said(one: Person, linked: set[str]) -> str:
    if one.has_left:
        return "has left"
    return "this workstation" if one.is_me else "connected" if one.device in linked else ""
