"""Giving this workstation other credentials for the bucket, and what can be said of those it has."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from lucidnode.direct_bucket import open_directly
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.fingerprint import fingerprint
from lucidnode.node.bucket.keys import roster_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.open_bucket import prepare_bucket
from lucidnode.node.bucket.probe import probe
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import DaemonUnreachable, NotThere, Refused
from lucidnode.node.client.ids import Seq
from lucidnode.node.config import change_config, load_config, load_credentials, save_credentials

_RENEWED = "credentials/renewed"

_RENEW = "give new ones with `lucidnode credentials set`"


def summary(home: Path) -> dict[str, str | None]:
    """Return kind, access key and end of the credentials in *home*; nothing of it is secret.

    Raises NoStudio, and Refused or Malformed for damaged settings.
    """
    config = load_config(home)
    if not parse_address(config.bucket_url).takes_credentials:
        return {"kind": "none", "access_key": None, "expires": None}
    held = load_credentials(home)
    if held is None:
        return {"kind": "machine", "access_key": None, "expires": None}
    kind = "temporary" if held.is_temporary else "lasting"
    return {"kind": kind, "access_key": held.access_key, "expires": held.expires}


def warning(credentials: Credentials | None) -> str | None:
    """Return the sentence that a person should read who uses *credentials* for a workstation."""
    if credentials is None or not credentials.is_temporary:
        return None
    end = f"at {credentials.expires}" if credentials.expires else "within hours, at most days"
    return (
        f"these credentials are temporary and end {end}: then nothing is sent or fetched until you "
        f"{_RENEW}. An access key of its own for this workstation lasts."
    )


async def renew(home: Path, given: Credentials, network: Network, region: str | None) -> bool:
    """Try *given* on the bucket, keep them, and have a running daemon use them from now on.

    Returns whether a daemon took them over. Raises WrongBucket, StoreUnfit, AccessDenied, Unavailable or
    Refused, a sentence; then everything is as it was.
    """
    bucket = await opened_with(home, given, network, region)
    await probe(bucket)
    changes = {
        "authorities": network.authorities or None,
        "region": region or load_config(home).region,
    }
    await asyncio.to_thread(_keep, home, given, changes)
    with contextlib.suppress(DaemonUnreachable):
        async with DaemonClient(home / SOCKET_FILE) as client:
            await client.orders.give(_RENEWED)
            return True
    return False


async def opened_with(
    home: Path, given: Credentials, network: Network, region: str | None = None
) -> Bucket:
    """Return the studio's bucket as *given* open it. Raises WrongBucket, AccessDenied, Unavailable or Refused."""
    config = load_config(home)
    address = parse_address(config.bucket_url, config.endpoint_url, region or config.region)
    if not address.takes_credentials:
        raise Refused("the bucket is a directory, which takes no credentials")
    if given.expires and datetime.fromisoformat(given.expires) <= datetime.now(UTC):
        raise Refused(f"these credentials ended at {given.expires}: fetch new ones")
    source = credential_source(given, network)
    found = await prepare_bucket(address, source, network, create=False)
    bucket = open_directly(found, given, network)
    try:
        first = await fingerprint(bucket, roster_key(Seq(1)))
    except NotThere:
        first = None
    if first is None or first.hash.hex() != config.genesis:
        raise WrongBucket("with these credentials the bucket shows another studio or none")
    return bucket


def _keep(home: Path, given: Credentials, changes: dict[str, str | None]) -> None:
    save_credentials(home, given)
    change_config(home, lambda config: msgspec.structs.replace(config, **changes))
