"""Commands that move the studio into another bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from lucidnode import moving
from lucidnode.bucket_copy import Copied
from lucidnode.cli.background import facts_if_running
from lucidnode.cli.given import (
    ca_file_option,
    credentials_file_option,
    given_network,
    given_place,
)
from lucidnode.cli.node import exit_command
from lucidnode.cli.node_key_at_hand import have_node_key
from lucidnode.cli.output import as_json, counted, in_blocks, show_json, show_line, size
from lucidnode.cli.progress import spinner, work_left
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.cli.unmounting import require_unmounted
from lucidnode.new_studio import BucketSpec
from lucidnode.node.client.errors import Refused
from lucidnode.node.config import load_config

_SHOWN = 20
"""Objects that are listed; more are only counted."""

_F = TypeVar("_F", bound=Callable[..., object])


_closed_option = click.option(
    "--old-is-closed",
    is_flag=True,
    help="The old bucket takes no writes any more: what is not sent yet goes to the new one.",
)


def _place_options(command: _F) -> _F:
    for option in (
        credentials_file_option,
        ca_file_option,
        click.option("--region", help="S3 region, if the store cannot be asked for it."),
        click.option("--endpoint-url", help="S3 endpoint, if it is not Amazon's."),
        click.argument("bucket_url"),
    ):
        command = option(command)
    return command


@click.group("bucket", short_help="Move the studio into another bucket.")
def bucket_command() -> None:
    """Move the studio into another bucket: copy everything, then have each workstation use it.

    \b
    Examples:
      lucidnode bucket copy s3://new-studio --endpoint-url https://minio.example:9000
      lucidnode bucket move s3://new-studio --endpoint-url https://minio.example:9000
      lucidnode bucket use s3://new-studio --endpoint-url https://minio.example:9000
    """


@bucket_command.command("copy")
@_place_options
@passphrase_file
@as_json
@click.pass_obj
def copy_command(
    home: Path,
    bucket_url: str,
    endpoint_url: str | None,
    region: str | None,
    ca_file: Path | None,
    credentials_file: Path | None,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Copy all of the studio's objects into BUCKET_URL, whichever store that is in.

    Everybody works on meanwhile. What is there already is passed over, so a copy that was broken
    off goes on, and a second one brings what came since. Blocks are checked against their names.
    Nothing in either bucket is replaced or deleted.

    \b
    Example:
      lucidnode bucket copy file:///mnt/nas/studio
    """
    place = _place(home, bucket_url, endpoint_url, region, ca_file, credentials_file)
    have_node_key(home, passphrase_file)
    _copy(home, place, wants_json=wants_json)


@bucket_command.command("move")
@_place_options
@_closed_option
@passphrase_file
@click.pass_context
def move_command(
    context: click.Context,
    bucket_url: str,
    endpoint_url: str | None,
    region: str | None,
    ca_file: Path | None,
    credentials_file: Path | None,
    old_is_closed: bool,
    passphrase_file: Path | None,
) -> None:
    """Copy what is missing into BUCKET_URL, and have this workstation use it from now on.

    `bucket copy` and `bucket use` in one, for the last copy of a studio or for one of a single
    workstation. Unmount first. It can be run again wherever it ended. Every other workstation
    follows with `lucidnode bucket use`.

    \b
    Example:
      lucidnode umount ~/demo && lucidnode bucket move file:///mnt/nas/studio
    """
    home: Path = context.obj
    place = _place(home, bucket_url, endpoint_url, region, ca_file, credentials_file)
    _require_idle(home, may_wait=old_is_closed)
    have_node_key(home, passphrase_file)
    _copy(home, place, wants_json=False)
    _use(context, place, has_old=True)


@bucket_command.command("use")
@_place_options
@_closed_option
@click.option("--old-is-gone", is_flag=True, help="Do not compare with the old bucket.")
@passphrase_file
@click.pass_context
def use_command(
    context: click.Context,
    bucket_url: str,
    endpoint_url: str | None,
    region: str | None,
    ca_file: Path | None,
    credentials_file: Path | None,
    old_is_closed: bool,
    old_is_gone: bool,
    passphrase_file: Path | None,
) -> None:
    """Have this workstation use BUCKET_URL, into which the studio was copied, from now on.

    Unmount first. It is refused while the new bucket lacks anything, and while work of this
    workstation waits that the old one could still take. The daemon is stopped; the next mount
    starts it.

    \b
    Example:
      lucidnode umount ~/demo && lucidnode bucket use file:///mnt/nas/studio
    """
    home: Path = context.obj
    place = _place(home, bucket_url, endpoint_url, region, ca_file, credentials_file)
    _require_idle(home, may_wait=old_is_closed or old_is_gone)
    have_node_key(home, passphrase_file)
    _use(context, place, has_old=not old_is_gone)


def _copy(home: Path, place: BucketSpec, *, wants_json: bool) -> None:
    """Copy what *place* lacks, and tell what was amiss. Raises ClickException where anything was."""

    async def work() -> Copied:
        move = await moving.begun(home, place, create=True, has_old=True)
        with spinner("comparing the buckets…"):
            _, total = await move.lacking()
        with work_left(f"copying to {place.address}", total, in_bytes=True) as show:
            return await move.copy(show)

    told = asyncio.run(work())
    if wants_json:
        show_json(
            {
                "objects": told.objects,
                "bytes": told.bytes,
                "damaged": told.damaged,
                "left_out": told.left_out,
            }
        )
    else:
        click.echo(
            f"{place.address} has {counted(told.objects, 'object')} more, {size(told.bytes)}",
            err=True,
        )
    for key in told.damaged[:_SHOWN]:
        show_line(f"  damaged in the old bucket, and copied as it is: {key}", err=True)
    for key in told.left_out[:_SHOWN]:
        show_line(f"  left out, since it is no object of ours: {key}", err=True)
    if told.damaged or told.left_out:
        raise click.ClickException(
            f"{counted(len(told.damaged), 'block')} damaged, {counted(len(told.left_out), 'object')} "
            "left out: `lucidnode fsck --blocks` names the files"
        )


def _require_idle(home: Path, *, may_wait: bool) -> None:
    """Raise MountPointBusy while anything is mounted, Refused if work waits here, unless it *may_wait*."""
    status = asyncio.run(facts_if_running(home, "status"))
    require_unmounted(home, status)
    if status is None and not may_wait:
        raise Refused(
            "no daemon runs that could say whether work waits here: run `lucidnode daemon` first"
        )
    if status is not None and status["uploads"]["blocks"] and not may_wait:
        uploads = status["uploads"]
        raise Refused(
            f"{in_blocks(uploads['bytes'], uploads['blocks'])} wait for the old bucket: let them "
            "arrive and copy again, or close the old bucket to writes and say --old-is-closed"
        )


def _use(context: click.Context, place: BucketSpec, *, has_old: bool) -> None:
    home: Path = context.obj

    async def checked() -> moving.Move:
        move = await moving.begun(home, place, create=False, has_old=has_old)
        await move.require_whole()
        return move

    with spinner("comparing the buckets…"):
        move = asyncio.run(checked())
    context.invoke(exit_command)
    move.take_up()
    click.echo(f"this workstation uses {place.address} from now on", err=True)


def _place(
    home: Path,
    bucket_url: str,
    endpoint_url: str | None,
    region: str | None,
    ca_file: Path | None,
    credentials_file: Path | None,
) -> BucketSpec:
    network = given_network(ca_file, load_config(home).authorities)
    return given_place(bucket_url, endpoint_url, region, credentials_file, network)
