"""Stores that obstore speaks to: the contract, and what their answers have to say to count."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bucket_contract import KEY as OBJECT
from bucket_contract import BucketContract
from cloud_store import BUCKET, KEY, StandIn, served
from lab.private_ca import make_authority

from lucidnode.node.bucket.bucket import Bucket, Engine
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import Unreachable, Unsettled, WrongBucket
from lucidnode.node.bucket.gcs import GcsAddress
from lucidnode.node.bucket.network import Network, read_authorities
from lucidnode.node.bucket.open_bucket import open_engine, prepare_bucket
from lucidnode.node.bucket.proxy import Proxies
from lucidnode.node.bucket.session import CurrentCredentials, credential_source
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import AccessDenied, NotThere, Unavailable

NOT_ITS_WORDS = [(404, "not found"), (412, "precondition"), (409, "conflict"), (200, "welcome")]
"""Answers of a gateway: a status that means something, without the store's own code."""


@pytest.fixture
async def store() -> StandIn:
    return StandIn()


@pytest.fixture
async def endpoint(store: StandIn) -> AsyncIterator[str]:
    async with served(store) as url:
        yield url


def engine_at(endpoint: str, credentials: Credentials | None = KEY) -> Engine:
    address = parse_address(f"gs://{BUCKET}/office", endpoint)
    return open_engine(address, credential_source(credentials, Network()), Network(), SystemClock())


class TestGoogle(BucketContract):
    @pytest.fixture
    async def bucket(self, endpoint: str) -> Bucket:
        return engine_at(endpoint)


async def test_all_is_kept_below_the_prefix(store: StandIn, endpoint: str) -> None:
    bucket = engine_at(endpoint)
    store.objects["beside"] = b""
    await bucket.put("a/b", b"1")
    assert set(store.objects) == {"beside", "office/a/b"}
    assert [listed.key for listed in await bucket.list("")] == ["a/b"]


@pytest.mark.parametrize("answer", NOT_ITS_WORDS)
async def test_what_is_not_the_stores_own_word_settles_nothing(
    store: StandIn, endpoint: str, answer: tuple[int, str]
) -> None:
    bucket = engine_at(endpoint)
    store.answer = answer
    for call in (bucket.get(OBJECT), bucket.get(OBJECT, (0, 1)), bucket.size(OBJECT)):
        with pytest.raises(Unavailable):
            await call
    with pytest.raises(Unsettled):
        await bucket.create(OBJECT, b"body")
    with pytest.raises(Unavailable):
        await bucket.put(OBJECT, b"body")


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_create_is_asked_once(store: StandIn, endpoint: str, status: int) -> None:
    bucket = engine_at(endpoint)
    store.answer = (status, "<Error><Code>ServiceUnavailable</Code></Error>")
    with pytest.raises(Unsettled):
        await bucket.create(OBJECT, b"body")
    assert len(store.requests) == 1


async def test_a_refusal_is_told_without_the_stores_words(store: StandIn, endpoint: str) -> None:
    bucket = engine_at(endpoint)
    store.answer = (403, "<Error><Code>AccessDenied</Code><Key>hush</Key></Error>")
    with pytest.raises(AccessDenied) as denied:
        await bucket.get(OBJECT)
    assert "hush" not in str(denied.value)
    assert "credentials set" in str(denied.value)


async def test_who_answers_nothing_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        await engine_at("http://127.0.0.1:9").get(OBJECT)


async def test_a_bucket_that_is_missing_is_told_to_who_prepares_it(endpoint: str) -> None:
    address = parse_address("gs://another", endpoint)
    with pytest.raises(WrongBucket, match=r"There is no bucket 'another' at .*: create it first"):
        await prepare_bucket(address, credential_source(KEY, Network()), Network(), create=True)
    there = parse_address(f"gs://{BUCKET}", endpoint)
    assert (
        await prepare_bucket(there, credential_source(KEY, Network()), Network(), create=False)
        == there
    )


async def test_credentials_of_another_kind_are_named_and_never_sent(
    store: StandIn, endpoint: str
) -> None:
    for given in (None, Credentials("AKIA", "hush")):
        with pytest.raises(AccessDenied) as denied:
            await engine_at(endpoint, given).get(OBJECT)
        assert denied.value.lasting
        assert "hush" not in str(denied.value)
    assert store.requests == []


async def test_new_credentials_count_from_the_next_request(endpoint: str) -> None:
    source = CurrentCredentials(Credentials("AKIA", "hush"), Network())
    bucket = open_engine(
        parse_address(f"gs://{BUCKET}", endpoint), source, Network(), SystemClock()
    )
    with pytest.raises(AccessDenied):
        await bucket.size(OBJECT)
    source.use(KEY)
    assert await bucket.size(OBJECT) is None


async def test_a_proxy_is_taken_as_our_one_rule_says(store: StandIn, endpoint: str) -> None:
    network = Network(Proxies({"http": endpoint}))
    address = GcsAddress(BUCKET, "", "http://192.0.2.1")
    bucket = open_engine(address, credential_source(KEY, Network()), network, SystemClock())
    with pytest.raises(NotThere):
        await bucket.get(OBJECT)
    assert store.requests


async def test_who_is_trusted_is_what_a_person_gave(store: StandIn, tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "authority", "127.0.0.1")
    async with served(store, authority.server_context()) as url:
        address = parse_address(f"gs://{BUCKET}", url)
        with pytest.raises(Unreachable):
            await prepare_bucket(
                address, credential_source(KEY, Network()), Network(), create=False
            )
        assert store.requests == []
        ours = Network.of({}, read_authorities(authority.ca_file))
        await prepare_bucket(address, credential_source(KEY, Network()), ours, create=False)
        assert store.requests


def test_without_the_package_the_way_out_is_one_sentence() -> None:
    program = (
        "import sys; sys.modules['obstore'] = None\nfrom lucidnode.cli.app import main\nmain()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program, "--home", "/nonexistent/home", "init", "az://studio"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "pip install 'lucidnode[clouds]'" in ran.stderr
    assert "Traceback" not in ran.stderr
