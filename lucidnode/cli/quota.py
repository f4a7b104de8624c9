"""`lucidnode quota`: how much a project may hold."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import click
import msgspec

from lucidnode.cli.output import as_json, show_facts, show_json, size
from lucidnode.cli.past_input import opened_past
from lucidnode.cli.project_names import offering_projects
from lucidnode.cli.root_rows import commit_rows
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.fs.errors import NotAllowed
from lucidnode.fs.replica.inode import MAX_FILE_SIZE, ROOT
from lucidnode.fs.replica.intents import RemoveXattr, SetXattr
from lucidnode.fs.replica.quota import QUOTA, UNLIMITED, Quota, decoded_quota, quota_of
from lucidnode.node.client.clock import SystemClock

_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([kMGTP]?)B?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


class _Size(click.ParamType[int]):
    name = "SIZE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        found = _SIZE.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value} is no size: write it as 500G or 2T", param, ctx)
        count = int(float(found[1]) * 1000.0 ** _POWERS[found[2].upper()])
        if count > MAX_FILE_SIZE:
            self.fail(f"{value} is more than a project can be told", param, ctx)
        return count


@click.command("quota", short_help="Show or set how much a project may hold.")
@click.argument("project", shell_complete=offering_projects)
@click.option("--soft", type=_Size(), help="Beyond it, people are told. 0: no such limit.")
@click.option("--hard", type=_Size(), help="Beyond it, files cannot grow. 0: no such limit.")
@click.option("--off", is_flag=True, help="Have no limit.")
@passphrase_file
@as_json
@click.pass_obj
def quota_command(
    home: Path,
    project: str,
    soft: int | None,
    hard: int | None,
    off: bool,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Show how much PROJECT may hold, or set it; for owners. SIZE is as 500G or 2T.

    What counts is the sum of the sizes that files show. `df` shows the hard limit as the size of
    the drive, and as available what is left to the soft one. At the hard limit, what would make a
    file larger is refused, on every workstation; what is written over or deleted never is.

    \b
    Examples:
      lucidnode quota demo
      lucidnode quota demo --soft 1.8T --hard 2T
    """
    changes = soft is not None or hard is not None
    if off and changes:
        raise click.UsageError("--off takes the limits away: it has no size")

    async def work() -> tuple[Quota, int]:
        async with opened_past(home, passphrase_file, project) as opened:
            there = quota_of(opened.past.now)
            used, _ = opened.past.now.usage()
            if not changes and not off:
                return there, used
            if not opened.access.is_owner:
                raise NotAllowed("an owner sets how much a project may hold: ask one")
            given = {"soft": soft, "hard": hard}
            new = (
                UNLIMITED
                if off
                else msgspec.structs.replace(
                    there, **{name: count for name, count in given.items() if count is not None}
                )
            )
            now = SystemClock().wall_ns()
            if decoded_quota(new.encoded()) is not None:
                await commit_rows(opened, [SetXattr(ROOT, QUOTA, new.encoded(), now)])
            elif there != UNLIMITED:
                await commit_rows(opened, [RemoveXattr(ROOT, QUOTA, now)])
            return new, used

    quota, used = asyncio.run(work())
    if wants_json:
        show_json({"bytes": used, "soft": quota.soft or None, "hard": quota.hard or None})
        return
    show_facts(
        [
            ("holds", size(used)),
            ("people are told beyond", size(quota.soft) if quota.soft else "no limit"),
            ("files cannot grow beyond", size(quota.hard) if quota.hard else "no limit"),
        ]
    )
