"""How far a command looks into the past of a project, and how it says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import click

from lucidnode.cli.past_input import OpenPast, when
from lucidnode.node.client.ids import Seq

since_option = click.option(
    "--since", help="Look back to then: a version, a date and time, or how long ago (3d, 4w)."
)
all_option = click.option(
    "--all", "wants_all", is_flag=True, help="Look back to the beginning, and show all of it."
)


@dataclass(frozen=True, slots=True)
class LookedBack:
    """A command looked at what came behind entry *seq*, which was made at *wall_ns*; 0: at all there is."""

    seq: Seq
    wall_ns: int

    def tell(self) -> None:
        """Say so on standard error, and what looks further, unless that was all."""
        if self.seq:
            click.echo(
                f"what came before version {self.seq}, of {when(self.wall_ns)}, was not looked at: "
                "--since 30d or --all does",
                err=True,
            )


async def looked_back(opened: OpenPast, since: str | None, *, wants_all: bool) -> LookedBack:
    """Have the past read back as the options say. Raises NoSuchPoint, another FsError or a NodeError."""
    if wants_all:
        await opened.at_hand.reach(Seq(0))
    elif since is not None:
        await opened.at_hand.reach(await opened.at_hand.point(since, datetime.now().astimezone()))
    begin = opened.past.since
    return LookedBack(begin, await opened.at_hand.wall_ns(begin) if begin else 0)
