"""What a refusal of an S3 store means: its status and error code, in our own errors and words.

Codes: the "List of error codes" of the S3 API reference, and those SeaweedFS, MinIO, Ceph and R2
add. Only the code is ever shown; the rest of such an answer may echo keys and signatures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from lucidnode.node.client.errors import (
    AccessDenied,
    Archived,
    Corrupt,
    NodeError,
    NotThere,
    Unavailable,
)

MAX_ERROR_BYTES = 64 * 1024
"""Bytes of an answer that says no; more of it says no more."""

_CODE = re.compile(rb"<Code>\s*(\w{1,64})\s*</Code>")
_REGION = re.compile(rb"<Region>\s*([a-z0-9-]{1,40})\s*</Region>")
_REGION_NAME = re.compile(r"[a-z0-9-]{1,40}")
_NO_SUCH_PART = re.compile(r"bytes \*/\d{1,18}")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")

_RENEW = "give working ones with `lucidnode credentials set`"
_ASK_OWNER = "ask whoever gives rights in the bucket"

_LASTING = True
_PASSING = False

_DENIED: dict[str, tuple[str, str, bool]] = {
    # code: what is wrong, what helps, and whether asking again soon is no use
    "AccessDenied": ("these credentials have no right to do this", _ASK_OWNER, _PASSING),
    "AccountProblem": ("the account is blocked", _ASK_OWNER, _LASTING),
    "AllAccessDisabled": ("the bucket is closed to everybody", _ASK_OWNER, _LASTING),
    "ExpiredToken": ("the session token has expired", _RENEW, _LASTING),
    "InvalidAccessKeyId": ("the access key is unknown to it", _RENEW, _LASTING),
    "InvalidClientTokenId": ("the access key is unknown to it", _RENEW, _LASTING),
    "InvalidToken": ("the session token is not valid", _RENEW, _LASTING),
    "SignatureDoesNotMatch": ("the secret does not belong to the access key", _RENEW, _LASTING),
    "TokenRefreshRequired": ("the session token has to be refreshed", _RENEW, _LASTING),
    "UnrecognizedClientException": ("the access key is unknown to it", _RENEW, _LASTING),
}

_SKEWED = "RequestTimeTooSkewed"

_FULL = {
    "QuotaExceeded",
    "InsufficientStorage",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
}

_ELSEWHERE = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "TemporaryRedirect",
}

_BUSY = {"SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "ServiceUnavailable"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer outside 2xx; None for what it does not say."""

    status: int
    code: str | None = None
    region: str | None = None
    """Where it says that the bucket is."""
    target: str | None = None
    """The host that a redirect leads to."""
    skew_s: float | None = None
    """The answer's clock minus ours, in seconds."""
    is_past_end: bool = False
    """Whether it says that the object ends before the bytes asked for."""

    @classmethod
    def of(
        cls, status: int, headers: Mapping[str, str], body: bytes, skew_s: float | None = None
    ) -> Refusal:
        """Read it out of an answer. What does not match its form counts as not said."""
        code, region = _CODE.search(body), _REGION.search(body)
        named = headers.get("x-amz-bucket-region", "")
        says_range = _NO_SUCH_PART.fullmatch(headers.get("Content-Range", "")) is not None
        return cls(
            status,
            code[1].decode() if code else None,
            region[1].decode() if region else named if _REGION_NAME.fullmatch(named) else None,
            _host_of(headers.get("Location", "")),
            skew_s,
            status == 416 and (says_range or (code is not None and code[1] == b"InvalidRange")),
        )

    @property
    def is_redirect(self) -> bool:
        """Tell whether it sends us somewhere else; nobody here goes."""
        return 300 <= self.status < 400

    @property
    def is_elsewhere(self) -> bool:
        """Tell whether it says that the bucket is in another region."""
        return self.code in _ELSEWHERE

    def error(self, bucket: str) -> NodeError:
        """Return what to raise for it where nothing else is known; *bucket* is its plain name.

        A 404 counts as absence only when the store says NoSuchKey: a missing bucket, or a proxy
        that answers for the store, says nothing about an object. So does a 416 without a word of
        the object's end.
        """
        if self.is_elsewhere:
            return Unavailable(*self.region_words(bucket), lasting=True)
        if self.is_redirect:
            there = f" to {self.target}" if self.target else ""
            return Unavailable(
                f"The {bucket} redirects{there} (status {self.status}), which is not followed",
                "check the endpoint, its http or https, and whether the network wants a login",
            )
        if self.status == 404 and self.code == "NoSuchKey":
            return NotThere("no such object")
        if self.is_past_end:
            return Corrupt("the object ends before the bytes asked for")
        if self.code == "InvalidObjectState":
            return Archived(
                f"The {bucket} has moved an object to an archive: restore it there, and keep its "
                "rules from archiving."
            )
        if self.code == "NoSuchBucket":
            return Unavailable(
                f"The {bucket} does not exist", "check whether it was deleted or renamed"
            )
        if self.code in _FULL or self.status == 507:
            return Unavailable(
                f"The {bucket} is full ({self.words})", "make room or raise its quota"
            )
        return self._denied(bucket) or self._failed(bucket)

    def _denied(self, bucket: str) -> AccessDenied | None:
        if self.code == _SKEWED:
            return AccessDenied(
                f"The {bucket} refuses access: {self._clock_words()} ({_SKEWED})",
                "set the clock of this machine",
                lasting=True,
            )
        why, remedy, lasting = _DENIED.get(self.code or "", (self.words, _ASK_OWNER, _PASSING))
        if self.code in _DENIED:
            why = f"{why} ({self.code})"
        elif self.status not in {401, 403}:
            return None
        return AccessDenied(f"The {bucket} refuses access: {why}", remedy, lasting=lasting)

    def _failed(self, bucket: str) -> Unavailable:
        if self.code in _BUSY or self.status == 429:
            return Unavailable(
                f"The {bucket} is asked too often or too busy ({self.words})",
                "it goes on by itself",
            )
        return Unavailable(f"The {bucket} cannot be used now: {self.words}.")

    def region_words(self, bucket: str) -> tuple[str, str]:
        """Return cause and remedy of a bucket that is in another region."""
        if self.region:
            return (f"The {bucket} is in another region, {self.region}", f"give {self.region}")
        return f"The {bucket} is in another region", "give that one"

    def _clock_words(self) -> str:
        if self.skew_s is None:
            return "the clock of this machine is wrong by more than 15 minutes"
        return f"the clock of this machine is {difference(self.skew_s)}"

    @property
    def words(self) -> str:
        """Say it in a few words, without a full stop."""
        return f"status {self.status} {self.code}" if self.code else f"status {self.status}"


def _host_of(location: str) -> str | None:
    """Return the host in the URL *location*, which is whatever somebody wrote."""
    try:
        host = urlsplit(location).netloc.rpartition("@")[2]
    except ValueError:
        return None
    return host if _HOST.fullmatch(host) else None


def skew_of(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return by how many seconds the clock of an answer is ahead of *now*, if it shows its clock."""
    try:
        date = parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return (date - now).total_seconds()


def difference(skew_s: float) -> str:
    """Say in words how a clock stands that is *skew_s* seconds behind the store's."""
    seconds = abs(skew_s)
    if seconds >= 2 * 86_400:
        amount = f"{seconds / 86_400:.0f} days"
    elif seconds >= 2 * 3600:
        amount = f"{seconds / 3600:.0f} hours"
    elif seconds >= 120:
        amount = f"{seconds / 60:.0f} minutes"
    else:
        amount = f"{seconds:.0f} seconds"
    return f"{amount} {'behind' if skew_s > 0 else 'ahead of'} the store's"
