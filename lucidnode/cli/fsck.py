"""The command that looks whether everything of a project is there, and right."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import click

from lucidnode.bucket_objects import BucketObjects, open_objects
from lucidnode.cli.exit_codes import Exit
from lucidnode.cli.output import as_json, counted, in_blocks, show_json, show_line
from lucidnode.cli.past_input import OpenPast, opened_past
from lucidnode.cli.progress import spinner, work_left
from lucidnode.cli.project_names import offering_projects
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.commit.repair.replica_files import REPLICA_FILE
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.format.geometry import cipher_size
from lucidnode.fs.fsck.amiss_blocks import DAMAGED_FILE, damaged_in, keep_damaged
from lucidnode.fs.fsck.block_check import BlocksListed, ContentCheck, check_listing
from lucidnode.fs.fsck.checkpoint_check import check_checkpoints
from lucidnode.fs.fsck.finding import ObjectFinding
from lucidnode.fs.fsck.foreign_objects import check_elsewhere
from lucidnode.fs.fsck.fsck_state import FSCK_STATE_FILE, FsckState, keep_state, kept_state
from lucidnode.fs.fsck.journal_check import JournalCheck, newest_in_journal
from lucidnode.fs.fsck.needed_blocks import NeededBlocks, touched_paths
from lucidnode.fs.fsck.project_objects import block_name, block_of, seq_of
from lucidnode.fs.fsck.replica_check import ReplicaVerdict, check_replica
from lucidnode.fs.fsck.roster_check import check_roster
from lucidnode.fs.project_home import project_directory
from lucidnode.node.client.ids import BlockId, Seq

_SHOWN = 20
"""Files, or objects of one kind, that are listed; more are only counted. As JSON it is all."""

_REPLICA = {
    "right": "this workstation's copy of the metadata is what the journal says",
    "differs": "this workstation's copy of the metadata is not what the journal says: "
    "`lucidnode repair {name} --start-again` makes it anew",
    "lost": "this workstation stands on entries that the bucket does not have: "
    "`lucidnode repair {name}` says what can be done",
    "unreadable": "this workstation's copy of the metadata cannot be read: "
    "`lucidnode repair {name} --start-again` makes it anew",
    "mounted": "this workstation's copy of the metadata is in use by a mount, and was not compared",
    "none": "this workstation keeps no copy of the metadata",
}

_REMEDIES = {
    "journal": "`lucidnode repair {name} --put-back` puts entries back that a workstation has kept; "
    "run it on one that had the project mounted, once it is unmounted there",
    "roster": "daemons put lost entries of members back by themselves: leave one running",
    "checkpoint": "it is not used; delete the object, and the next checkpoint takes its place",
    "block": "`lucidnode repair {name} --blocks --put-back` puts back what the office still holds; "
    "switch on workstations that have read the files",
}


@dataclass(slots=True)
class _Told:
    """What a check came to."""

    name: str
    head: Seq
    entries: int
    checkpoints: int = 0
    blocks: BlocksListed = field(default_factory=BlocksListed)
    read: int = 0
    replica: ReplicaVerdict = "none"
    differing: list[str] = field(default_factory=list)
    stopped: str = ""
    found: list[ObjectFinding] = field(default_factory=list)
    files: dict[ObjectFinding, list[str]] = field(default_factory=dict)

    @property
    def is_damaged(self) -> bool:
        return (
            any(each.is_harm for each in self.found)
            or bool(self.stopped)
            or self.replica in {"differs", "lost", "unreadable"}
        )


@click.command("fsck", short_help="Look whether everything of a project is there, and right.")
@click.argument("project", shell_complete=offering_projects)
@click.option(
    "--blocks",
    "wants_contents",
    is_flag=True,
    help="Read and open every block, not only look for it.",
)
@click.option("--again", is_flag=True, help="Begin anew where an earlier check was broken off.")
@passphrase_file
@as_json
@click.pass_obj
def fsck_command(
    home: Path,
    project: str,
    wants_contents: bool,
    again: bool,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Check PROJECT, a name or an id, from the bucket up: nothing is changed.

    It looks at the members' log, at every journal entry with its signature and what it follows, at
    checkpoints, for every block that the project as it is or was needs, and whether this
    workstation's copy of the metadata is what the journal says. What is amiss is named, with the
    files it touches and what helps, and it ends with exit code 16. It can be broken off, and goes
    on when it is run again.

    \b
    Examples:
      lucidnode fsck demo
      lucidnode fsck demo --blocks
    """
    told = asyncio.run(
        _checked(home, passphrase_file, project, wants_contents=wants_contents, again=again)
    )
    if wants_json:
        show_json(_facts(told))
    else:
        _show(told)
    if told.is_damaged:
        raise click.exceptions.Exit(Exit.DAMAGED)


async def _checked(
    home: Path, passphrase_file: Path | None, project: str, *, wants_contents: bool, again: bool
) -> _Told:
    stopped: list[str] = []
    async with opened_past(home, passphrase_file, project, stopped.append, whole=True) as opened:
        objects = await open_objects(home, opened.access.keys().project)
        directory = project_directory(home, opened.access.keys().project)
        state = directory / FSCK_STATE_FILE
        kept = FsckState() if again else kept_state(state)
        if kept.entries:
            click.echo(
                f"going on behind journal entry {kept.entries:,}; --again begins anew", err=True
            )
        check = _Check(opened, objects, state, kept)
        told = await check.run(wants_contents=wants_contents)
        told.stopped = " ".join(stopped)
        told.replica, told.differing = check_replica(
            opened.past, directory / REPLICA_FILE, opened.access.keys().replica
        )
        _name_files(opened, told, check.needed)
        if wants_contents:
            keep_damaged(directory / DAMAGED_FILE, damaged_in(told.found))
        state.unlink(missing_ok=True)
        return told


