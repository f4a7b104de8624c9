"""Where the studio's bucket is, parsed from what a person typed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from lucidnode.node.bucket.keys import is_key
from lucidnode.node.client.errors import Malformed

_REGION = re.compile(r"[A-Za-z0-9-]{1,40}")
_BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")


@dataclass(frozen=True, slots=True)
class S3Address:
    """A bucket of an S3 store, and the folder in it that is ours.

    *prefix* has no slash at either end and is "" for the whole bucket. Without *endpoint* the
    store is AWS; without *region* the store is asked for it (`session.prepare`).
    """

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

    path: Path

    def __str__(self) -> str:
        """Return it as a person would say it."""
        return f"directory {self.path}"


BucketAddress = S3Address | DirectoryAddress


def parse_address(
    url: str, endpoint: str | None = None, region: str | None = None
) -> BucketAddress:
    """Return where `s3://bucket[/prefix]` or `file:///path` leads, else raise Malformed.

    *endpoint* and *region* belong to s3 only; an empty one counts as not given.
    """
    parts = _split(url, "the bucket URL")
    if parts.scheme == "s3":
        return S3Address(
            _bucket_name(parts.netloc),
            _prefix(parts.path),
            _endpoint(endpoint) if endpoint else None,
            _region(region) if region else None,
        )
    if parts.scheme == "file":
        if endpoint or region:
            raise Malformed("A file:// bucket takes no endpoint and no region.")
        return DirectoryAddress(_directory(parts))
    raise Malformed(f"'{url}' is no bucket URL: write s3://BUCKET/PREFIX or file:///PATH.")


def _split(url: str, what: str) -> SplitResult:
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


def _bucket_name(name: str) -> str:
    if not _BUCKET_NAME.fullmatch(name):
        raise Malformed(
            f"'{name}' is no bucket name: 3 to 63 letters, digits, dots, dashes or underscores."
        )
    return name


def _prefix(path: str) -> str:
    prefix = path.strip("/")
    if prefix and not is_key(prefix):
        raise Malformed(
            f"The prefix '{prefix}' has more than letters, digits, '.', '-', '_' and single '/'."
        )
    return prefix


def _endpoint(url: str) -> str:
    parts = _split(url, "the endpoint URL")
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
