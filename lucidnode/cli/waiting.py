"""`lucidnode wait`: return when files are in the cloud."""

from __future__ import annotations

from pathlib import Path

import click

from lucidnode.cli.cloud_progress import cloud_progress
from lucidnode.cli.output import as_json, show_json
from lucidnode.in_the_cloud import waited_for
from lucidnode.node.config import load_config


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
    with cloud_progress(home) as looked:
        waited = waited_for(paths, timeout_s, looked)
    if wants_json:
        show_json(
            {
                "files": waited.files,
                "waiting": [str(path) for path in waited.waiting],
                "seconds": round(waited.seconds, 3),
            }
        )
    waited.check()
