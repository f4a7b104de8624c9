"""Long bodies go from the connection into one buffer; what comes behind them meets aiohttp."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvloop
from blake3 import blake3
from lab.private_ca import make_authority
from raw_store import CLOSE, RawStore, answer, bucket_at

from lucidnode.node.bucket import http, straight
from lucidnode.node.bucket.body_time import still_coming
from lucidnode.node.bucket.errors import Unreachable
from lucidnode.node.bucket.network import Network
from lucidnode.node.client.errors import Unavailable

BLOCK = f"p/{'0f' * 16}/block/ab/{'ab' * 32}"
ENTRY = f"p/{'0f' * 16}/journal/0000000000000001"
ETAG = 'ETag: "9a0364b9"'
BODY = secrets.token_bytes(3 * 1024 * 1024)

Run = Callable[[Awaitable[None]], None]


def whole(body: bytes) -> bytes:
    return answer("200", body, ETAG)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a test in the loop that the daemon has, and in Python's own."""
    return uvloop.run if request.param == "uvloop" else asyncio.run  # type: ignore[return-value]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the length of whatever comes to aiohttp."""
    lengths: list[int] = []
    received = straight.Handler.data_received

    def counted(handler: straight.Handler, data: bytes) -> None:
        lengths.append(len(data))
        received(handler, data)

    monkeypatch.setattr(straight.Handler, "data_received", counted)
    return lengths


def test_of_a_block_aiohttp_gets_the_head_and_of_anything_else_all(
    run: Run, parsed: list[int]
) -> None:
    async def asked() -> None:
        store = RawStore([whole(BODY)])
        async with store.serving() as endpoint:
            bucket = bucket_at(endpoint)
            for _ in range(3):
                parsed.clear()
                assert await bucket.block(BLOCK) == (BODY, blake3(BODY).digest())
                assert sum(parsed) <= 4096
                parsed.clear()
                assert await bucket.get(BLOCK) == BODY
                assert sum(parsed) > len(BODY)
        assert store.connections == 1

    run(asked())


