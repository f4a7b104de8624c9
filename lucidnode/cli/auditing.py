"""The command that tells how the studio's members came, went and may what, and who worked where."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import msgspec

from lucidnode import membership
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.output import counted, day_of, local_time, minute_of, show_table
from lucidnode.cli.past_input import opened_past
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.history.past_log import WorkDay
from lucidnode.fs.membership.audit import AuditRecord, audit, concerning, devices_ever
from lucidnode.fs.membership.member import Label
from lucidnode.fs.membership.member_file import Membership

_READERS = (
    "note: who only reads a project writes nothing that could be signed: the bucket's own log of "
    "accesses tells of that"
)


class WorkRecord(msgspec.Struct, frozen=True):
    """What a workstation committed in a project within a day (UTC), as its signed journal has it.

    Times are what its own clock said, in ns since 1970.
    """

    event: str
    member: str
    device: str
    project: str
    at_ns: int
    until_ns: int
    entries: int


@click.command(
    "audit", short_help="Show who joined, left, got which role, and can open which project."
)
@click.option("--json", "wants_json", is_flag=True, help="Print JSON, one line for each entry.")
@click.option(
    "--project",
    help="Only who could open this project, and on which days who committed something in it.",
)
@passphrase_file
@click.pass_obj
def audit_command(
    home: Path, wants_json: bool, project: str | None, passphrase_file: Path | None
) -> None:
    """Show who was invited, joined, left, was put out, got which role and which project's key, from the signed log.

    With --project also who worked in it, from its signed journal; the first time that is read whole.
    Times are what the clocks of those who wrote said.

    \b
    Examples:
      lucidnode audit --json
      lucidnode audit --project demo
    """
    work: list[WorkRecord] = []
    if project is None:
        mine, socket = unlocked(home, passphrase_file)
        records = list(audit(asyncio.run(membership.read_log(socket)), mine))
    else:
        records, work = asyncio.run(_of_project(home, passphrase_file, project))
    if wants_json:
        for record in (*records, *work):
            click.echo(msgspec.json.encode(record).decode())
        return
    rows = [[r.seq, minute_of(r.at_ns), _sentence(r)] for r in records]
    rows += [["", minute_of(r.at_ns), _work(r)] for r in work]
    show_table(["", "when", "what"], rows)
    if project is not None:
        click.echo(_READERS, err=True)


async def _of_project(
    home: Path, passphrase_file: Path | None, project: str
) -> tuple[list[AuditRecord], list[WorkRecord]]:
    async with opened_past(home, passphrase_file, project) as opened:
        log, mine = await opened.client.roster.entries(), opened.membership
        ours = concerning(log, mine, opened.access.id)
        records = [record for record in audit(log, mine) if record.seq in ours]
        days = opened.past.log.work_days()
        return records, worked(days, log, mine, opened.access.name)


def worked(
    days: Iterable[WorkDay], log: Sequence[bytes], mine: Membership, project: str
) -> list[WorkRecord]:
    """Return *days* of work in *project* with the names that the *log* of members has for them."""
    names = devices_ever(log, mine)
    found = []
    for day in days:
        label = names.get(day.device, Label("(nobody of the log)", day.device[:8]))
        found.append(
            WorkRecord(
                "worked",
                label.member,
                label.device,
                project,
                day.first_ns,
                day.last_ns,
                day.entries,
            )
        )
    return found


def _work(record: WorkRecord) -> str:
    until = local_time("%H:%M", record.until_ns)
    return (
        f"{record.member} worked in {record.project} on {record.device}, until {until}: "
        f"{counted(record.entries, 'change')}"
    )


def _sentence(record: AuditRecord) -> str:
    match record.event:
        case "founded":
            return f"{record.member} founded the studio on {record.device}"
        case "invited":
            who = record.member or "somebody"
            day, where = day_of(record.until_ns), _listed(record.projects)
            return f"{record.by} invited {who} as {record.role}, until {day}, to {where}"
        case "joined":
            where = _listed(record.projects)
            by = f", invited by {record.inviter}," if record.inviter else ","
            return f"{record.member} joined as {record.role} with {record.device}{by} and can open {where}"
        case "put out":
            return f"{record.by} put out {record.member} ({record.device})"
        case "invite closed":
            return f"{record.by} closed an invite"
        case "renamed":
            return f"{record.by} renamed {record.member} ({record.before}): now {record.device}"
        case "left":
            return f"{record.member} left with {record.device}"
        case "inviting allowed":
            return f"{record.by} lets {record.member} ({record.device}) invite"
        case "inviting forbidden":
            return f"{record.by} lets {record.member} ({record.device}) invite no more"
        case "role changed":
            where = f" of {record.project}" if record.project else ""
            return f"{record.by} made {record.member} ({record.device}) {record.role}{where}"
        case "project created":
            people = _listed(record.opens_to)
            return f"{record.by} created the project {record.project}, which opens to {people}"
        case "project renamed":
            return f"{record.by} renamed the project {record.project} to {record.name}"
        case "project archived":
            return f"{record.by} archived the project {record.project}"
        case "project deleted":
            day = day_of(record.until_ns)
            return f"{record.by} deleted the project {record.project}, for good from {day} on"
        case "project restored":
            return f"{record.by} brought back the project {record.project}"
        case "settings changed":
            return f"{record.by} changed the settings of the studio"
        case _:
            return f"an entry that counts for nothing: {record.reason}"


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "nothing"
