"""Commands about this workstation's credentials for the bucket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from lucidnode import credentials
from lucidnode.cli.given import (
    ca_file_option,
    credentials_file_option,
    given_credentials,
    given_network,
)
from lucidnode.cli.output import as_json, show_facts, show_json
from lucidnode.node.config import load_config

_KINDS = {
    "none": "none: the bucket is a directory",
    "machine": "the machine's own (AWS profile, container or instance), which renews them itself",
    "lasting": "an access key, which lasts until somebody revokes it",
    "temporary": "a temporary access key, which ends by itself",
}


@click.group("credentials", short_help="Show or renew the credentials for the bucket.")
def credentials_command() -> None:
    """Show or renew what this workstation proves itself with to the bucket.

    \b
    Examples:
      lucidnode credentials show
      lucidnode credentials set --credentials-file new.json
    """


@credentials_command.command("show")
@as_json
@click.pass_obj
def show_command(home: Path, wants_json: bool) -> None:
    """Show which kind of credentials is used, and until when. No secret is shown.

    \b
    Example:
      lucidnode credentials show
    """
    facts = credentials.summary(home)
    if wants_json:
        show_json(facts)
        return
    shown: list[tuple[str, object]] = [("kind", _KINDS[facts["kind"] or "none"])]
    if facts["access_key"]:
        shown.append(("access key", facts["access_key"]))
    if facts["kind"] == "temporary":
        shown.append(("ends", facts["expires"] or "not known"))
    show_facts(shown)


@credentials_command.command("set")
@credentials_file_option
@ca_file_option
@click.option("--region", help="S3 region, if the one that is remembered is wrong.")
@click.pass_obj
def set_command(
    home: Path, credentials_file: Path | None, ca_file: Path | None, region: str | None
) -> None:
    """Give new credentials, from a file or from AWS_ACCESS_KEY_ID and so on.

    They are tried on the bucket before they are kept. A running daemon uses them at once; nothing
    has to be unmounted.

    \b
    Examples:
      lucidnode credentials set --credentials-file new.json
      AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… lucidnode credentials set
    """
    config = load_config(home)
    of_aws = config.bucket_url.startswith("s3:")
    given = given_credentials(credentials_file, of_aws=of_aws)
    if given is None:
        raise click.UsageError(
            "no credentials: name a --credentials-file, or for S3 put them into AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY"
        )
    network = given_network(ca_file, config.authorities)
    taken_over = asyncio.run(credentials.renew(home, given, network, region))
    if (words := credentials.warning(given)) is not None:
        click.echo(f"note: {words}", err=True)
    click.echo("credentials kept" + ("; the daemon uses them now" if taken_over else ""), err=True)
    if taken_over and (ca_file is not None or region is not None):
        click.echo("certificates and region count from the next start of the daemon", err=True)
