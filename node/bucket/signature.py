"""AWS Signature Version 4 for S3: how a request proves who sends it.

Source: "Authenticating Requests (AWS Signature Version 4)", S3 API reference. Signed is every
header that is set here, so a proxy that drops `If-None-Match` or `Range` makes a request that the
store refuses, and never a create that overwrites.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote

from lucidnode.node.bucket.credentials import Credentials

_ALGORITHM = "AWS4-HMAC-SHA256"

MAX_PRESIGNED_S = 7 * 86_400
"""The most that a store takes, by the same reference ("Using query parameters")."""

UNSIGNED = "UNSIGNED-PAYLOAD"
"""What stands in the place of the hash of a body that the signature does not cover, by the same reference."""

Query = tuple[tuple[str, str], ...]


def encoded_query(query: Query) -> str:
    """Return *query* as it is signed and sent: sorted, and percent-encoded as RFC 3986 has it."""
    pairs = sorted((_quoted(name), _quoted(value)) for name, value in query)
    return "&".join(f"{name}={value}" for name, value in pairs)


def signed_headers(
    method: str,
    path: str,
    query: Query,
    headers: Mapping[str, str],
    body_sha256: str,
    credentials: Credentials,
    region: str,
    now: datetime,
) -> dict[str, str]:
    """Return *headers* with the signature added.

    *path* is percent-encoded, *headers* have `host` among them and lower-case names, *now* is UTC.
    *body_sha256* is in hex, or UNSIGNED.
    """
    stamp, scope = _scope(now, region)
    signed = {**headers, "x-amz-content-sha256": body_sha256, "x-amz-date": stamp}
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(signed))
    signature = _signature(method, path, query, signed, body_sha256, credentials, stamp, scope)
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope},"
        f"SignedHeaders={names},Signature={signature}"
    )
    return signed


def presigned_query(
    method: str,
    path: str,
    headers: Mapping[str, str],
    credentials: Credentials,
    region: str,
    now: datetime,
    lasts_s: int,
) -> str:
    """Return the query that lets whoever has it make this one request, with these very headers.

    The store refuses it *lasts_s* seconds after *now*, at most MAX_PRESIGNED_S; one that was signed
    with a session token ends with that, if it ends sooner. *path* and *headers* as for
    `signed_headers`. The body is the caller's to choose.
    """
    assert 0 < lasts_s <= MAX_PRESIGNED_S
    stamp, scope = _scope(now, region)
    query = [
        ("X-Amz-Algorithm", _ALGORITHM),
        ("X-Amz-Credential", f"{credentials.access_key}/{scope}"),
        ("X-Amz-Date", stamp),
        ("X-Amz-Expires", str(lasts_s)),
        ("X-Amz-SignedHeaders", ";".join(sorted(headers))),
    ]
    if credentials.session_token:
        query.append(("X-Amz-Security-Token", credentials.session_token))
    signature = _signature(method, path, tuple(query), headers, UNSIGNED, credentials, stamp, scope)
    return f"{encoded_query(tuple(query))}&X-Amz-Signature={signature}"


def _scope(now: datetime, region: str) -> tuple[str, str]:
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    return stamp, f"{stamp[:8]}/{region}/s3/aws4_request"


def _signature(
    method: str,
    path: str,
    query: Query,
    signed: Mapping[str, str],
    body_sha256: str,
    credentials: Credentials,
    stamp: str,
    scope: str,
) -> str:
    names = sorted(signed)
    canonical = "\n".join(
        [
            method,
            path,
            encoded_query(query),
            *(f"{name}:{' '.join(signed[name].split())}" for name in names),
            "",
            ";".join(names),
            body_sha256,
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([_ALGORITHM, stamp, scope, digest])
    key = _signing_key(credentials.secret_key, *scope.split("/")[:2])
    return hmac.digest(key, text.encode(), "sha256").hex()


@lru_cache(maxsize=4)
def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    """Return the key of a day. Kept, since each of its four steps costs as much as the signature."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~", errors="surrogateescape")
