"""What `init` and `join` meet before there is a studio: each fault one clear sentence."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from seaweed_fixture import Seaweed, running_seaweed

from lucidnode.node.bucket.address import BucketAddress, S3Address
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import Unreachable, WrongBucket
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.objects import ObjectBucket
from lucidnode.node.bucket.open_bucket import open_bucket, prepare_bucket
from lucidnode.node.bucket.probe import probe
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import AccessDenied, NodeError, Unavailable

WEB_PAGE = "<html><p>Welcome!<br></html>"


@pytest.fixture(scope="module")
def seaweed() -> Iterator[Seaweed]:
    with running_seaweed() as server:
        yield server


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away whatever credentials and settings the machine of the test has."""
    for name in ("CONFIG_FILE", "SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(f"AWS_{name}", str(tmp_path / name))
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


async def sentence(
    kind: type[NodeError],
    address: BucketAddress,
    credentials: Credentials | None,
    *,
    create: bool = True,
) -> str:
    """Return what a person reads; it is one sentence, and tells no secret."""
    with pytest.raises(NodeError) as refusal:
        await prepare_bucket(
            address, credential_source(credentials, Network()), Network(), create=create
        )
    assert type(refusal.value) is kind
    text = str(refusal.value)
    assert re.fullmatch(r"[A-Z][^\n]*\.", text)
    assert not re.search(r"\. [A-Z]", text)
    assert "secret-0123456789" not in text
    return text


async def test_a_missing_bucket_is_made_for_init_and_found_again(seaweed: Seaweed) -> None:
    address = seaweed.address("made-by-init")
    assert (
        await prepare_bucket(
            address, credential_source(seaweed.owner, Network()), Network(), create=True
        )
        == address
    )
    assert (
        await prepare_bucket(
            address, credential_source(seaweed.owner, Network()), Network(), create=True
        )
        == address
    )
    assert (
        await prepare_bucket(
            address, credential_source(seaweed.owner, Network()), Network(), create=False
        )
        == address
    )
    await probe(
        ObjectBucket(address, credential_source(seaweed.owner, Network()), Network(), SystemClock())
    )


async def test_a_missing_bucket_is_the_wrong_one_for_join(seaweed: Seaweed) -> None:
    text = await sentence(WrongBucket, seaweed.address("nobody"), seaweed.owner, create=False)
    assert text == f"There is no bucket 'nobody' at {seaweed.endpoint}: check its name."


async def test_a_bucket_we_may_not_make_is_the_wrong_one(seaweed: Seaweed) -> None:
    text = await sentence(WrongBucket, seaweed.address("not-ours"), seaweed.guest)
    assert "may not create it" in text


async def test_a_name_the_store_does_not_allow_is_the_wrong_bucket(seaweed: Seaweed) -> None:
    text = await sentence(WrongBucket, seaweed.address("Not_Allowed"), seaweed.owner)
    assert "choose another name" in text


async def test_credentials_are_refused_with_what_is_wrong_with_them(seaweed: Seaweed) -> None:
    await prepare_bucket(
        seaweed.address("there"),
        credential_source(seaweed.owner, Network()),
        Network(),
        create=True,
    )
    stranger = Credentials("AKSTRANGER", "stranger-secret-0123456789")
    mistyped = Credentials(seaweed.owner.access_key, "mistyped-secret-0123456789")
    for credentials, words in [
        (stranger, "the access key is unknown"),
        (mistyped, "the secret does not belong to the access key"),
    ]:
        text = await sentence(AccessDenied, seaweed.address("there"), credentials)
        assert text.startswith(f"The bucket 'there' at {seaweed.endpoint} refuses access: ")
        assert words in text


async def test_rights_that_do_not_suffice_show_in_the_probe(seaweed: Seaweed) -> None:
    address = seaweed.address("readable")
    await prepare_bucket(
        address, credential_source(seaweed.owner, Network()), Network(), create=True
    )
    await prepare_bucket(
        address, credential_source(seaweed.guest, Network()), Network(), create=False
    )
    with pytest.raises(AccessDenied, match="no right to do this"):
        await probe(
            ObjectBucket(
                address, credential_source(seaweed.guest, Network()), Network(), SystemClock()
            )
        )


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "the connection is refused"),
        ("no-such-host.invalid", "its name is not known"),
    ],
)
async def test_an_endpoint_where_nobody_answers_is_unavailable(host: str, why: str) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://{host}:{taken.getsockname()[1]}"
        address = S3Address("bucket", "", endpoint)
        text = await sentence(Unreachable, address, Credentials("AK", "secret"))
    assert text == f"Nobody answers at {endpoint} ({why}): check the endpoint and network."


async def test_https_where_http_is_spoken_says_so(seaweed: Seaweed) -> None:
    endpoint = seaweed.endpoint.replace("http:", "https:")
    text = await sentence(Unreachable, S3Address("bucket", "", endpoint), seaweed.owner)
    assert "http or https" in text


