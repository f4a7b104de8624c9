"""Puts back the blocks that the bucket has lost or spoilt, from what the office still holds."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from lucidnode.bucket_objects import open_objects
from lucidnode.cli.exit_codes import Exit
from lucidnode.cli.output import confirm, counted, show_line
from lucidnode.cli.past_input import OpenPast, opened_past
from lucidnode.cli.progress import spinner, work_left
from lucidnode.fs.fsck.amiss_blocks import (
    DAMAGED_FILE,
    amiss_blocks,
    keep_damaged,
    kept_damaged,
)
from lucidnode.fs.fsck.checkpoint_check import check_checkpoints
from lucidnode.fs.fsck.needed_blocks import NeededBlocks
from lucidnode.fs.project_home import project_directory
from lucidnode.node.client.ids import BlockId, block_ids

_SHOWN = 20

_A_QUESTION = 16
"""Blocks that the daemon is asked for at once: what it does in between can be seen, and broken off."""


@dataclass(frozen=True, slots=True)
class _Amiss:
    missing: Sequence[BlockId]
    damaged: Sequence[BlockId]

    @property
    def blocks(self) -> list[BlockId]:
        return [*self.missing, *self.damaged]

    def __str__(self) -> str:
        parts = [
            f"{counted(len(blocks), 'block')} {what}"
            for blocks, what in ((self.missing, "missing"), (self.damaged, "damaged"))
            if blocks
        ]
        return " and ".join(parts)


def repair_blocks(
    home: Path, project: str, passphrase_file: Path | None, *, put_back: bool, yes: bool
) -> None:
    """Show which blocks of *project* are amiss and, if told so, put them back.

    Ends with exit code 16 while some are. Raises a NodeError or an FsError.
    """
    if not asyncio.run(_work(home, project, passphrase_file, put_back=put_back, yes=yes)):
        raise click.exceptions.Exit(Exit.DAMAGED)


async def _work(
    home: Path, project: str, passphrase_file: Path | None, *, put_back: bool, yes: bool
) -> bool:
    async with opened_past(home, passphrase_file, project, whole=True) as opened:
        id_ = opened.access.keys().project
        kept = project_directory(home, id_) / DAMAGED_FILE
        with spinner("finding out which blocks are needed…"):
            needed = NeededBlocks(opened.past)
        amiss = await _amiss(home, opened, needed, kept_damaged(kept))
        if not amiss.blocks:
            click.echo(
                "all blocks that are needed are there; `lucidnode fsck --blocks` reads them as well"
            )
            return True
        click.echo(f"{opened.access.name}: {amiss} in the bucket")
        if not put_back:
            _list("lie in them", needed, amiss.blocks)
            click.echo(
                f"`lucidnode repair {shlex.quote(opened.access.name)} --blocks --put-back` puts back what this "
                "office still holds; what lies in old versions alone is not named by a path"
            )
            return False
        confirm(f"Put back what this office still holds of {amiss}?", yes=yes)
        lost = await _put_back(opened, amiss.blocks)
        done = len(amiss.blocks) - len(lost)
        click.echo(f"right again: {counted(done, 'block')}")
        await asyncio.to_thread(keep_damaged, kept, [e for e in lost if e in set(amiss.damaged)])
        if not lost:
            kept.unlink()
            return True
        click.echo(
            f"{counted(len(lost), 'block')} of which no workstation that answers has a copy. Switch "
            "on others that have read these files and run it again, or put good copies in their "
            "place:"
        )
        _list("without a block", needed, lost)
        return False


async def _amiss(
    home: Path, opened: OpenPast, needed: NeededBlocks, damaged: Sequence[BlockId]
) -> _Amiss:
    objects = await open_objects(home, opened.access.keys().project)
    _, pieces = await check_checkpoints(objects, opened.access, opened.past, lambda _found: None)
    with spinner("blocks…") as say:

        def count(number: int) -> None:
            if say is not None and number % 1000 == 0:
                say(f"blocks, {number:,}…")

        return _Amiss(*await amiss_blocks(objects, pieces | needed.names, damaged, count))


async def _put_back(opened: OpenPast, blocks: Sequence[BlockId]) -> list[BlockId]:
    """Return which of *blocks* nobody who answers has."""
    project = opened.access.keys().project
    lost: list[BlockId] = []
    with work_left("putting back", len(blocks)) as show:
        for start in range(0, len(blocks), _A_QUESTION):
            some = blocks[start : start + _A_QUESTION]
            answer = await opened.client.blocks.put_back(project, some, look=True)
            lost += block_ids(answer.missing)
            show(len(some))
    return lost


def _list(what: str, needed: NeededBlocks, blocks: Sequence[BlockId]) -> None:
    paths = sorted({path for found in needed.files(blocks).values() for path in found})
    for path in paths[:_SHOWN]:
        show_line(f"  {what}: {path}")
    if len(paths) > _SHOWN:
        click.echo(f"  and {len(paths) - _SHOWN:,} more")
