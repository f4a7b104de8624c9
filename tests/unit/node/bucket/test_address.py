"""What a person types as a bucket, and the keys and credentials that go with it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.bucket.address import (
    BucketAddress,
    DirectoryAddress,
    S3Address,
)
from lucidnode.node.bucket.azure import AzureAddress
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.gcs import GcsAddress
from lucidnode.node.bucket.keys import block_key, is_key, journal_key, kind_of, roster_key
from lucidnode.node.bucket.refusal import Refusal
from lucidnode.node.bucket.stores import STORES, parse_address, store_of
from lucidnode.node.client.errors import AccessDenied, Malformed, NotThere, Unavailable
from lucidnode.node.client.ids import MAX_SEQ, BlockId, ProjectId, Seq

PROJECT = ProjectId("0123456789abcdef" * 2)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("s3://footage", S3Address("footage")),
        ("s3://footage/", S3Address("footage")),
        ("s3://footage/studio/a.b_c-d/", S3Address("footage", "studio/a.b_c-d")),
        ("az://footage/studio", AzureAddress("footage", "studio")),
        ("gs://footage/studio", GcsAddress("footage", "studio")),
        ("file:///srv/studio", DirectoryAddress(Path("/srv/studio"))),
        ("file:///srv/our%20studio/", DirectoryAddress(Path("/srv/our studio"))),
        ("file://localhost/srv", DirectoryAddress(Path("/srv"))),
    ],
)
def test_a_bucket_url_leads_where_it_says(url: str, address: BucketAddress) -> None:
    assert parse_address(url) == address


@pytest.mark.parametrize("scheme", ["az", "gs"])
def test_a_store_without_regions_takes_none(scheme: str) -> None:
    with pytest.raises(Malformed):
        parse_address(f"{scheme}://footage", None, "eu-1")


def test_the_forms_of_all_urls_are_told_to_who_writes_another() -> None:
    with pytest.raises(Malformed) as refusal:
        parse_address("ftp://footage")
    assert all(store.url_form in str(refusal.value) for store in STORES.values())


def test_a_store_is_found_by_what_its_own_addresses_say() -> None:
    urls = ("s3://footage", "file:///srv", "az://footage", "gs://footage")
    assert {store_of(parse_address(url)).url_form for url in urls} == {
        store.url_form for store in STORES.values()
    }


@pytest.mark.parametrize(
    ("endpoint", "kept"),
    [
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
        ("https://s3.example.org", "https://s3.example.org"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        ("https://x.example.org/storage/v1/s3/", "https://x.example.org/storage/v1/s3"),
        ("", None),
    ],
)
def test_an_endpoint_is_kept_without_its_last_slash(endpoint: str, kept: str | None) -> None:
    assert parse_address("s3://footage", endpoint, "eu-1") == S3Address("footage", "", kept, "eu-1")


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("", None),
        ("footage", None),
        ("/srv/studio", None),
        ("http://footage", None),
        ("s3:/footage", None),
        ("s3://", None),
        ("s3://a", None),
        ("s3://foo tage", None),
        ("s3://key:secret@footage", None),
        ("s3://footage:80", None),
        ("s3://footage/a//b", None),
        ("s3://footage/../b", None),
        ("s3://footage/a?b", None),
        ("s3://footage/a#b", None),
        ("s3://footage/ä", None),
        ("s3://footage", "127.0.0.1:9000"),
        ("s3://footage", "ftp://127.0.0.1"),
        ("s3://footage", "http://"),
        ("s3://footage", "http://key:secret@host"),
        ("s3://footage", "http://host:port"),
        ("s3://footage", "http://[::1"),
        ("az://footage", "http://host"),
        ("gs://footage", "http://192.0.2.1"),
        ("gs://", None),
        ("az://foo tage", None),
        ("gs://key:secret@footage", None),
        ("file:///srv", "http://host"),
        ("file://srv/studio", None),
        ("file:srv", None),
        ("file:///", None),
        ("file:///srv/../etc", None),
        ("file:///srv/%00", None),
    ],
)
def test_what_leads_nowhere_is_refused_in_one_sentence(url: str, endpoint: str | None) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_address(url, endpoint)
    text = str(refusal.value)
    assert text.endswith(".")
    assert "\n" not in text


@given(st.text(), st.none() | st.text())
def test_any_text_is_an_address_or_malformed(url: str, endpoint: str | None) -> None:
    for prefix in ("", *(f"{scheme}://" for scheme in STORES)):
        with suppress(Malformed):
            parse_address(prefix + url, endpoint)


def test_credentials_are_kept_as_json_and_never_shown() -> None:
    credentials = Credentials("AK", "hush", "hush too")
    kept = msgspec.json.encode(credentials)
    assert msgspec.json.decode(kept, type=Credentials) == credentials
    assert "hush" not in f"{credentials} {credentials!r} {[credentials]}"


@given(st.integers(1, MAX_SEQ), st.integers(1, MAX_SEQ))
def test_entries_sort_by_key_as_they_do_by_number(one: int, two: int) -> None:
    for key in (roster_key, lambda seq: journal_key(PROJECT, seq)):
        assert (key(Seq(one)) < key(Seq(two))) == (one < two)


@given(st.binary(min_size=32, max_size=32), st.integers(1, MAX_SEQ))
def test_our_own_keys_are_keys_of_their_kind(block: bytes, seq: int) -> None:
    keys = {
        "block": block_key(PROJECT, BlockId(block)),
        "journal": journal_key(PROJECT, Seq(seq)),
        "roster": roster_key(Seq(seq)),
        "other": "studio",
    }
    for kind, key in keys.items():
        assert is_key(key)
        assert kind_of(key) == kind


@pytest.mark.parametrize(
    "text",
    ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a b", "ä", "a\n", "a\0b", "a%2f"],
)
def test_what_a_store_could_misread_is_no_key(text: str) -> None:
    assert not is_key(text)


@pytest.mark.parametrize("text", ["a", ".probe/0", "a/...", "a/..b", "a/.b", "A-_.9/b"])
def test_plain_segments_are_a_key(text: str) -> None:
    assert is_key(text)


@given(st.integers(200, 599), st.binary())
def test_no_body_of_an_error_becomes_absence_without_the_stores_own_code(
    status: int, body: bytes
) -> None:
    refusal = Refusal.of(status, {}, body)
    assert not isinstance(refusal.error("bucket 'x'"), NotThere) or refusal.code == "NoSuchKey"


@given(st.integers(100, 599), st.from_regex(r"[A-Za-z]{1,40}", fullmatch=True))
def test_a_refusal_is_read_out_of_its_body(status: int, code: str) -> None:
    body = f"<?xml?><Error><Code>{code}</Code><Region>eu-west-1</Region></Error>".encode()
    assert Refusal.of(status, {}, body) == Refusal(status, code, "eu-west-1")


def test_an_answer_that_says_nothing_is_unavailable_and_no_matter_of_rights() -> None:
    error = Refusal(500).error("bucket 'x'")
    assert type(error) is Unavailable
    assert str(error) == "The bucket 'x' cannot be used now: status 500."
    assert type(Refusal(403, None).error("bucket 'x'")) is AccessDenied