@asynccontextmanager
async def answering(**answers: tuple[int, str]) -> AsyncIterator[S3Address]:
    """Run a server that answers each method with a status and a body, or with 404."""

    async def answer(request: web.BaseRequest) -> web.Response:
        status, body = answers.get(request.method.lower(), (404, WEB_PAGE))
        return web.Response(status=status, text=body)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield S3Address("bucket", "", f"http://{host}:{port}")
    finally:
        await runner.cleanup()


def error(code: str) -> str:
    return f"<Error><Code>{code}</Code></Error>"


@pytest.mark.parametrize(
    ("get", "put"),
    [
        ((404, WEB_PAGE), (405, WEB_PAGE)),
        ((404, WEB_PAGE), (404, WEB_PAGE)),
    ],
)
async def test_a_web_server_that_is_no_store_is_named_so(
    get: tuple[int, str], put: tuple[int, str]
) -> None:
    async with answering(get=get, put=put) as address:
        text = await sentence(WrongBucket, address, Credentials("AK", "secret"))
    assert text == f"What answers at {address.endpoint} is no S3 store: check the endpoint URL."


@pytest.mark.parametrize(
    ("put", "words"),
    [
        ((409, error("BucketAlreadyExists")), "belongs to somebody else"),
        ((400, error("InvalidBucketName")), "choose another name"),
        ((403, error("AccessDenied")), "may not create it"),
        ((400, error("IllegalLocationConstraintException")), "another region"),
    ],
)
async def test_a_bucket_that_cannot_be_made_is_the_wrong_one(
    put: tuple[int, str], words: str
) -> None:
    async with answering(get=(404, error("NoSuchBucket")), put=put) as address:
        assert words in await sentence(WrongBucket, address, Credentials("AK", "secret"))


async def test_a_bucket_made_by_another_init_meanwhile_is_ours() -> None:
    made = 409, error("BucketAlreadyOwnedByYou")
    async with answering(get=(404, error("NoSuchBucket")), put=made) as address:
        await prepare_bucket(
            address,
            credential_source(Credentials("AK", "secret"), Network()),
            Network(),
            create=True,
        )


async def test_a_store_in_trouble_is_unavailable_and_its_bucket_not_wrong() -> None:
    async with answering(get=(503, error("SlowDown"))) as address:
        text = await sentence(Unavailable, address, Credentials("AK", "secret"))
    assert "status 503 SlowDown" in text


async def test_without_any_credentials_it_says_so(seaweed: Seaweed) -> None:
    text = await sentence(AccessDenied, seaweed.address("there"), None)
    assert "no credentials" in text
    bucket = ObjectBucket(
        seaweed.address("there"), credential_source(None, Network()), Network(), SystemClock()
    )
    with pytest.raises(AccessDenied, match="no credentials"):
        await bucket.get("studio")


async def test_credentials_of_the_machine_are_used_and_followed_when_they_rotate(
    seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = seaweed.address("rotating")
    await prepare_bucket(
        address, credential_source(seaweed.owner, Network()), Network(), create=True
    )
    secret = tmp_path / "secret"
    tool = tmp_path / "tool.py"
    tool.write_text(
        "import datetime, json, pathlib\n"
        "end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)\n"
        "print(json.dumps({'Version': 1, 'Expiration': end.isoformat(),\n"
        f"    'AccessKeyId': {seaweed.owner.access_key!r},\n"
        f"    'SecretAccessKey': pathlib.Path({str(secret)!r}).read_text()}}))\n"
    )
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {sys.executable} {tool}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    secret.write_text(seaweed.owner.secret_key)
    assert (
        await prepare_bucket(address, credential_source(None, Network()), Network(), create=False)
        == address
    )
    bucket = open_bucket(
        address,
        credential_source(None, Network()),
        Network(),
        SystemClock(),
        lambda: 0.1,
        lambda request: None,
    )
    await bucket.put("studio", b"one")
    secret.write_text("revoked")
    with pytest.raises(AccessDenied):
        await bucket.put("studio", b"two")
    secret.write_text(seaweed.owner.secret_key)
    assert await bucket.get("studio") == b"one"


async def test_the_environment_does_not_lead_to_another_store(
    seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = seaweed.address("steady")
    for name in ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AWS_BUCKET", "another")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
    assert (
        await prepare_bucket(
            address, credential_source(seaweed.owner, Network()), Network(), create=True
        )
        == address
    )
    bucket = ObjectBucket(
        address, credential_source(seaweed.owner, Network()), Network(), SystemClock()
    )
    await bucket.put("studio", b"here")
    assert await bucket.get("studio") == b"here"


async def test_a_program_for_credentials_that_fails_is_named_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for program in ("/no/such/program", "/bin/echo no JSON", "/bin/false"):
        config.write_text(f"[default]\ncredential_process = {program}\n")
        with pytest.raises(AccessDenied, match="credentials of this machine cannot be had"):
            await credential_source(None, Network())()
