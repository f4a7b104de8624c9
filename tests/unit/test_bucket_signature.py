"""Requests are signed as Amazon's page and Amazon's own library sign them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.signature import encoded_query, signed_headers

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
MAY_24 = datetime(2013, 5, 24, tzinfo=UTC)


def test_the_published_example_comes_out() -> None:
    """Check "GET Object" of the S3 API reference, "Signature Calculations for the Header"."""
    headers = {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9"}
    signed = signed_headers("GET", "/test.txt", (), headers, EMPTY, KEYS, "us-east-1", MAY_24)
    assert signed["authorization"].endswith(
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z-]{1,12}", fullmatch=True), TEXT),
        max_size=4,
        unique_by=lambda p: p[0],
    ),
    st.sampled_from([None, "a/token+with=signs"]),
)
def test_it_is_what_botocore_makes_of_the_same_request(
    query: list[tuple[str, str]], token: str | None
) -> None:
    keys = Credentials(KEYS.access_key, KEYS.secret_key, token)
    host, path = "store.example:9000", "/bucket/p/0123/journal/0000000000000001"
    headers = {"host": host, "if-none-match": "*", "range": "bytes=0-9"}
    url = f"https://{host}{path}" + (f"?{encoded_query(tuple(query))}" if query else "")
    request = AWSRequest("PUT", url, headers={**headers, "X-Amz-Content-SHA256": EMPTY})
    signer = S3SigV4Auth(BotoCredentials(*keys_of(keys)), "s3", "eu-west-1")
    signer.add_auth(request)
    moment = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    signed = signed_headers("PUT", path, tuple(query), headers, EMPTY, keys, "eu-west-1", moment)
    theirs = request.headers["Authorization"].rpartition("Signature=")[2]
    assert signed["authorization"].rpartition("Signature=")[2] == theirs


def keys_of(keys: Credentials) -> tuple[str, str, str | None]:
    return keys.access_key, keys.secret_key, keys.session_token


def test_another_second_another_signature() -> None:
    first, second = (
        signed_headers(
            "GET", "/", (), {"host": "h"}, EMPTY, KEYS, "r", MAY_24 + timedelta(seconds=s)
        )
        for s in (0, 1)
    )
    assert first["authorization"] != second["authorization"]
