"""The command that looks for what is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec

from lucidnode.cli.background import facts_if_running
from lucidnode.cli.exit_codes import Exit
from lucidnode.cli.node_key_at_hand import find_node_key
from lucidnode.cli.output import as_json, show_json, show_line
from lucidnode.cli.progress import spinner
from lucidnode.doctor import Finding, examine
from lucidnode.node.config import load_config

_MARKS = {"well": "ok", "note": "--", "amiss": "!!"}


@click.command("doctor", short_help="Look for what is wrong, and say what mends it.")
@as_json
@click.pass_obj
def doctor_command(home: Path, wants_json: bool) -> None:
    """Look at FUSE, disk, bucket, clock and network, and say what is wrong and what mends it.

    Nothing is changed. It ends with 1 if something is amiss.

    \b
    Example:
      lucidnode doctor
    """
    with spinner("looking…"):
        findings = asyncio.run(_findings(home))
    if wants_json:
        show_json({"findings": [msgspec.to_builtins(one) for one in findings]})
    else:
        for one in findings:
            show_line(f"{_MARKS[one.verdict]}  {one.what}: {one.found}")
            if one.remedy:
                show_line(f"     → {one.remedy}")
    if any(one.verdict == "amiss" for one in findings):
        raise click.exceptions.Exit(Exit.FAILED)


async def _findings(home: Path) -> list[Finding]:
    config = load_config(home)
    find_node_key(home)
    status = await facts_if_running(home, "status")
    peers = await facts_if_running(home, "peers") if status is not None else None
    return await examine(home, config, status, peers)
