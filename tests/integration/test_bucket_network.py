"""TLS, proxies and redirects as studios have them, with real servers on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web
from careless_store import CarelessStore
from lab.private_ca import Authority, make_authority

from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import Unreachable, Unsettled, WrongBucket
from lucidnode.node.bucket.network import Network, read_authorities
from lucidnode.node.bucket.objects import ObjectBucket
from lucidnode.node.bucket.prepare import prepare_s3
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import (
    AccessDenied,
    Archived,
    Malformed,
    NodeError,
    Unavailable,
)

KEY = "p/0123/journal/0000000000000001"
KEYS = credential_source(Credentials("AK", "secret"), Network())
Handler = Callable[[web.BaseRequest], Awaitable[web.Response]]


@asynccontextmanager
async def served(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[S3Address]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        scheme = "https" if tls else "http"
        endpoint = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
        yield S3Address("careless", "", endpoint, "us-east-1")
    finally:
        await runner.cleanup()


def bucket_at(address: S3Address, network: Network | None = None) -> ObjectBucket:
    return ObjectBucket(address, KEYS, network or Network(), SystemClock(), answer_s=5)


async def ask_all(bucket: ObjectBucket) -> list[NodeError]:
    """Use every verb; return what each of them raised."""
    errors: list[NodeError] = []
    for call in (
        bucket.get(KEY),
        bucket.get(KEY, (0, 4)),
        bucket.size(KEY),
        bucket.list("p"),
        bucket.put(KEY, b"body"),
        bucket.create(KEY, b"body"),
        bucket.delete(KEY),
    ):
        with pytest.raises(NodeError) as raised:
            await call
        errors.append(raised.value)
    return errors


# -- redirects -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed_whatever_was_asked_for(status: int) -> None:
    visited: list[str] = []

    async def elsewhere(request: web.BaseRequest) -> web.Response:
        visited.append(request.method)
        return web.Response(body=b"page", headers={"ETag": '"x"'})

    async with served(elsewhere) as other:

        async def redirect(_request: web.BaseRequest) -> web.Response:
            return web.Response(status=status, headers={"Location": f"{other.endpoint}/login"})

        async with served(redirect) as address:
            errors = await ask_all(bucket_at(address))
            with pytest.raises(Unavailable, match=r"redirects to 127\.0\.0\.1"):
                await prepare_s3(address, KEYS, Network(), create=True)
    assert visited == []
    assert all(isinstance(error, Unavailable | Unsettled) for error in errors)
    assert all("redirects to 127.0.0.1" in str(error) for error in errors)


async def test_a_redirect_to_itself_is_one_sentence() -> None:
    async def again(request: web.BaseRequest) -> web.Response:
        return web.Response(status=301, headers={"Location": str(request.path)})

    async with served(again) as address:
        with pytest.raises(Unavailable, match="which is not followed: check the endpoint"):
            await prepare_s3(address, KEYS, Network(), create=True)


async def test_a_page_of_a_portal_is_no_answer_of_a_store() -> None:
    async def portal(_request: web.BaseRequest) -> web.Response:
        return web.Response(text="<html>Welcome! Please log in.</html>", content_type="text/html")

    async with served(portal) as address:
        errors = await ask_all(bucket_at(address))
        assert all(isinstance(error, Unavailable | Unsettled) for error in errors)
        with pytest.raises(WrongBucket, match="no S3 store"):
            await prepare_s3(address, KEYS, Network(), create=True)


# -- words ---------------------------------------------------------------------------------------


def saying(status: int, body: str, headers: dict[str, str] | None = None) -> Handler:
    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, text=body, headers=headers)

    return answer


def error(code: str, more: str = "") -> str:
    return f"<Error><Code>{code}</Code>{more}</Error>"


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "ExpiredToken", "the session token has expired .* `lucidnode credentials set`"),
        (403, "InvalidAccessKeyId", "the access key is unknown .* `lucidnode credentials set`"),
        (403, "SignatureDoesNotMatch", "the secret does not belong .* `lucidnode credentials set`"),
        (403, "AccessDenied", "no right to do this"),
        (403, "QuotaExceeded", "is full .* make room"),
        (507, "", "is full"),
        (503, "SlowDown", "too busy"),
        (429, "", "asked too often"),
        (404, "NoSuchBucket", "does not exist"),
        (301, "PermanentRedirect", "is in another region, eu-south-2"),
        (400, "AuthorizationHeaderMalformed", "is in another region, eu-south-2"),
    ],
)
async def test_the_words_are_the_same_at_init_and_ever_after(
    status: int, code: str, words: str
) -> None:
    region = "<Region>eu-south-2</Region>"
    async with served(saying(status, error(code, region) if code else "")) as address:
        with pytest.raises(NodeError, match=words) as ever_after:
            await bucket_at(address).get(KEY)
        if code == "NoSuchBucket":
            return  # at init it is made
        with pytest.raises(NodeError, match=words) as at_init:
            await prepare_s3(address, KEYS, Network(), create=False)
    assert str(at_init.value).split(":")[0] == str(ever_after.value).split(":")[0]


async def test_a_clock_that_is_off_is_told_with_the_difference() -> None:
    class Late(SystemClock):
        def wall_ns(self) -> int:
            return super().wall_ns() - 47 * 60 * 1_000_000_000

    async with served(saying(403, error("RequestTimeTooSkewed"))) as address:
        bucket = ObjectBucket(address, KEYS, Network(), clock=Late())
        with pytest.raises(AccessDenied, match="is 47 minutes behind the store's"):
            await bucket.get(KEY)
    assert bucket.skew_s == pytest.approx(47 * 60, abs=3)


async def test_an_archived_object_is_final_at_once_and_in_words() -> None:
    async with served(saying(403, error("InvalidObjectState"))) as address:
        with pytest.raises(Archived, match="moved an object to an archive: restore it"):
            await bucket_at(address).get(KEY)


async def test_a_region_that_the_store_names_is_taken_from_it() -> None:
    asked: list[str] = []

    async def elsewhere(request: web.BaseRequest) -> web.Response:
        asked.append(request.headers["Authorization"].split("/")[2])
        if asked[-1] != "eu-south-2":
            text = error("AuthorizationHeaderMalformed", "<Region>eu-south-2</Region>")
            return web.Response(status=400, text=text)
        return web.Response(text="<ListBucketResult></ListBucketResult>")

    async with served(elsewhere) as address:
        unknown = replace(address, region=None)
        found = await prepare_s3(unknown, KEYS, Network(), create=False)
    assert found.region == "eu-south-2"
    assert asked == ["us-east-1", "eu-south-2"]


# -- odd bodies ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "status", "headers"),
    [
        (None, 206, {"Content-Range": "bytes 0-3/9"}),
        ((0, 4), 200, {}),
        ((0, 4), 206, {}),
        ((0, 4), 206, {"Content-Range": "bytes 1-4/9"}),
        ((0, 4), 206, {"Content-Range": "bytes 0-4/9"}),
        ((0, 4), 206, {"Content-Range": "bytes 0-3/four"}),
        (None, 200, {"Content-Encoding": "gzip"}),
        (None, 204, {}),
        (None, 200, {"ETag": ""}),
    ],
)
async def test_an_answer_that_is_not_what_was_asked_for_is_no_answer(
    span: tuple[int, int] | None, status: int, headers: dict[str, str]
) -> None:
    async with served(saying(status, "four", {"ETag": '"x"', **headers})) as address:
        with pytest.raises(Unavailable):
            await bucket_at(address).get(KEY, span)


async def test_a_body_that_drips_or_never_ends_costs_its_deadline_and_no_memory() -> None:
    async def drip(request: web.BaseRequest) -> web.Response:
        response = web.StreamResponse(headers={"ETag": '"x"'})
        response.enable_chunked_encoding()
        await response.prepare(request)
        piece = bytes(1 << 20) if request.path.endswith("endless") else b"."
        with suppress(ConnectionError):
            while True:
                await response.write(piece)
                await asyncio.sleep(0 if len(piece) > 1 else 0.05)
        return web.Response()

    async with served(drip) as address:
        bucket = ObjectBucket(address, KEYS, Network(), SystemClock(), answer_s=0.3)
        with pytest.raises(Unavailable, match="does not end"):
            await bucket.get("p/endless")
        with pytest.raises(Unreachable, match="in time"):
            await bucket.list("p")


# -- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca") / "ca", "127.0.0.1", "192.0.2.7")


async def test_a_private_authority_is_trusted_once_it_is_given_and_not_before(
    authority: Authority,
) -> None:
    store = CarelessStore("ignores")
    async with served(store.answer, authority.server_context()) as address:
        for ask in (
            bucket_at(address).get(KEY),
            prepare_s3(address, KEYS, Network(), create=True),
        ):
            with pytest.raises(Unreachable, match=r"not trusted \(.*\): give .* --ca-file"):
                await ask
        ours = Network.of({}, read_authorities(authority.ca_file))
        assert await prepare_s3(address, KEYS, ours, create=True) == address
        bucket = bucket_at(address, ours)
        await bucket.put(KEY, b"over TLS")
        assert await bucket.get(KEY) == b"over TLS"


@pytest.mark.parametrize("is_tls", [False, True])
async def test_without_tls_the_signature_covers_every_body_and_within_it_those_of_logs(
    authority: Authority, *, is_tls: bool
) -> None:
    """And a store gets a checksum of each, by which it sees damage."""
    asked: list[tuple[str, str, bytes]] = []

    async def noting(request: web.BaseRequest) -> web.Response:
        headers = request.headers
        body = await request.read()
        asked.append(
            (headers["x-amz-content-sha256"], headers["x-amz-checksum-crc32"], body),
        )
        return web.Response(headers={"ETag": '"x"'})

    log, block = b"123456789", bytes(65_537)
    async with served(noting, authority.server_context() if is_tls else None) as address:
        bucket = bucket_at(address, Network.of({}, read_authorities(authority.ca_file)))
        await bucket.create(KEY, log)
        await bucket.put(KEY, block)
    assert asked == [
        (hashlib.sha256(log).hexdigest(), "y/Q5Jg==", log),
        ("UNSIGNED-PAYLOAD" if is_tls else hashlib.sha256(block).hexdigest(), "5Q1D8w==", block),
    ]


async def test_tls_and_no_tls_that_meet_are_named(authority: Authority) -> None:
    store = CarelessStore("ignores")
    async with served(store.answer) as plain:
        address = replace(plain, endpoint=str(plain.endpoint).replace("http:", "https:"))
        with pytest.raises(Unreachable, match="check http or https"):
            await bucket_at(address).get(KEY)
    async with served(store.answer, authority.server_context()) as secure:
        address = replace(secure, endpoint=str(secure.endpoint).replace("https:", "http:"))
        with pytest.raises(Unavailable):
            await bucket_at(address).get(KEY)


def test_only_certificates_are_kept_of_a_ca_file(authority: Authority, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(authority.key.read_bytes() + authority.ca_file.read_bytes())
    kept = read_authorities(both)
    assert "PRIVATE" not in kept
    assert kept.count("BEGIN CERTIFICATE") == 1
    with pytest.raises(Malformed, match="holds no certificate"):
        read_authorities(authority.key)


# -- proxies -------------------------------------------------------------------------------------


@dataclass
class SmallProxy:
    """Forwards requests and tunnels, whatever host they name, to *target* on loopback."""

    target: int
    wants_password: bool = False
    asked: list[str] = field(default_factory=list)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.split(b"\r\n")[0].decode())
            if self.wants_password and b"Proxy-Authorization: Basic YWRhOnB3" not in head:
                writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
            else:
                await self._forward(head, reader, writer)
        writer.close()

    async def _forward(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        near, far = await asyncio.open_connection("127.0.0.1", self.target)
        if head.startswith(b"CONNECT "):
            writer.write(b"HTTP/1.1 200 Go\r\n\r\n")
        else:
            far.write(head)
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(reader, far))
            both.create_task(_pump(near, writer))

    @asynccontextmanager
    async def running(self, userinfo: str = "") -> AsyncIterator[str]:
        server = await asyncio.start_server(self.connected, "127.0.0.1", 0)
        try:
            yield f"http://{userinfo}127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


def port_of(address: S3Address) -> int:
    return int(str(address.endpoint).rpartition(":")[2])


async def test_a_proxy_of_the_environment_is_used_for_everything_and_its_refusals_named(
    authority: Authority,
) -> None:
    store = CarelessStore("ignores")
    ca = read_authorities(authority.ca_file)
    async with served(store.answer) as real:
        proxy = SmallProxy(port_of(real))
        async with proxy.running() as url:
            network = Network.of({"HTTP_PROXY": url, "NO_PROXY": "10.0.0.0/8"}, None)
            # A name that nobody but the proxy could look up.
            address = replace(real, endpoint="http://store.studio.invalid")
            assert await prepare_s3(address, KEYS, network, create=True) == address
            bucket = bucket_at(address, network)
            await bucket.put(KEY, b"through")
            assert await bucket.get(KEY) == b"through"
        assert proxy.asked  # one connection, kept: further requests pass unseen
        assert all("http://store.studio.invalid/careless" in line for line in proxy.asked)
    async with served(store.answer, authority.server_context()) as real:
        proxy = SmallProxy(port_of(real), wants_password=True)
        address = replace(real, endpoint="https://192.0.2.7")
        async with proxy.running() as url:
            nobody = bucket_at(address, Network.of({"HTTPS_PROXY": url}, ca))
            with pytest.raises(Unreachable, match="wants a name and a password"):
                await nobody.get(KEY)
        async with proxy.running("ada:pw@") as url:
            named = bucket_at(address, Network.of({"HTTPS_PROXY": url}, ca))
            await named.put(KEY, b"through the tunnel")
            assert await named.get(KEY) == b"through the tunnel"
        assert all(line.startswith("CONNECT 192.0.2.7:443") for line in proxy.asked)
    gone = bucket_at(address, Network.of({"HTTPS_PROXY": url}, ca))
    with pytest.raises(Unreachable, match=r"The proxy 127\.0\.0\.1:.* cannot be reached") as no:
        await gone.get(KEY)
    assert "pw" not in str(no.value)


async def test_certificates_that_cannot_be_read_are_named(authority: Authority) -> None:
    store = CarelessStore("ignores")
    async with served(store.answer, authority.server_context()) as address:
        bucket = bucket_at(address, Network(authorities="no certificate"))
        with pytest.raises(Unreachable, match="give them again with --ca-file"):
            await bucket.get(KEY)
