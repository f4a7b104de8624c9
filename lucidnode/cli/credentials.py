"""Commands about this workstation's credentials for the bucket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from lucidnode import credentials, role_credentials, role_policies
from lucidnode.cli.given import (
    ca_file_option,
    credentials_file_option,
    given_credentials,
    given_network,
)
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.node_key_at_hand import have_node_key
from lucidnode.cli.output import as_json, counted, show_facts, show_json
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.client.roster_entry import Role
from lucidnode.node.config import load_config
from lucidnode.role_credentials import ROLES, RoleGiven
from lucidnode.role_policies import PolicyStore

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
      lucidnode credentials set --role viewer --credentials-file viewers.json
    """


@credentials_command.command("show")
@passphrase_file
@as_json
@click.pass_obj
def show_command(home: Path, passphrase_file: Path | None, wants_json: bool) -> None:
    """Show which kind of credentials is used, and until when. No secret is shown.

    \b
    Example:
      lucidnode credentials show
    """
    load_config(home)
    have_node_key(home, passphrase_file)
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
@click.option(
    "--role",
    type=click.Choice(ROLES),
    help="Give them to every workstation of this role instead, as an owner; each takes them over by itself.",
)
@passphrase_file
@as_json
@click.pass_obj
def set_command(
    home: Path,
    credentials_file: Path | None,
    ca_file: Path | None,
    region: str | None,
    role: Role | None,
    passphrase_file: Path | None,
    wants_json: bool,
) -> None:
    """Give new credentials, from a file or from AWS_ACCESS_KEY_ID and so on.

    They are tried on the bucket before they are kept. A running daemon uses them at once; nothing
    has to be unmounted. With --role they go to all workstations of that role, sealed to each, which
    use them within a minute; what they replace is named, for you to delete at the store.

    \b
    Examples:
      lucidnode credentials set --credentials-file new.json
      AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… lucidnode credentials set
      lucidnode credentials set --role viewer --credentials-file viewers.json
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
    if role is not None:
        if region is not None or ca_file is not None:
            raise click.UsageError(
                "--region and --ca-file are this workstation's own, not a role's"
            )
        mine, socket = unlocked(home, passphrase_file)
        made = asyncio.run(role_credentials.give_role(home, socket, mine, role, given, network))
        if wants_json:
            show_json(_told(made))
        else:
            click.echo(given_words(made), err=True)
        return
    have_node_key(home, passphrase_file)
    taken_over = asyncio.run(credentials.renew(home, given, network, region))
    if (words := credentials.warning(given)) is not None:
        click.echo(f"note: {words}", err=True)
    click.echo("credentials kept" + ("; the daemon uses them now" if taken_over else ""), err=True)
    if taken_over and (ca_file is not None or region is not None):
        click.echo("certificates and region count from the next start of the daemon", err=True)


@credentials_command.command("policy")
@click.option("--role", type=click.Choice(ROLES), required=True, help="Whose rights to print.")
@click.option(
    "--store",
    type=click.Choice(["aws", "minio", "seaweedfs"]),
    help="In whose words. [default: aws, where the bucket has no --endpoint-url]",
)
@click.pass_obj
def policy_command(home: Path, role: Role, store: PolicyStore | None) -> None:
    """Print the smallest rights in the bucket with which a role works, for the store to be given.

    Only owners may delete what files are made of: their workstations collect. Entries of logs are
    created once and never written to again, where the store can be told so. A viewer writes nothing.

    \b
    Examples:
      lucidnode credentials policy --role viewer
      lucidnode credentials policy --role editor --store seaweedfs
    """
    config = load_config(home)
    address = parse_address(config.bucket_url, config.endpoint_url, config.region)
    if not isinstance(address, S3Address):
        raise click.UsageError("policies are for S3: this bucket's rights are given in another way")
    if store is None:
        if address.endpoint is not None:
            raise click.UsageError("say whose words the store understands, with --store")
        store = "aws"
    click.echo(role_policies.policy(role, store, address.bucket, address.prefix))
    if words := role_policies.left_open(role, store):
        click.echo(f"note: {words}", err=True)


def given_words(made: RoleGiven) -> str:
    """Return what to say of new credentials of a role."""
    reached = counted(len(made.devices), "workstation")
    said = [
        f"sealed to {reached}: every {made.role}, and the owners, who hand them to newcomers. Each takes "
        "them over within a minute while it is on, or when it is next"
    ]
    if made.old_key is not None:
        until = (
            "every role has credentials of its own, and all have taken them over"
            if made.shared
            else "all have taken them over"
        )
        said.append(f"delete the old ones, {made.old_key}, at the store once {until}")
    if made.open_invites:
        said.append(
            f"{counted(made.open_invites, 'invite')} of this role are open: those that work unattended "
            "carry older credentials, so cancel them and invite again"
        )
    if made.may_delete:
        said.append(
            "the store lets these credentials delete blocks, which an editor has no need to: `lucidnode "
            "credentials policy --role editor` prints the smallest rights"
        )
    return "\n".join(said)


def _told(made: RoleGiven) -> dict[str, object]:
    return {
        "role": made.role,
        "access_key": made.access_key,
        "device_ids": list(made.devices),
        "delete": made.old_key,
        "delete_after_all_roles": made.shared,
        "open_invites": made.open_invites,
        "may_delete_blocks": made.may_delete,
    }
