"""What the bucket asks of us to prove who we are, as `bucket.json` keeps it (mode 0600)."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name and its secret: an access key of S3, an account of Azure, a service account of Google.

    A node without one uses what boto3 finds on the machine (ambient), which S3 alone can do.
    """

    access_key: str
    secret_key: str
    session_token: str | None = None
    expires: str | None = None
    """When temporary ones end, as `2026-11-25T18:30:00Z`, if whoever gave them said so."""

    def __repr__(self) -> str:
        """Show which key it is; secrets stay out of logs and tracebacks."""
        return f"Credentials({self.access_key!r}, …)"

    def plain(self) -> dict[str, str]:
        """Return the fields that are there, as a ticket has them."""
        fields: dict[str, str | None] = msgspec.structs.asdict(self)
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def is_temporary(self) -> bool:
        """Tell whether they end by themselves: with a session token, or issued by a token service."""
        return (
            self.session_token is not None
            or self.expires is not None
            or self.access_key.startswith("ASIA")
        )


class CredentialSource(Protocol):
    """Asked before every request."""

    @property
    def is_ambient(self) -> bool:
        """Whether they are what this machine has for AWS, rather than given for this bucket."""

    async def __call__(self) -> Credentials:
        """Return them. Raises AccessDenied when there are none."""
