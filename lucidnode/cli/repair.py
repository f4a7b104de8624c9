"""The command that gets a workstation off a lost history."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from lucidnode import membership
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.output import confirm, show_line
from lucidnode.cli.past_input import known_project
from lucidnode.cli.project_names import offering_projects
from lucidnode.cli.repairing_blocks import repair_blocks
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.commit.repair.findings import Findings, examine, has_leftovers
from lucidnode.fs.commit.repair.put_back import PutBack, put_back
from lucidnode.fs.commit.repair.replica_files import LOST_FILE
from lucidnode.fs.commit.repair.start_again import start_again
from lucidnode.fs.commit.repair.verdicts import OtherVerdicts, examine_verdicts
from lucidnode.fs.project_home import open_replica, project_directory, take_back_lost
from lucidnode.fs.replica.changes import Head
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.bucket.keys import journal_key
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.facts import DaemonFacts
from lucidnode.node.client.daemon_socket.journal import DaemonJournal
from lucidnode.node.client.errors import AccessDenied, Refused, Unavailable
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.staging import STAGING
from lucidnode.node.config import cache_directory, load_config

_SHOWN = 20
"""Names of files that are listed; more are only counted."""

_PROOF_S, _AGAIN_S = 90.0, 10.0
"""Seconds for which a bucket that gives no answer is asked again, and between two questions."""

T = TypeVar("T")


@click.command("repair", short_help="Get a project off a history that the bucket has lost.")
@click.argument("project", shell_complete=offering_projects)
@click.option(
    "--put-back",
    "wants_put_back",
    is_flag=True,
    help="Put journal entries that the bucket has lost, and this workstation has kept, back.",
)
@click.option(
    "--start-again",
    "wants_new_start",
    is_flag=True,
    help="Start again from the bucket even if nothing is missing there and nothing was judged "
    "otherwise than by the others.",
)
@click.option(
    "--blocks",
    "wants_blocks",
    is_flag=True,
    help="Look for blocks that are missing or damaged; with --put-back put them back. The project "
    "may be mounted.",
)
@click.option("--yes", is_flag=True, help="Do it without asking.")
@passphrase_file
@click.pass_obj
def repair_command(
    home: Path,
    project: str,
    wants_put_back: bool,
    wants_new_start: bool,
    wants_blocks: bool,
    yes: bool,
    passphrase_file: Path | None,
) -> None:
    """Compare this workstation's copy of PROJECT, a name or an id, with the bucket, and mend it.

    If the bucket no longer has what this workstation has seen, either the lost journal entries are
    put back, or the workstation starts again from the bucket: what others never got is kept, beside
    theirs, as conflict copies. It says what it found, and asks before it changes anything. It can
    be interrupted and run again. The project must not be mounted here.

    With --blocks it is about the contents of files: blocks that the bucket has lost, and those that
    the last `lucidnode fsck --blocks` found damaged. They are put back from the cache of this
    workstation, and of colleagues; files of which a block stays lost are named.

    \b
    Examples:
      lucidnode repair demo --put-back
      lucidnode repair demo --blocks --put-back
    """
    if wants_blocks:
        if wants_new_start:
            raise click.UsageError("either --blocks or --start-again")
        repair_blocks(home, project, passphrase_file, put_back=wants_put_back, yes=yes)
        return
    mine, socket = unlocked(home, passphrase_file)
    found = known_project(asyncio.run(membership.read_roster(socket, mine)), project).id

    async def work() -> None:
        async with DaemonClient(socket) as client:
            access = await ProjectAccess.open(client.roster, mine, found)
            await _repair(
                client,
                access,
                home,
                yes=yes,
                wants_put_back=wants_put_back,
                wants_new_start=wants_new_start,
            )

    asyncio.run(work())


async def _repair(
    client: DaemonClient,
    access: ProjectAccess,
    home: Path,
    *,
    yes: bool,
    wants_put_back: bool,
    wants_new_start: bool,
) -> None:
    project = access.keys().project
    staging = cache_directory(home, load_config(home)) / STAGING
    with contextlib.closing(open_replica(home, access)) as replica:
        take_back_lost(replica, staging, project)
        findings = await _patiently(lambda: examine(client.journal, access, replica.pending.head()))
        lost = findings.lost
        if findings.stands:
            if await has_leftovers(client.journal, project, replica.pending.head()):
                await client.journal.forget(project)
            others = await _verdicts(
                client.journal,
                access,
                home,
                replica.pending.head(),
                has_alert=await _has_alert(client.facts, project),
            )
            click.echo(_judged(access.name, findings) if others else _said(access.name, findings))
            if others is not None:
                lost = others.unheard
            elif not wants_new_start:
                return
        elif findings.taken:
            click.echo(_said(access.name, findings))
            raise click.ClickException(_taken(access.name, project, findings.taken))
        elif wants_put_back:
            click.echo(_said(access.name, findings))
            if findings.gap and not findings.can_put_back:
                raise click.ClickException(
                    "they are not kept here: run it on another workstation that has seen them"
                )
            if not findings.can_put_back:
                raise click.ClickException(
                    "nothing can be put back: the entries are not kept here, or others have gone on "
                    f"without them; `lucidnode repair {shlex.quote(access.name)}` starts again from the bucket"
                )
            confirm(f"Put {_entries(findings.lost)} back into the bucket, for everybody?", yes=yes)
            try:
                done = await _patiently(
                    lambda: put_back(client.journal, client.blocks, access, replica, findings.lost)
                )
            except Refused as error:
                raise click.ClickException(
                    f"{error}: `lucidnode repair {shlex.quote(access.name)} --start-again` starts again from the "
                    "bucket"
                ) from error
            _tell(findings, done, replica)
            return
        elif findings.gap and (findings.absent or not wants_new_start):
            click.echo(_said(access.name, findings))
            raise click.ClickException(
                "all that came after them would be given up by starting again: "
                f"`lucidnode repair {shlex.quote(access.name)} --put-back` puts them back, here or on another "
                "workstation that has seen them"
            )
        elif findings.gap:
            click.echo(_said(access.name, findings))
            lost = (*lost, *await _unheard(client.journal, access, home, replica.pending.head()))
        elif findings.can_put_back:
            click.echo(_said(access.name, findings))
            click.echo(
                f"Kept here: {_entries(findings.lost)}. `lucidnode repair {shlex.quote(access.name)} --put-back` puts "
                "that back for everybody; starting again gives it up."
            )
        else:
            click.echo(_said(access.name, findings))
    confirm("Start again from the bucket, and keep what others never got beside theirs?", yes=yes)
    directory = project_directory(home, project)
    carried = await _patiently(
        lambda: start_again(
            client.journal,
            access,
            directory,
            open_replica(home, access),
            lost,
            SystemClock(),
        )
    )
    click.echo(f"{access.name} stands on the bucket's history again.")
    _list("kept", carried)
    click.echo(
        "Renames, deletions and attributes that were never sent are not carried over; the old "
        f"copy is {directory / LOST_FILE}, until the next repair."
    )


def _tell(findings: Findings, done: PutBack, replica: Replica) -> None:
    blocks = f", and {_blocks(done.blocks)} of files" if done.blocks else ""
    rest = "" if done.bare else " Nothing else needs to be done."
    click.echo(f"Put back: {_entries(findings.lost)}{blocks}.{rest}")
    if done.bare:
        click.echo(
            "Of these files a block is gone from the bucket, and from every workstation that "
            "answers. Switch on a workstation that has read them, or put good copies in their place:"
        )
        _list("without a block", sorted(map(replica.tree.shown_path, done.bare)))


def _blocks(count: int) -> str:
    return "1 block" if count == 1 else f"{count} blocks"


def _list(what: str, paths: Sequence[str]) -> None:
    for path in paths[:_SHOWN]:
        show_line(f"  {what}: {path}")
    if len(paths) > _SHOWN:
        click.echo(f"  and {len(paths) - _SHOWN} more")


async def _verdicts(
    journal: DaemonJournal, access: ProjectAccess, home: Path, head: Head, *, has_alert: bool
) -> OtherVerdicts | None:
    directory = project_directory(home, access.keys().project)
    return await _patiently(
        lambda: examine_verdicts(
            journal, access, directory, head, SystemClock(), has_alert=has_alert
        )
    )


async def _unheard(
    journal: DaemonJournal, access: ProjectAccess, home: Path, head: Head
) -> tuple[Seq, ...]:
    verdicts = await _verdicts(journal, access, home, head, has_alert=True)
    return verdicts.unheard if verdicts else ()


async def _has_alert(facts: DaemonFacts, project: ProjectId) -> bool:
    # All of them: `status` shows only some of one kind.
    topics = {alert["topic"] for alert in (await facts.on("alerts"))["alerts"]}
    return f"history:{project}" in topics


async def _patiently(step: Callable[[], Awaitable[T]]) -> T:
    """Do *step* again while it is Unavailable, for as long as a proof may take.

    What the bucket shows in the place of an entry counts only once it has been there for a minute.
    """
    clock = SystemClock()
    end = clock.boot() + _PROOF_S
    while True:
        try:
            return await step()
        except Unavailable as error:
            if error.lasting or isinstance(error, AccessDenied) or clock.boot() + _AGAIN_S > end:
                raise
            show_line(f"{str(error).rstrip('.')}. It is asked again; Ctrl-C ends that.", err=True)
        await clock.sleep(_AGAIN_S)


def _said(name: str, findings: Findings) -> str:
    if findings.stands:
        return (
            f"{name} stands on journal entry {findings.head}, and the bucket has it: "
            "nothing to repair."
        )
    if findings.gap:
        return (
            f"{name} stands on journal entry {findings.head}, and the bucket has it, but no longer "
            f"{_entries(findings.lost)} before it as this workstation has seen them."
        )
    common = f"the newest that both have is {findings.common}" if findings.common else "none"
    return (
        f"{name} stands on journal entry {findings.head}, which the bucket does not have as this "
        f"workstation has seen it; of those known here, {common}."
    )


def _judged(name: str, findings: Findings) -> str:
    return (
        f"{name} stands on journal entry {findings.head}, and the bucket has it, but this "
        "workstation has judged an entry before it otherwise than the others: what it has made "
        "of the project since is not what they have."
    )


def _taken(name: str, project: ProjectId, taken: Sequence[Seq]) -> str:
    keys = journal_key(project, taken[0])
    if taken[1:]:
        keys += f" to {journal_key(project, taken[-1])}"
    command = f"lucidnode repair {shlex.quote(name)}"
    return (
        f"nothing can be put back on top of {_entries(taken)}, which others made in the place of what "
        f"the bucket had lost. Have whoever runs the bucket take {keys} away: then "
        f"`{command} --put-back` puts all back here, and `{command}` on the workstations of those others "
        "keeps what is in theirs"
    )


def _entries(seqs: Sequence[Seq]) -> str:
    rows: list[list[Seq]] = []
    for seq in seqs:
        if rows and rows[-1][-1] == seq - 1:
            rows[-1].append(seq)
        else:
            rows.append([seq])
    said = ", ".join(f"{row[0]} to {row[-1]}" if row[1:] else f"{row[0]}" for row in rows)
    return f"journal {'entries' if seqs[1:] else 'entry'} {said}"
