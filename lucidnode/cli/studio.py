"""Commands about the studio: found one, invite to it, join it."""

from __future__ import annotations

import asyncio
import getpass
import os
import platform
import time
from pathlib import Path

import click
import msgspec

from lucidnode import founding, membership
from lucidnode.cli.background import ensure_daemon
from lucidnode.cli.output import as_json, show_json
from lucidnode.cli.project import passphrase_file
from lucidnode.cli.secrets_input import one_time_code, passphrase
from lucidnode.fs.errors import SealDamaged
from lucidnode.fs.membership.member import Label
from lucidnode.fs.membership.ticket import Ticket, check_ticket, open_ticket
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.network import Network, read_authorities
from lucidnode.node.client.errors import Malformed


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as containers have them
        return f"user {os.getuid()}"


_names = [
    click.option("--name", default=_user, help="Your name, shown to other members."),
    click.option(
        "--device-name",
        default=platform.node,
        help="This workstation's name; conflict copies carry it.",
    ),
]

_local = [
    click.option(
        "--cache-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Keep cached blocks here instead of in the home directory.",
    ),
    click.option(
        "--cache-limit",
        type=click.IntRange(min=64),
        metavar="MIB",
        help="Most the cache may hold, in MiB. [default: 102400]",
    ),
]


_ca_file = click.option(
    "--ca-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Certificates (PEM) of the authority that your store's TLS has; they are remembered.",
)


@click.command("init", short_help="Found a studio in a bucket.")
@click.argument("bucket_url")
@click.option("--endpoint-url", help="S3 endpoint, if it is not Amazon's.")
@click.option("--region", help="S3 region, if the store cannot be asked for it.")
@_ca_file
@click.option(
    "--credentials-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help='JSON: {"access_key": …, "secret_key": …}. Without it: AWS_ACCESS_KEY_ID and so on.',
)
@_names[0]
@_names[1]
@_local[0]
@_local[1]
@passphrase_file
@click.pass_obj
def init_command(
    home: Path,
    bucket_url: str,
    endpoint_url: str | None,
    region: str | None,
    ca_file: Path | None,
    credentials_file: Path | None,
    name: str,
    device_name: str,
    cache_dir: Path | None,
    cache_limit: int | None,
    passphrase_file: Path | None,
) -> None:
    """Found a studio in BUCKET_URL: s3://bucket/prefix, or file:///path.

    The bucket is created if it is missing, and tried: a store that cannot create objects
    atomically is refused.

    \b
    Examples:
      lucidnode init file:///srv/studio
      lucidnode init s3://studio --endpoint-url https://minio.example:9000
    """
    local = founding.Local(cache_dir=cache_dir, cache_limit_mib=cache_limit)
    founding.check_fresh(home, local)
    credentials = None
    if bucket_url.startswith("s3:"):
        credentials = _credentials(credentials_file)
        region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    try:
        place = founding.Place.parse(
            bucket_url, endpoint_url, region, credentials, _network(ca_file)
        )
    except Malformed as error:
        raise click.UsageError(str(error)) from error
    # Before a passphrase is made up: most of what can go wrong is here.
    asyncio.run(founding.check_place(home, place))
    words = passphrase(passphrase_file, new=True)
    asyncio.run(founding.found(home, place, local, words, Label(name, device_name)))
    click.echo("studio founded: create a project with `lucidnode project create NAME`", err=True)


@click.command("invite", short_help="Make a ticket for one more workstation.")
@click.option(
    "--role",
    type=click.Choice(["owner", "editor", "viewer"]),
    default="editor",
    show_default=True,
    help="What the new member may do.",
)
@click.option("--days", type=click.IntRange(1, 30), default=1, show_default=True)
@click.option("--for", "who", default="", help="Suggested name of the new member.")
@as_json
@passphrase_file
@click.pass_obj
def invite_command(
    home: Path, role: str, days: int, who: str, wants_json: bool, passphrase_file: Path | None
) -> None:
    """Make a one-time ticket for one more workstation, and the code that opens it.

    Send the two by different ways. The ticket lets its holder join once.

    \b
    Example:
      lucidnode invite --for Ada
    """
    mine = membership.unlock(home, passphrase(passphrase_file))
    socket = ensure_daemon(home)
    ticket, code = asyncio.run(membership.invite(home, socket, mine, role, days, who))
    if wants_json:
        show_json({"ticket": ticket, "code": code})
        return
    click.echo("Ticket, for `lucidnode join`:", err=True)
    click.echo(ticket)
    click.echo("Code, to be told by another way:", err=True)
    click.echo(code)


@click.command("join", short_help="Join a studio with a ticket.")
@click.argument("ticket")
@click.option(
    "--code-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read the code from the first line of this file instead of asking.",
)
@_ca_file
@_names[0]
@_names[1]
@_local[0]
@_local[1]
@passphrase_file
@click.pass_obj
def join_command(
    home: Path,
    ticket: str,
    code_file: Path | None,
    ca_file: Path | None,
    name: str,
    device_name: str,
    cache_dir: Path | None,
    cache_limit: int | None,
    passphrase_file: Path | None,
) -> None:
    """Join a studio with TICKET, or with @FILE that holds the ticket.

    \b
    Example:
      lucidnode join @ticket.txt
    """
    local = founding.Local(cache_dir=cache_dir, cache_limit_mib=cache_limit)
    founding.check_fresh(home, local)
    network = _network(ca_file)
    text = _ticket_text(ticket)
    opened = _opened(text, code_file)
    words = passphrase(passphrase_file, new=True)
    asyncio.run(founding.join(home, opened, network, local, words, Label(name, device_name)))
    click.echo("joined: mount a project with `lucidnode mount PROJECT DIR`", err=True)


def _network(ca_file: Path | None) -> Network:
    """Return how this machine reaches the store: its environment, and what a person gave."""
    try:
        return Network.of(os.environ, read_authorities(ca_file) if ca_file else None)
    except Malformed as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.UsageError(f"cannot read {ca_file}: {error.strerror}") from error


def _opened(text: str, code_file: Path | None) -> Ticket:
    try:
        check_ticket(text)
        return open_ticket(text, one_time_code(code_file), time.time_ns())
    except SealDamaged as error:
        raise SealDamaged(
            f"the ticket is damaged ({error}): copy all of it again, or ask for a new one"
        ) from error


def _ticket_text(ticket: str) -> str:
    if not ticket.startswith("@"):
        return ticket
    try:
        return Path(ticket[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read the ticket from {ticket[1:]}") from error


def _credentials(file: Path | None) -> Credentials | None:
    """Return explicit credentials; None leaves it to the machine's own AWS profile or role."""
    if file is not None:
        try:
            return msgspec.json.decode(file.read_bytes(), type=Credentials)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            # Not the error's own words: they may quote the secret.
            raise click.UsageError(
                f'{file} does not hold {{"access_key": …, "secret_key": …}}'
            ) from error
        except OSError as error:
            raise click.UsageError(f"cannot read {file}: {error.strerror}") from error
    access, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if access and secret:
        # Kept for this node: the daemon outlives the shell that had them.
        return Credentials(access, secret, os.environ.get("AWS_SESSION_TOKEN"))
    return None
