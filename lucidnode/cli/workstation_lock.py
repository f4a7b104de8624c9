"""Unlocking and locking a workstation: what its agent holds, and who else has keys in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from lucidnode import membership
from lucidnode.cli import agent
from lucidnode.cli.background import facts_if_running
from lucidnode.cli.ending import end_all
from lucidnode.cli.membership_input import unlocked_with
from lucidnode.cli.node_key_at_hand import membership_of_agent
from lucidnode.cli.output import counted
from lucidnode.cli.progress import spinner
from lucidnode.cli.secrets_input import passphrase, passphrase_file
from lucidnode.node.client.errors import Refused
from lucidnode.node.config import load_config
from lucidnode.node.settings import SETTINGS


@click.command("unlock", short_help="Have commands ask for no passphrase until it is locked.")
@passphrase_file
@click.pass_obj
def unlock_command(home: Path, passphrase_file: Path | None) -> None:
    """Ask for the passphrase once; commands use the keys from now on without it.

    So does any command that asks for it. The keys are in the memory of one process of this user, until
    `lucidnode lock`, `lucidnode exit`, the end of the time that `lucidnode config explain lock.after`
    tells of, or the end of the machine's run. After `lucidnode lock` only a passphrase that is typed
    unlocks, and this command.

    \b
    Example:
      lucidnode unlock
    """
    membership.check_kept(home)
    if membership_of_agent(home) is not None:
        click.echo("this workstation is unlocked already", err=True)
        return
    unlocked_with(home, passphrase(passphrase_file), typed=True)
    if agent.take(home) is None:
        raise Refused(
            "the daemon that runs here keeps no keys for commands: it was started with --foreground, or "
            "is of another release. End it and run `lucidnode unlock` again"
        )
    after = SETTINGS["lock.after"]
    until = after.shown_in(load_config(home))
    unless = "" if until == "never" else f", or nobody has used the keys for {until}"
    click.echo(f"unlocked until `lucidnode lock`{unless}", err=True)


def lock_workstation(home: Path, *, unmount: bool) -> None:
    """Have the agent of *home* forget its keys; with *unmount* end all who have some."""
    load_config(home)
    agent.lock(home)
    status = asyncio.run(facts_if_running(home, "status"))
    mounts = [mount["mountpoint"] for mount in status["mounts"]] if status else []
    if not unmount:
        stay = (
            f"; what is mounted stays so ({counted(len(mounts), 'drive')}), and who serves it has its "
            "keys: `lucidnode lock --unmount` ends that too"
        )
        click.echo(
            f"locked: commands ask for the passphrase again{stay if mounts else ''}", err=True
        )
        return
    with spinner("unmounting…"):
        has_ended = asyncio.run(end_all(home, status))
    if not has_ended:
        raise Refused(
            "locked, but a process of Lucidnode has not ended within a minute: look with "
            "`lucidnode status`, and try again"
        )
    click.echo(
        "locked: nothing is mounted, and no process of Lucidnode has a key; what was not uploaded "
        "is safe on this disk",
        err=True,
    )
