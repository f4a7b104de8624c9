"""What a person gives about the bucket: credentials, and whom its TLS is to be trusted by."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import click
import msgspec

from lucidnode.new_studio import BucketSpec
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.network import Network, read_authorities
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.roster_entry import Role

_FILE = click.Path(dir_okay=False, exists=True, path_type=Path)

ca_file_option = click.option(
    "--ca-file",
    type=_FILE,
    help="Certificates (PEM) of the authority that your store's TLS has; they are remembered.",
)

credentials_file_option = click.option(
    "--credentials-file",
    type=_FILE,
    help='JSON: {"access_key": …, "secret_key": …}, or the key of a Google service account. '
    "Without it, for S3: AWS_ACCESS_KEY_ID and so on.",
)


@dataclass(frozen=True, slots=True)
class RoleFile:
    """A file with new credentials; *role* is whose they are, None where that needs no word."""

    file: Path
    role: Role | None


class _RoleFile(click.ParamType[RoleFile]):
    name = "[ROLE=]FILE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> RoleFile:
        if isinstance(value, RoleFile):
            return value
        before, equals, rest = str(value).partition("=")
        role = next((each for each in get_args(Role) if equals and each == before), None)
        file = _FILE.convert(value if role is None else rest, param, ctx)
        return RoleFile(file, role)


role_files_option = click.option(
    "--credentials-file",
    "role_files",
    type=_RoleFile(),
    multiple=True,
    help="New credentials for the bucket, for everybody who stays and has their role, made at the "
    "store. One for each role whose credentials they know, as editor=FILE, where there are several.",
)


def given_by_role(files: Sequence[RoleFile], roles: Collection[Role]) -> dict[Role, Credentials]:
    """Return the credentials in *files* by whose they are: of those of *roles*, where it does not say so.

    Raises UsageError.
    """
    found: dict[Role, Credentials] = {}
    only = next(iter(roles)) if len(roles) == 1 else None
    for each in files:
        role = each.role or only
        if role is None:
            raise click.UsageError(
                "they have several roles: say whose new credentials are in which file, as "
                "--credentials-file editor=FILE"
            )
        if role in found:
            raise click.UsageError(f"there are two files with credentials of every {role}")
        found[role] = _usable(_of_file(each.file))
    return found


def given_network(ca_file: Path | None, remembered: str | None = None) -> Network:
    """Return how this machine reaches the store: its environment, and *ca_file* or *remembered*.

    Raises UsageError.
    """
    try:
        return Network.of(os.environ, read_authorities(ca_file) if ca_file else remembered)
    except Malformed as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.UsageError(f"cannot read {ca_file}: {error.strerror}") from error


def given_credentials(file: Path | None, *, of_aws: bool) -> Credentials | None:
    """Return explicit credentials; None leaves it to the machine's own AWS profile or role.

    Those that the environment has are *of_aws*: no other kind of store gets to see them. Raises
    UsageError.
    """
    found: Credentials | None = None
    if file is not None:
        found = _of_file(file)
    elif of_aws:
        found = _of_environment()
    return None if found is None else _usable(found)


def _usable(found: Credentials) -> Credentials:
    if found.expires is not None and not _is_instant(found.expires):
        raise click.UsageError(
            f"'{found.expires}' is no end of credentials: write it as 2026-11-25T18:30:00Z"
        )
    return found


def given_place(
    url: str,
    endpoint: str | None,
    region: str | None,
    credentials_file: Path | None,
    network: Network,
) -> BucketSpec:
    """Return the bucket that a person names, with the credentials given for it. Raises UsageError."""
    of_aws = url.startswith("s3:")
    credentials = None
    if not url.startswith("file:"):
        credentials = given_credentials(credentials_file, of_aws=of_aws)
    if of_aws:
        region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    try:
        return BucketSpec.parse(url, endpoint, region, credentials, network)
    except Malformed as error:
        raise click.UsageError(str(error)) from error


class _ServiceAccount(msgspec.Struct):
    """What is read here of the key of a service account, as Google hands it out."""

    type: Literal["service_account"]
    client_email: str


def _of_file(file: Path) -> Credentials:
    try:
        raw = file.read_bytes()
        with contextlib.suppress(msgspec.ValidationError):
            account = msgspec.json.decode(raw, type=_ServiceAccount)
            return Credentials(account.client_email, raw.decode())
        return msgspec.json.decode(raw, type=Credentials)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        # Not the error's own words: they may quote the secret.
        raise click.UsageError(
            f'{file} does not hold {{"access_key": …, "secret_key": …}}'
        ) from error
    except OSError as error:
        raise click.UsageError(f"cannot read {file}: {error.strerror}") from error


def _of_environment() -> Credentials | None:
    access, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access or not secret:
        return None
    # Kept for this node: the daemon outlives the shell that had them.
    return Credentials(
        access,
        secret,
        os.environ.get("AWS_SESSION_TOKEN") or None,
        os.environ.get("AWS_CREDENTIAL_EXPIRATION") or None,
    )


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
