"""Requests are signed as Amazon's pages and Amazon's own library sign them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.signature import (
    Query,
    encoded_query,
    presigned_query,
    signed_headers,
)

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
MAY_24 = datetime(2013, 5, 24, tzinfo=UTC)


WELCOME = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "signature"),
    [
        (
            "GET", "/test.txt", (), {"range": "bytes=0-9"}, EMPTY,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT", "/test%24file.text", (),
            {
                "date": "Fri, 24 May 2013 00:00:00 GMT",
                "x-amz-storage-class": "REDUCED_REDUNDANCY",
            },
            WELCOME,
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET", "/", (("lifecycle", ""),), {}, EMPTY,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET", "/", (("prefix", "J"), ("max-keys", "2")), {}, EMPTY,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["get an object", "put an object", "get the lifecycle", "list objects"],
)  # fmt: skip
def test_the_published_examples_come_out(
    method: str, path: str, query: Query, headers: dict[str, str], body: str, signature: str
) -> None:
    """Check the examples of the S3 API reference, "Signature Calculations for the Header"."""
    wanted = {"host": "examplebucket.s3.amazonaws.com", **headers}
    signed = signed_headers(method, path, query, wanted, body, KEYS, "us-east-1", MAY_24)
    assert signed["authorization"].endswith(f"Signature={signature}")


def test_the_published_example_of_a_presigned_url_comes_out() -> None:
    """Check the example of the S3 API reference, "Authenticating Requests: Using Query Parameters"."""
    headers = {"host": "examplebucket.s3.amazonaws.com"}
    query = presigned_query("GET", "/test.txt", headers, KEYS, "us-east-1", MAY_24, 86_400)
    assert query.endswith(
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    assert KEYS.secret_key not in query


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
NAME = st.from_regex(r"[a-z-]{1,12}", fullmatch=True)
WORDS = st.from_regex(r"[!-~]{1,8}(?: {1,3}[!-~]{1,8}){0,2}", fullmatch=True)


@given(
    method=st.sampled_from(["GET", "PUT", "DELETE"]),
    key=TEXT,
    query=st.lists(st.tuples(NAME, TEXT), max_size=4, unique_by=lambda pair: pair[0]),
    more=st.dictionaries(NAME.map("x-amz-meta-{}".format), WORDS, max_size=3),
    token=st.sampled_from([None, "a/token+with=signs"]),
    host=st.sampled_from(
        ["store.example:9000", "[2001:db8::7]:9000", "s3.eu-west-1.amazonaws.com"]
    ),
)
def test_it_is_what_botocore_makes_of_the_same_request(
    method: str,
    key: str,
    query: list[tuple[str, str]],
    more: dict[str, str],
    token: str | None,
    host: str,
) -> None:
    keys = Credentials(KEYS.access_key, KEYS.secret_key, token)
    path = f"/bucket/{quote(key, safe='/-_.~')}"
    headers = {"host": host, "if-none-match": "*", "range": "bytes=0-9", **more}
    url = f"https://{host}{path}" + (f"?{encoded_query(tuple(query))}" if query else "")
    request = AWSRequest(method, url, headers={**headers, "X-Amz-Content-SHA256": EMPTY})
    signer = S3SigV4Auth(BotoCredentials(*keys_of(keys)), "s3", "eu-west-1")
    signer.add_auth(request)
    moment = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    signed = signed_headers(method, path, tuple(query), headers, EMPTY, keys, "eu-west-1", moment)
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
