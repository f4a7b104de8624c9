"""What a refusal of an S3 store means: its status and error code, in our own errors and words.

Codes: the "List of error codes" of the S3 API reference, and those SeaweedFS, MinIO, Ceph and R2
add. Only the code is ever shown; the rest of such an answer may echo keys and signatures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lucidnode.node.client.errors import AccessDenied, Corrupt, NotThere, Unavailable

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>\s*(\w{1,64})\s*</Code>")

_DENIED = {
    "AccessDenied": "these credentials have no right to do this",
    "AllAccessDisabled": "the bucket is closed to everybody",
    "ExpiredToken": "the session token has expired",
    "InvalidAccessKeyId": "the access key is unknown to it",
    "InvalidToken": "the session token is not valid",
    "RequestTimeTooSkewed": "the clock of this machine is wrong by more than 15 minutes",
    "SignatureDoesNotMatch": "the secret does not belong to the access key",
    "TokenRefreshRequired": "the session token has to be refreshed",
}
_FULL = {
    "QuotaExceeded",
    "InsufficientStorage",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP status outside 2xx and the code in the body; None for what was not sent."""

    status: int | None
    code: str | None

    @classmethod
    def of_text(cls, text: str) -> Refusal:
        """Read the two out of an obstore message, which has them in prose only.

        What does not match comes out as None and so counts as unknown, never as settled.
        """
        status, code = _STATUS.search(text), _CODE.search(text)
        return cls(int(status[1]) if status else None, code[1] if code else None)

    def error(self, bucket: str) -> Unavailable | NotThere | Corrupt:
        """Return what to raise for it where nothing else is known; *bucket* is its plain name.

        A 404 counts as absence only when the store says NoSuchKey: a missing bucket, or a proxy
        that answers for the store, says nothing about an object.
        """
        if self.code == "NoSuchKey":
            return NotThere("no such object")
        if self.status == 416:
            return Corrupt("the object ends before the bytes asked for")
        if self.code == "NoSuchBucket":
            return Unavailable(f"The {bucket} does not exist.")
        if self.code in _FULL or self.status == 507:
            return Unavailable(f"The {bucket} is full ({self.words}).")
        if self.status in {401, 403} or self.code in _DENIED:
            return AccessDenied(f"The {bucket} refuses access: {self.words}.")
        return Unavailable(f"The {bucket} cannot be used now: {self.words}.")

    @property
    def words(self) -> str:
        """Say it in a few words, without a full stop."""
        if self.code in _DENIED:
            return f"{_DENIED[self.code]} ({self.code})"
        status = f"status {self.status}" if self.status else "no answer"
        return f"{status} {self.code}" if self.code else status
