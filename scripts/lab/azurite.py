"""Microsoft's emulator of Azure Blob Storage, and the contract of a bucket against it.

`scripts/azurite` runs it. Containers are made by a signed request of ours, since obstore makes none.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate

import pytest
from bucket_contract import BucketContract

from lucidnode.node.bucket.bucket import Engine
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.open_bucket import open_engine, prepare_bucket
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import AccessDenied

PROGRAM_VARIABLE = "AZURITE"
"""Names the program `azurite-blob`."""

ACCOUNT = Credentials("studio", base64.b64encode(b"an account of this run alone").decode())
_VERSION = "2021-08-06"
_LISTENS = "successfully listens on "


@contextmanager
def running() -> Iterator[str]:
    """Run the emulator; give the endpoint of `ACCOUNT`."""
    program = os.environ[PROGRAM_VARIABLE]
    with subprocess.Popen(
        [
            program,
            *("--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence"),
            *("--silent", "--skipApiVersionCheck", "--disableTelemetry"),
        ],
        env=os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT.access_key}:{ACCOUNT.secret_key}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if _LISTENS in line:
                    host = line.split(_LISTENS)[1].strip()
                    break
            else:
                raise AssertionError("Azurite ended before it listened")
            yield f"{host}/{ACCOUNT.access_key}"
        finally:
            process.terminate()


def make_container(endpoint: str, name: str) -> None:
    """Make the container *name*, after "Authorize with Shared Key" of Microsoft's reference."""
    date = formatdate(usegmt=True)
    account = ACCOUNT.access_key
    words = (
        f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:{_VERSION}\n"
        f"/{account}/{account}/{name}\nrestype:container"
    )
    mac = hmac.digest(base64.b64decode(ACCOUNT.secret_key), words.encode(), hashlib.sha256)
    request = urllib.request.Request(  # noqa: S310  # loopback
        f"{endpoint}/{name}?restype=container",
        method="PUT",
        headers={
            "x-ms-date": date,
            "x-ms-version": _VERSION,
            "Authorization": f"SharedKey {account}:{base64.b64encode(mac).decode()}",
        },
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        assert answer.status == 201


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """Give a running emulator."""
    with running() as url:
        yield url


def _engine(endpoint: str, container: str, credentials: Credentials = ACCOUNT) -> Engine:
    address = parse_address(f"az://{container}/office", endpoint)
    return open_engine(address, credential_source(credentials, Network()), Network(), SystemClock())


class TestAzurite(BucketContract):
    """The contract."""

    @pytest.fixture
    def bucket(self, endpoint: str) -> Engine:
        """Give an empty container."""
        name = f"studio-{secrets.token_hex(6)}"
        make_container(endpoint, name)
        return _engine(endpoint, name)


async def test_a_container_that_is_missing_is_told_to_who_prepares_it(endpoint: str) -> None:
    """The store's own code, as Azurite sends it."""
    address = parse_address("az://missing", endpoint)
    with pytest.raises(WrongBucket, match="There is no container 'missing'"):
        await prepare_bucket(address, credential_source(ACCOUNT, Network()), Network(), create=True)


async def test_a_wrong_key_is_access_denied(endpoint: str) -> None:
    """Whatever Azurite calls it."""
    make_container(endpoint, "locked")
    other = Credentials(ACCOUNT.access_key, base64.b64encode(b"another").decode())
    with pytest.raises(AccessDenied, match="refuses access"):
        await _engine(endpoint, "locked", other).size("studio")
