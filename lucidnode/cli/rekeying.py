"""`lucidnode project rekey`: old blocks are sealed anew, for those who are still there."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from pathlib import Path

import click

from lucidnode import rekeying
from lucidnode.cli.exit_codes import Exit
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.output import as_json, counted, duration, show_json, show_line, size
from lucidnode.cli.progress import spinner, work_left
from lucidnode.cli.project_names import offering_projects
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.rekey.rekeying import Rekeyed
from lucidnode.node.setting_values import BadSetting, read_rate

_DEFAULT_RATE = "30MB/s"

_SHOWN = 10
"""Lost blocks that are named."""

HAD = (
    "What somebody who was put out had by then, he had: files that he has read or copied, and the names "
    "and the history up to then, which stay in the log."
)


@click.command("rekey", short_help="Seal what is there anew, without those who were put out.")
@click.argument("project", shell_complete=offering_projects)
@click.option("--dry-run", "dry", is_flag=True, help="Only show how much there is to do.")
@click.option(
    "--rate",
    default=_DEFAULT_RATE,
    show_default=True,
    metavar="RATE",
    help="How much a second at most, as 20MB/s or 100Mbit/s.",
)
@passphrase_file
@as_json
@click.pass_obj
def rekey(
    home: Path,
    project: str,
    dry: bool,
    rate: str,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Seal the files of PROJECT anew that were written before somebody was put out, or got another role.

    What is written since is sealed without him already. What was there before opens with the keys he
    had, for as long as he can reach it, in the bucket or in a cache: this seals it with the keys of
    those who stay. Work goes on meanwhile; files, their times and versions stay as they are. All of it
    is downloaded, and uploaded behind what people save. Broken off at any point, it is given again and
    goes on; several workstations may do it at once.

    What he had by then, he had. The old blocks stay in the bucket for what needs them: for as long as
    the past is kept (`lucidnode retention`), and for snapshots. Then they leave it by themselves.

    \b
    Examples:
      lucidnode project rekey demo --dry-run
      lucidnode project rekey demo --rate 100Mbit/s
    """
    limit = _rate(rate)
    mine, socket = unlocked(home, passphrase_file)

    async def work() -> Rekeyed:
        async with contextlib.AsyncExitStack() as stack:
            with spinner(f"reading {project}…"):
                old = await stack.enter_async_context(
                    rekeying.old_project(home, socket, mine, project)
                )
            if dry or not old.is_due:
                return Rekeyed(old.epoch, left_blocks=old.blocks, left_bytes=old.bytes)
            with work_left(f"sealing {project} anew", old.bytes, in_bytes=True) as show:
                return await old.rekey(limit, show)

    told = asyncio.run(work())
    if wants_json:
        show_json(_facts(told, dry=dry))
    else:
        _tell(told, project, limit, dry=dry)
    if told.lost:
        raise click.exceptions.Exit(Exit.FAILED)


def _rate(text: str) -> int:
    try:
        limit = read_rate(text)
    except BadSetting as error:
        raise click.UsageError(str(error)) from error
    if limit.begins != limit.ends:
        raise click.UsageError("--rate takes no hours: `lucidnode config set uploads.rate` does")
    return limit.rate


def _facts(told: Rekeyed, *, dry: bool) -> dict[str, object]:
    return {
        "dry_run": dry,
        "epoch": told.epoch,
        "sealed_anew": {"blocks": told.blocks, "bytes": told.bytes},
        "left": {"blocks": told.left_blocks, "bytes": told.left_bytes},
        "lost": {block.hex(): why for block, why in told.lost.items()},
    }


def _tell(told: Rekeyed, project: str, limit: int, *, dry: bool) -> None:
    left = f"{size(told.left_bytes)} in {counted(told.left_blocks, 'block')}"
    if not told.blocks and not told.left_blocks:
        click.echo(f"{project}: nothing is older than the last change of members", err=True)
        return
    if dry:
        click.echo(
            f"{project}: {left} to seal anew, downloaded and uploaded once; "
            f"{duration(told.left_bytes / limit)} at {size(limit)}/s"
        )
        return
    done = f"{size(told.bytes)} in {counted(told.blocks, 'block')}"
    click.echo(f"{project}: {done} sealed anew", err=True)
    for block, why in list(told.lost.items())[:_SHOWN]:
        show_line(f"! block {block.hex()[:16]}: {why}", err=True)
    if told.lost:
        click.echo(
            f"! {counted(len(told.lost), 'block')} could not be had and stayed as they were: "
            f"`lucidnode repair {shlex.quote(project)} --blocks` names their files",
            err=True,
        )
    elif told.left_blocks:
        click.echo(f"{left} came meanwhile, copied from what is older: run it once more", err=True)
    click.echo(HAD, err=True)