def test_with_an_aiohttp_that_keeps_its_bodies_elsewhere_all_goes_through_it(
    run: Run, parsed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(straight.Handler, "tells_of_bodies", False)

    async def asked() -> None:
        store = RawStore([whole(BODY)])
        async with store.serving() as endpoint:
            found = await bucket_at(endpoint).block(BLOCK)
        assert found == (BODY, blake3(BODY).digest())
        assert sum(parsed) > len(BODY)

    run(asked())


def test_a_body_in_pieces_is_hashed_in_order(run: Run) -> None:
    async def asked() -> None:
        raw = whole(BODY)
        cuts = [0, 20, 90, 4096, 70_000, 1_000_000, len(raw) - 1, len(raw)]
        steps: list[Any] = []
        for start, stop in pairwise(cuts):
            steps += [raw[start:stop], 0.01]
        store = RawStore(steps)
        async with store.serving() as endpoint:
            bucket = bucket_at(endpoint)
            assert await bucket.block(BLOCK) == (BODY, blake3(BODY).digest())
            assert await bucket.get(BLOCK) == BODY
        assert store.connections == 1

    run(asked())


@pytest.mark.parametrize(
    "unasked",
    [
        whole(b"evil"),
        b"HTTP/1.1 408 Request Timeout\r\n\r\n",
        b"x",
        b"HTTP/1.1 200 OK\r\n",
        b"\r\n",
    ],
)
def test_what_comes_behind_a_body_is_no_answer_to_what_is_asked_next(
    run: Run, unasked: bytes
) -> None:
    async def asked() -> None:
        store = RawStore([whole(b"next")])
        store.scripts.append([whole(BODY) + unasked])
        store.scripts.append([whole(BODY), 0.02, unasked])
        async with store.serving() as endpoint:
            bucket = bucket_at(endpoint)
            for number in range(2):
                assert (await bucket.block(BLOCK)).body == BODY
                await store.has_answered(number + 1)
            assert await bucket.get(ENTRY) == b"next"
        assert store.came_on == [1, 2, 3], "who speaks unasked is asked nothing more"

    run(asked())


def test_a_body_that_is_cut_is_none(run: Run) -> None:
    async def asked() -> None:
        store = RawStore([whole(b"next")])
        for cut in (100, 5000, 200_000, len(whole(BODY)) - 1):
            store.scripts.append([whole(BODY)[:cut], 0.01, CLOSE])
        async with store.serving() as endpoint:
            bucket = bucket_at(endpoint)
            for _ in range(4):
                with pytest.raises(Unavailable, match="cut"):
                    await bucket.block(BLOCK)
            assert await bucket.get(ENTRY) == b"next"

    run(asked())


@pytest.mark.parametrize("come", [100, 200_000])
def test_a_connection_on_which_nothing_more_comes_is_dead_however_long_the_body(
    run: Run, come: int
) -> None:
    """A network that went away does not say so; the time of three MiB would be a minute and a half."""

    async def asked() -> None:
        store = RawStore([whole(BODY)])
        for _ in range(2):
            store.scripts.append([whole(BODY)[:come], 60.0])
        async with store.serving() as endpoint, asyncio.timeout(25):
            bucket = bucket_at(endpoint, answer_s=0.2)
            for verb in (bucket.block, bucket.get):
                with pytest.raises(Unreachable, match="in time"):
                    await verb(BLOCK)

    run(asked())


def test_a_connection_that_acknowledges_nothing_of_a_body_is_given_up_by_the_kernel(
    run: Run,
) -> None:
    async def asked() -> None:
        store = RawStore([whole(b"")])
        async with store.serving() as endpoint:
            await bucket_at(endpoint).put(BLOCK, BODY)
            session, _ = http._pools[asyncio.get_running_loop()]
            assert session.connector is not None
            [[(idle, _)]] = session.connector._conns.values()
            assert idle.transport is not None
            used = idle.transport.get_extra_info("socket")
            assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000

    run(asked())


async def test_a_body_is_waited_for_as_long_as_it_comes_and_no_longer_than_its_bytes_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Limit:
        at = 0.0
        is_over = False

        def expired(self) -> bool:
            return self.is_over

        def reschedule(self, when: float) -> None:
            self.at = when

    now, limit = [100.0], Limit()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
    for size, ends in ((65_536, [105.0, 106.0, 107.0]), (None, [105.0, 105.5, 107.0])):
        now[0] = 100.0
        came = still_coming(limit, size, 5.0)  # type: ignore[arg-type]
        at = [limit.at]
        for seconds, count in ((1.0, 16_384), (4.0, 65_536)):
            now[0] = 100.0 + seconds
            came(count)
            at.append(limit.at)
        assert at == ends
        limit.is_over = True
        now[0] = 200.0
        came(65_536)
        assert limit.at == ends[-1], "it may be ending in this moment"
        limit.is_over = False


def test_a_block_that_is_given_up_midway_takes_its_connection_along(run: Run) -> None:
    async def asked() -> None:
        store = RawStore([whole(b"next")])
        store.scripts.append([whole(BODY)[:200_000], 0.2, whole(BODY)[200_000:]])
        async with store.serving() as endpoint:
            bucket = bucket_at(endpoint)
            await store.gives_up_midway(bucket.block(BLOCK))
            assert await bucket.get(ENTRY) == b"next"
        assert store.connections == 2

    run(asked())


def test_within_tls_it_is_the_same(run: Run, parsed: list[int], tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "authority", "127.0.0.1")
    network = Network(authorities=authority.ca_file.read_text())

    async def asked() -> None:
        store = RawStore([whole(BODY)])
        async with store.serving(tls=authority.server_context()) as endpoint:
            bucket = bucket_at(endpoint, network=network)
            for _ in range(2):
                parsed.clear()
                assert await bucket.block(BLOCK) == (BODY, blake3(BODY).digest())
                assert sum(parsed) <= 4096
                assert await bucket.get(BLOCK) == BODY
        assert store.connections == 1

    run(asked())
