"""What commands say of epochs that end, with whoever was put out or has another role."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

import click

from lucidnode import credentials, putting_out, role_credentials
from lucidnode.cli.output import counted
from lucidnode.cli.progress import spinner
from lucidnode.fs.membership.member_file import Membership
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.roster_entry import Role
from lucidnode.node.config import load_config
from lucidnode.putting_out import EndedEpoch


def end_epochs(
    home: Path, socket: Path, mine: Membership, only: ProjectId | None = None
) -> list[EndedEpoch]:
    """Have the last change in force in every project, or in one *only*; returns where it is."""

    async def ended() -> list[EndedEpoch]:
        with spinner("ending what was in force until now…") as show:

            def started(name: str) -> None:
                if show is not None:
                    show(f"ending what was in force until now in {name}…")

            return [
                each async for each in putting_out.end_epochs(home, socket, mine, started, only)
            ]

    return asyncio.run(ended())


def told_ended(ended: list[EndedEpoch]) -> dict[str, object]:
    """Return where it is in force and where not, for scripts."""
    return {
        "in_force": [each.project for each in ended if not each.problem],
        "not_yet": {each.project: each.problem for each in ended if each.problem},
    }


def tell_ended(ended: list[EndedEpoch]) -> None:
    """Say the same to people."""
    done = sum(not each.problem for each in ended)
    click.echo(f"in force in {counted(done, 'project')}", err=True)
    for each in ended:
        if each.problem:
            click.echo(
                f"! not yet in force in {each.project}: {each.problem.rstrip('.')}. It will be with the next "
                "change that anybody makes there; `lucidnode members settle` has it sooner.",
                err=True,
            )


def credentials_to_rotate(
    home: Path, socket: Path, roles: Collection[Role], given: Collection[Role] = ()
) -> str:
    """Return what to do about credentials of the bucket that somebody of *roles* knows who is out.

    Those of the roles *given* are new by now. Empty if nothing is left to do.
    """
    facts = credentials.summary(home)
    if facts["kind"] == "none":
        return f"They reached the bucket with rights of their accounts: take those away at {load_config(home).bucket_url}."
    known: dict[Role, str] = {}
    for role in roles:
        known |= asyncio.run(role_credentials.known_to(socket, role))
    left = {role: key for role, key in known.items() if role not in given}
    if left:
        named = ", ".join(f"{key} (of every {role})" for role, key in left.items())
        ways = " and ".join(f"`lucidnode credentials set --role {role}`" for role in left)
        return (
            f"They know the bucket's credentials {named}: make new ones at the store, give them with "
            f"{ways}, which reaches each workstation that stays, then delete the old ones there."
        )
    if given:
        return ""
    key = facts["access_key"]
    named = "the bucket's credentials" if key is None else f"the bucket's credentials {key}"
    return (
        f"They know {named}, if you gave them those: make new ones at the store, give them to "
        "workstations that stay with `lucidnode credentials set --role`, then delete the old ones there."
    )
