"""The command that gets a workstation off a log of members that nobody else has read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from lucidnode import membership
from lucidnode.cli.background import facts
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.output import as_json, confirm, counted, show_json, show_line
from lucidnode.cli.progress import spinner
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.cli.unmounting import require_unmounted
from lucidnode.fs.membership.log_difference import LogDifference, log_difference
from lucidnode.fs.membership.member import Label
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.node.client.ids import DeviceId, Seq
from lucidnode.node.client.roster_entry import entry_hash


@click.command("repair")
@click.option(
    "--start-again",
    "wants_new_start",
    is_flag=True,
    help="Go by what the bucket holds from now on.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@passphrase_file
@as_json
@click.pass_obj
def members_repair(
    home: Path,
    wants_new_start: bool,
    yes: bool,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Compare the log of members that this workstation goes by with the one in the bucket.

    What this workstation has read of the log it keeps, whatever the bucket shows later. So nobody who
    has the bucket's credentials can change who belongs to the studio. Where the bucket is right and
    this workstation alone has read something else, --start-again has it read the log anew. What it knew
    is kept beside. Ask the others first: if their workstations say the same as this one, it is the
    bucket that is wrong. No project may be mounted for it.

    \b
    Examples:
      lucidnode members repair
      lucidnode members repair --start-again
    """
    mine, socket = unlocked(home, passphrase_file)
    with spinner("reading the log of members in the bucket…"):
        here, shown = asyncio.run(membership.read_both_logs(socket))
    difference = log_difference(here, shown.entries, mine)
    begins_again = wants_new_start and difference is not None
    if difference is not None:
        labels = RosterView.read(shown.entries, mine).labels()
        if not wants_json:
            _tell(difference, _named(shown.agreeing, labels), _named(shown.disagreeing, labels))
    if begins_again:
        require_unmounted(home, asyncio.run(facts(home, "status")))
        confirm("Go by what the bucket holds from now on?", yes=yes)
        last = Seq(len(shown.entries))
        asyncio.run(membership.start_log_again(socket, last, entry_hash(shown.entries[-1])))
    if wants_json:
        show_json(
            {
                "differs_from": None if difference is None else difference.first,
                "only_here": [] if difference is None else difference.only_here,
                "only_in_bucket": [] if difference is None else difference.only_shown,
                "agreeing": shown.agreeing,
                "disagreeing": shown.disagreeing,
                "started_again": begins_again,
            }
        )
    elif difference is None:
        click.echo("the bucket holds the log of members as this workstation has read it", err=True)
    elif begins_again:
        click.echo(
            "this workstation goes by what the bucket holds now; what it knew lies in its home, "
            "beside roster.bin. Of each project that was mounted here since they parted, `lucidnode "
            "repair PROJECT` says whether it was read as the others read it",
            err=True,
        )


def _tell(difference: LogDifference, agreeing: Sequence[str], disagreeing: Sequence[str]) -> None:
    show_line(f"from number {difference.first} on the bucket holds another log of members")
    here = "; ".join(difference.only_here) or "nobody and nothing"
    shown = "; ".join(difference.only_shown) or "nobody and nothing"
    if difference.lists_me:
        show_line(f"only here: {here}")
        show_line(f"only in the bucket: {shown}")
    else:
        show_line("by what was read here, this workstation belongs to no studio")
        show_line(f"in the bucket: {shown}")
    for names, what in ((agreeing, "what is in the bucket"), (disagreeing, "something else")):
        if names:
            said = "says" if len(names) == 1 else "say"
            show_line(
                f"{counted(len(names), 'workstation')} near {said} to have read {what}: "
                + ", ".join(names)
            )


def _named(devices: Sequence[str], labels: Mapping[DeviceId, Label]) -> list[str]:
    known = {str(device): label.device for device, label in labels.items()}
    return [known.get(device, device[:8]) for device in devices]
