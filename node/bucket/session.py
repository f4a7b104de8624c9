"""The door to boto3: credentials of every kind, and what is done once to a bucket as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own tree of "nobody answered"
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
)

from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.refusal import Refusal
from lucidnode.node.client.errors import AccessDenied, NodeError, Unavailable

if TYPE_CHECKING:  # a name of obstore's stubs only
    from obstore.store import S3Credential

_FRESH = timedelta(minutes=5)
"""How long a store may use ambient credentials before it asks again. boto3 renews them itself,
15 minutes before they expire, so asking early costs nothing and never meets an expired one."""

_NOT_S3 = {400, 405, 501}
"""What a web server that is no S3 store says to the creation of a bucket."""


class CredentialProvider:
    """Gives obstore the credentials it signs with; it calls this whenever it wants fresh ones."""

    def __init__(self, credentials: Credentials | None) -> None:
        """With None they come from the machine: environment, profile, container or instance."""
        self._session = _session(credentials)
        self._fixed = credentials is not None

    async def __call__(self) -> S3Credential:
        """Return them. Raises AccessDenied, which obstore hands on as "unauthenticated"."""
        return await asyncio.to_thread(self._fetch)

    def _fetch(self) -> S3Credential:
        found = self._session.get_credentials()
        if found is None:
            raise AccessDenied("There are no credentials for the bucket on this machine.")
        frozen = found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": None if self._fixed else datetime.now(UTC) + _FRESH,
        }


async def prepare_s3(
    address: S3Address, credentials: Credentials | None, *, create: bool
) -> S3Address:
    """Make sure the bucket is there and we may enter; return its address with its region.

    With *create* a missing bucket is made. Raises WrongBucket, AccessDenied or Unavailable, each
    one sentence for a person.
    """
    return await asyncio.to_thread(_prepare, address, credentials, create)


def _prepare(address: S3Address, credentials: Credentials | None, create: bool) -> S3Address:
    name = str(address)
    with _plain_words(address):
        session = _session(credentials)
        if session.get_credentials() is None:
            raise NoCredentialsError
        region = address.region or session.region_name or "us-east-1"
        client = _client(session, address, region)
        try:
            region = _region(client.head_bucket(Bucket=address.bucket)) or region
        except ClientError as error:
            refusal = _refusal(error)
            if refusal.status == 404:
                if not create:
                    raise WrongBucket(f"There is no {name}: check its name.") from error
                _create(client, address, region)
            elif refusal.status in {301, 400} and address.endpoint is None:
                # boto3 follows AWS to the right region by itself; what is left is a wrong name.
                raise WrongBucket(f"The {name} is in another region: give its region.") from error
            else:
                # HEAD has no body; the same question as a listing says why.
                client.list_objects_v2(Bucket=address.bucket, MaxKeys=1)
    return S3Address(address.bucket, address.prefix, address.endpoint, region)


def _session(credentials: Credentials | None) -> boto3.Session:
    if credentials is None:
        return boto3.Session()
    return boto3.Session(
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.session_token,
    )


def _client(session: boto3.Session, address: S3Address, region: str) -> Any:  # boto3 is untyped
    return session.client(
        "s3",
        region_name=region,
        endpoint_url=address.endpoint,
        config=Config(
            connect_timeout=5,
            read_timeout=15,
            retries={"mode": "standard", "total_max_attempts": 2},
            s3={"addressing_style": "path"},
            ignore_configured_endpoint_urls=True,
            # Several compatible stores reject the trailers boto3 sends since 1.36, or keep them.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _create(client: Any, address: S3Address, region: str) -> None:
    # AWS wants every region named but its first, and refuses that one by name.
    there = region != "us-east-1" and address.endpoint is None
    place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if there else {}
    try:
        client.create_bucket(Bucket=address.bucket, **place)
    except ClientError as error:
        refusal = _refusal(error)
        match refusal.code:
            case "BucketAlreadyOwnedByYou":
                return
            case "BucketAlreadyExists":
                raise WrongBucket(
                    f"The {address} belongs to somebody else: choose another name."
                ) from error
            case "InvalidBucketName":
                raise WrongBucket(f"The store allows no {address}: choose another name.") from error
            case "AccessDenied":
                raise WrongBucket(
                    f"There is no {address}, and these credentials may not create it: "
                    "check its name, or create it first."
                ) from error
        if refusal.code not in _SPOKEN and refusal.status in _NOT_S3:
            raise WrongBucket(
                f"What answers at {address.endpoint} is no S3 store: check the endpoint URL."
            ) from error
        raise


def _region(answer: dict[str, Any]) -> str | None:
    headers: dict[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
    return headers.get("x-amz-bucket-region")


def _refusal(error: ClientError) -> Refusal:
    """Return status and code; botocore puts the status where an answer has no code."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return Refusal(status, None if not code or code.isdecimal() else code)


@contextmanager
def _plain_words(address: S3Address) -> Iterator[None]:
    """Turn what boto3 raises into the errors of this plane."""
    where = address.endpoint or "AWS S3"
    try:
        yield
    except ClientError as error:
        refusal = _refusal(error)
        meaning = refusal.error(str(address))
        raise meaning from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise AccessDenied(
            f"There are no credentials for the {address} on this machine: "
            "give an access key and its secret."
        ) from error
    except SSLError as error:
        raise Unavailable(f"No trusted TLS connection to {where}: check http or https.") from error
    except (ConnectionError, HTTPClientError) as error:
        raise Unavailable(f"Nobody answers at {where}: check the endpoint and network.") from error
    except BotoCoreError as error:
        raise _unreadable(address) from error


def _unreadable(address: S3Address) -> NodeError:
    return WrongBucket(f"What answers at {address.endpoint} is no S3 store: check the endpoint URL.")
