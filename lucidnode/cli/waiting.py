"""`lucidnode wait`: return when files are in the cloud."""

from __future__ import annotations

import time
from pathlib import Path

import click

from lucidnode.cli.output import as_json, counted, show_json
from lucidnode.cli.progress import spinner
from lucidnode.fs.errors import StillOnTheirWay
from lucidnode.in_the_cloud import all_below, check_mounted, not_in_the_cloud
from lucidnode.node.config import load_config

LOOK_INTERVAL_S = 0.25
"""Seconds between two looks at what is on its way."""

_NAMED = 3
"""Paths that are named when time is up."""


@click.command("wait", short_help="Wait until files are in the cloud.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Give up after SECONDS, with exit code 15. 0 only looks.",
)
@as_json
@click.pass_obj
def wait_command(
    home: Path, paths: tuple[Path, ...], timeout_s: float | None, wants_json: bool
) -> None:
    """Return once PATHS are in the cloud, where every workstation sees them as they are here.

    Of a directory, that is everything that is in it when the command begins. What another
    workstation is writing or uploading is waited for as well. A file that is deleted is waited for
    no longer. Ctrl-C ends the waiting, and nothing else.

    \b
    Examples:
      lucidnode wait ~/demo/film.mov && ./publish film.mov
      lucidnode wait --timeout 600 ~/demo/renders
    """
    load_config(home)
    check_mounted(paths)
    began = time.monotonic()
    everything = list(all_below(paths))
    waiting = not_in_the_cloud(everything)
    with spinner("looking…") as show:
        while waiting:
            if timeout_s is not None and time.monotonic() - began >= timeout_s:
                break
            if show is not None:
                show(f"{counted(len(waiting), 'file')} on the way to the cloud…")
            time.sleep(LOOK_INTERVAL_S)  # noqa: TID251  # a command, not a loop
            waiting = not_in_the_cloud(waiting)
    if wants_json:
        show_json(
            {
                "files": len(everything),
                "waiting": [str(path) for path in waiting],
                "seconds": round(time.monotonic() - began, 3),
            }
        )
    if waiting:
        named = ", ".join(str(path) for path in waiting[:_NAMED])
        more = f" and {len(waiting) - _NAMED} more" if len(waiting) > _NAMED else ""
        raise StillOnTheirWay(
            f"not in the cloud yet: {named}{more}; `lucidnode status` shows how far they are"
        )
