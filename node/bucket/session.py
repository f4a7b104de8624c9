"""The door to boto3: credentials of every kind, and what is done once to a bucket as a whole."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own tree of "nobody answered"
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.refusal import Refusal
from lucidnode.node.client.errors import AccessDenied, Unavailable

if TYPE_CHECKING:  # names of obstore's stubs only
    from obstore.store import S3Credential, S3CredentialProvider

_FRESH = timedelta(minutes=5)
"""How long obstore may keep ambient credentials. It renews from five minutes before their end, so
this has it ask for about every request (at most ten times a second), and rotated ones count soon;
boto3 answers from memory until 15 minutes before they expire."""

_ELSEWHERE = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
}

_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    CredentialRetrievalError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)


def credential_provider(credentials: Credentials | None) -> S3CredentialProvider:
    """Return what obstore asks whenever it wants credentials to sign with.

    None stands for those of the machine: environment, profile, container or instance. They are
    looked for when first needed, so a missing one shows as AccessDenied of a request.
    """
    return AmbientCredentials() if credentials is None else FixedCredentials(credentials)


class FixedCredentials:
    """The same credentials, always."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def __call__(self) -> S3Credential:
        return {
            "access_key_id": self._credentials.access_key,
            "secret_access_key": self._credentials.secret_key,
            "token": self._credentials.session_token,
            "expires_at": None,
        }


class AmbientCredentials:
    """What boto3 finds on this machine; it renews them before they expire."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # boto3 sessions are not for several threads
        self._session: boto3.Session | None = None

    async def __call__(self) -> S3Credential:
        """Return them. What is raised reaches the caller as obstore's UnauthenticatedError."""
        return await asyncio.to_thread(self._fetch)

    def _fetch(self) -> S3Credential:
        with self._lock:
            self._session = self._session or _session(None)
            found = self._session.get_credentials()
            if found is None:
                raise NoCredentialsError
            frozen = found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _FRESH,
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
    with _plain_words(address):
        session = _session(credentials)
        if session.get_credentials() is None:
            raise NoCredentialsError
        region = address.region or session.region_name or "us-east-1"
        with closing(_client(session, address, region)) as client:
            region = _entered(client, address, create=create) or region
    return replace(address, region=region)


def _entered(client: Any, address: S3Address, *, create: bool) -> str | None:
    """Find or make the bucket; return its region if the store says it."""
    try:
        # Not HEAD: its answer has no body to say why. Rights may end at our own folder.
        answer = client.list_objects_v2(Bucket=address.bucket, Prefix=address.prefix, MaxKeys=1)
    except ClientError as error:
        if _refusal(error).status != 404:
            raise
        if not create:
            raise WrongBucket(f"There is no {address}: check its name.") from error
        _create(client, address)
        return None
    headers: dict[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
    return headers.get("x-amz-bucket-region")


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


def _create(client: Any, address: S3Address) -> None:
    # AWS wants every region named but its first, and refuses that one by name.
    region: str = client.meta.region_name
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
            case None if refusal.status in {400, 404, 405, 501}:
                raise _no_s3_store(address) from error
            case _:
                raise


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
        if refusal.code in _ELSEWHERE:
            raise WrongBucket(f"The {address} is in another region: give that one.") from error
        raise refusal.error(str(address)) from error
    except _NO_CREDENTIALS as error:
        raise AccessDenied(
            f"There are no credentials for the {address} on this machine: "
            "give an access key and its secret."
        ) from error
    except SSLError as error:
        raise Unavailable(f"No trusted TLS connection to {where}: check http or https.") from error
    except (ConnectionError, HTTPClientError) as error:
        raise Unavailable(f"Nobody answers at {where}: check the endpoint and network.") from error
    except BotoCoreError as error:
        what = type(error).__name__
        raise Unavailable(f"The {address} cannot be used now ({what}).") from error


def _no_s3_store(address: S3Address) -> WrongBucket:
    where = address.endpoint or "AWS S3"
    return WrongBucket(f"What answers at {where} is no S3 store: check the endpoint URL.")
