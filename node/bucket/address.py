"""Where the studio's bucket is, and what every store asks of the URL that a person typed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from lucidnode.node.bucket.keys import is_key
from lucidnode.node.client.errors import Malformed

_REGION = re.compile(r"[A-Za-z0-9-]{1,40}")
_BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")


class BucketAddress(Protocol):
    """Where a bucket is. `str` gives it as a person would say it."""

    @property
    def scheme(self) -> str:
        """The scheme of its URL, by which `stores` finds who serves it."""

    @property
    def takes_credentials(self) -> bool:
        """Whether a workstation proves to this store who it is."""

    @property
    def endpoint(self) -> str | None:
        """The URL of the store, None if it is the one that everybody knows."""

    @property
    def region(self) -> str | None:
        """The region of S3, as far as it is known."""


@dataclass(frozen=True, slots=True)
class S3Address:
    """A bucket of an S3 store, and the folder in it that is ours.

    *prefix* has no slash at either end and is "" for the whole bucket. Without *endpoint* the
    store is AWS; without *region* the store is asked for it (`prepare_s3`).
    """

    scheme: ClassVar[str] = "s3"
    takes_credentials: ClassVar[bool] = True

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None

    def __str__(self) -> str:
        """Return it as a person would say it."""
        return f"bucket '{self.bucket}' at {self.endpoint or 'AWS S3'}"


@dataclass(frozen=True, slots=True)
class DirectoryAddress:
    """A directory that serves as the bucket: on this machine, or a share all nodes mount."""

    scheme: ClassVar[str] = "file"
    takes_credentials: ClassVar[bool] = False
    endpoint: ClassVar[None] = None
    region: ClassVar[None] = None

    path: Path

    def __str__(self) -> str:
        """Return it as a person would say it."""
        return f"directory {self.path}"


def parse_s3(parts: SplitResult, endpoint: str | None, region: str | None) -> S3Address:
    """Return where `s3://bucket[/prefix]` leads, else raise Malformed."""
    return S3Address(
        parse_bucket_name(parts.netloc),
        parse_prefix(parts.path),
        parse_endpoint(endpoint),
        _region(region) if region else None,
    )


def parse_directory(
    parts: SplitResult, endpoint: str | None, region: str | None
) -> DirectoryAddress:
    """Return where `file:///path` leads, else raise Malformed."""
    if endpoint or region:
        raise Malformed("A file:// bucket takes no endpoint and no region.")
    return DirectoryAddress(_directory(parts))


def split_url(url: str, what: str) -> SplitResult:
    """Return the parts of *url*, which have no credentials, query or fragment, else Malformed."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed only when read, and raises
    except ValueError as error:
        raise Malformed(f"In {what} '{url}' the host or port is not readable.") from error
    if parts.username is not None or parts.password is not None:
        raise Malformed(f"Leave credentials out of {what}: they have a place of their own.")
    if parts.query or parts.fragment:
        raise Malformed(f"There is a '?' or '#' in {what} '{url}', which means nothing there.")
    return parts


def parse_bucket_name(name: str) -> str:
    """Return *name* if stores allow it for a bucket, else raise Malformed."""
    if not _BUCKET_NAME.fullmatch(name):
        raise Malformed(
            f"'{name}' is no bucket name: 3 to 63 letters, digits, dots, dashes or underscores."
        )
    return name


def parse_prefix(path: str) -> str:
    """Return the folder that *path* names, without slashes at its ends, else raise Malformed."""
    prefix = path.strip("/")
    if prefix and not is_key(prefix):
        raise Malformed(
            f"The prefix '{prefix}' has more than letters, digits, '.', '-', '_' and single '/'."
        )
    return prefix


def parse_endpoint(url: str | None) -> str | None:
    """Return *url* without its last slash, None for an empty one, else raise Malformed."""
    if not url:
        return None
    parts = split_url(url, "the endpoint URL")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Malformed(f"'{url}' is no endpoint URL: write https://HOST or http://HOST:PORT.")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _region(name: str) -> str:
    if not _REGION.fullmatch(name):
        raise Malformed(f"'{name}' is no region: they look like 'eu-central-1'.")
    return name


def _directory(parts: SplitResult) -> Path:
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise Malformed("A file:// bucket is an absolute path with three slashes: file:///PATH.")
    path = Path(unquote(parts.path))
    if "\0" in str(path) or ".." in path.parts or path == Path("/"):
        raise Malformed(f"'{path}' cannot be a bucket: name a directory without '..' in it.")
    return path