class _Check:
    """One check: what it found and how far it came are kept whenever it breaks off."""

    def __init__(
        self, opened: OpenPast, objects: BucketObjects, state: Path, kept: FsckState
    ) -> None:
        self._opened = opened
        self._objects = objects
        self._state = state
        self._again: list[ObjectFinding] = list(kept.found)
        """Of the parts that are not begun anew."""
        self._found: list[ObjectFinding] = []
        access = opened.access
        self._journal = JournalCheck(objects, access, opened.past.log, Seq(kept.entries))
        self._contents = ContentCheck(objects, access.keys(), kept.blocks)
        self.needed: NeededBlocks

    async def run(self, *, wants_contents: bool) -> _Told:
        """Look at everything. Raises a NodeError or an FsError."""
        past, access = self._opened.past, self._opened.access
        await check_roster(
            self._objects, await self._opened.client.roster.entries(), self._found.append
        )
        newest = await newest_in_journal(self._objects, past.head().seq, self._found.append)
        try:
            with work_left("journal", newest - self._journal.upto) as show:
                await self._journal.run(newest, self._again.append, show)
            told = _Told(access.name, past.head().seq, newest)
            with spinner("finding out which blocks are needed…"):
                self.needed = NeededBlocks(past)
            told.checkpoints, pieces = await check_checkpoints(
                self._objects, access, past, self._found.append
            )
            blocks = pieces | self.needed.names
            with spinner("blocks…") as say:

                def count(number: int) -> None:
                    if say is not None and number % 1000 == 0:
                        say(f"blocks, {number:,}…")

                told.blocks = await check_listing(self._objects, blocks, self._found.append, count)
                await check_elsewhere(self._objects, self._found.append)
            if wants_contents:
                told.read = await self._read(blocks)
        finally:
            keep_state(
                self._state, FsckState(self._journal.upto, self._contents.after, self._again)
            )
        wrong = {(each.folder, each.name) for each in self._found}
        told.found = [*self._found, *(e for e in self._again if (e.folder, e.name) not in wrong)]
        return told

    async def _read(self, blocks: dict[BlockId, BlockName]) -> int:
        left = [name for block, name in blocks.items() if block_name(block) > self._contents.after]
        total = sum(cipher_size(name.size) for name in left)
        with work_left("blocks", total, in_bytes=True) as show:
            await self._contents.run(blocks, self._again.append, show)
        return len(blocks)


def _name_files(opened: OpenPast, told: _Told, needed: NeededBlocks) -> None:
    blocks = {e: block for e in told.found if e.folder == "block" and (block := block_of(e.name))}
    files = needed.files(set(blocks.values()))
    told.files = {each: files[block] for each, block in blocks.items()}
    for each in told.found:
        if each.folder == "journal" and (seq := seq_of(each.name)) is not None:
            told.files[each] = touched_paths(opened.past, seq)


def _facts(told: _Told) -> dict[str, object]:
    return {
        "project": told.name,
        "version": told.head,
        "damaged": told.is_damaged,
        "entries": told.entries,
        "checkpoints": told.checkpoints,
        "blocks": told.blocks.count,
        "bytes": told.blocks.size,
        "blocks_read": told.read,
        "spare_blocks": told.blocks.spare,
        "spare_bytes": told.blocks.spare_size,
        "stopped": told.stopped or None,
        "replica": told.replica,
        "replica_differs": told.differing,
        "findings": [
            {
                "object": f"{each.folder}/{each.name}",
                "amiss": each.amiss,
                "why": each.why,
                "files": told.files.get(each, []),
                "remedy": None if not each.is_harm else _remedy(told, each),
            }
            for each in told.found
        ],
    }


def _remedy(told: _Told, each: ObjectFinding) -> str:
    return _REMEDIES[each.folder].format(name=shlex.quote(told.name))


def _show(told: _Told) -> None:
    entries = "1 journal entry" if told.entries == 1 else f"{told.entries:,} journal entries"
    blocks = in_blocks(told.blocks.size, told.blocks.count)
    click.echo(f"{told.name}: {entries}, {counted(told.checkpoints, 'checkpoint')}, {blocks}")
    if told.blocks.spare:
        spare = in_blocks(told.blocks.spare_size, told.blocks.spare)
        click.echo(f"{spare}: needed by no version; on their way, or left over")
    click.echo(_REPLICA[told.replica].format(name=shlex.quote(told.name)))
    for path in told.differing[:_SHOWN]:
        show_line(f"  differs here: {path}")
    if told.stopped:
        show_line(f"the journal could not be read on behind entry {told.head}: {told.stopped}")
    for folder in ("roster", "journal", "checkpoint", "block", "project"):
        of_it = [each for each in told.found if each.folder == folder]
        for each in of_it[:_SHOWN]:
            show_line(f"{each.amiss}: {folder} {each.name}: {each.why}")
            for path in told.files.get(each, [])[:_SHOWN]:
                show_line(f"  touches: {path}")
        if len(of_it) > _SHOWN:
            click.echo(f"  and {len(of_it) - _SHOWN:,} more; --json names all")
        if harm := [each for each in of_it if each.is_harm]:
            click.echo(f"→ {_remedy(told, harm[0])}")
    if not told.is_damaged:
        read = f", and {counted(told.read, 'block')} read" if told.read else ""
        click.echo(f"nothing is missing or damaged: all entries were checked{read}")
