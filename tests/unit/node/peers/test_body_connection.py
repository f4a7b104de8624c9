"""What a peer's body server says, as the asking end hears it: a block, or a lie, or a break."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from office_fixture import until

from lucidnode.node.peers.body_connection import MAX_HEAD_BYTES, BodyConnection
from lucidnode.node.peers.body_connections import BodyConnections
from lucidnode.node.peers.errors import PeerFailed, PeerLied, PeerLost

HEAD = b"HTTP/1.1 200 OK\r\nServer: any\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%X\r\n%b\r\n" % (len(data), data)


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Return *data* in pieces of *sizes*, the last as long as it takes."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in [*pieces, data] if piece]


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[BodyConnection, socket.socket]]:
    """Give a connection, and its far end, which blocks."""
    near, far = socket.socketpair()
    near.setblocking(False)
    connection = BodyConnection(near)
    with far, contextlib.closing(connection):
        yield connection, far


async def heard(connection: BodyConnection, few: int, size: int) -> tuple[bytes, bytes, int]:
    """Ask; return *few* bytes, the *size* bytes after them, and what the counter was told."""
    told: list[int] = []
    await connection.ask("GET", "/b", "Lucid")
    first = await connection.exactly(few)
    return (
        first,
        bytes(await connection.rest(size, lambda piece: told.append(len(piece)))),
        sum(told),
    )


@given(
    st.binary(max_size=300),
    st.lists(st.integers(1, 80), max_size=5),
    st.lists(st.integers(1, 120), max_size=6),
    st.integers(0, 9),
)
def test_a_block_is_the_same_however_it_is_cut_and_the_connection_goes_on(
    body: bytes, chunks: list[int], pieces: list[int], few: int
) -> None:
    said = b"f" * few + body
    answer = HEAD + b"".join(map(chunk, cut(said, chunks))) + END

    async def twice() -> None:
        async with connected() as (connection, far):
            for _ in range(2):
                async with asyncio.TaskGroup() as tasks:
                    asking = tasks.create_task(heard(connection, few, len(body)))
                    for piece in cut(answer, pieces):
                        far.sendall(piece)
                        await asyncio.sleep(0)
                assert asking.result() == (b"f" * few, body, len(body))
                assert connection.reusable
                far.recv(4096)
                assert connection.silent  # a pair of sockets: nothing is on its way

    asyncio.run(twice())


LIES = {
    "another protocol": b"\x16\x03\x01 hello?\r\n\r\n",
    "an older one": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "no status": b"HTTP/1.1 999 \xff\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD_BYTES,
    "a field without name": b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
    "a field twice": HEAD[:-2] + b"Transfer-Encoding: chunked\r\n\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    "no length at all": b"HTTP/1.1 200 OK\r\n\r\n",
    "two lengths": HEAD[:-2] + b"Content-Length: 5\r\n\r\n",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "a body of a refusal": b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello",
    "a chunk without length": HEAD + b"\r\nhello\r\n",
    "a chunk of negative length": HEAD + b"-5\r\nhello\r\n",
    "a chunk with an extension": HEAD + b"5;a=b\r\nhello\r\n",
    "a chunk of nine digits": HEAD + b"000000005\r\nhello\r\n" + END,
    "a chunk longer than it says": HEAD + b"2\r\nhello\r\n" + END,
    "more than was announced": HEAD + chunk(b"hello!") + END,
    "another chunk": HEAD + chunk(b"hello") + chunk(b"!") + END,
    "something after the end": HEAD + chunk(b"hello") + END + b"HTTP/1.1",
    "a trailer": HEAD + chunk(b"hello") + b"0\r\nA: b\r\n\r\n",
}


@pytest.mark.parametrize("said", LIES.values(), ids=LIES.keys())
async def test_what_no_peer_of_ours_says_is_a_lie(said: bytes) -> None:
    async with connected() as (connection, far):
        far.sendall(said)
        with pytest.raises(PeerLied):
            await heard(connection, 0, 5)
        assert not connection.reusable


async def test_an_answer_that_ends_too_soon_is_a_break_wherever_it_is_cut() -> None:
    whole = HEAD + chunk(b"he") + chunk(b"llo") + END
    for end in range(len(whole)):
        async with connected() as (connection, far):
            far.sendall(whole[:end])
            far.shutdown(socket.SHUT_WR)
            with pytest.raises(PeerLost):
                await heard(connection, 0, 5)
            assert not connection.reusable


async def test_an_answer_that_leaves_out_a_part_of_the_block_is_a_break() -> None:
    async with connected() as (connection, far):
        far.sendall(HEAD + chunk(b"hel") + END)
        with pytest.raises(PeerLost):
            await heard(connection, 0, 5)


async def test_a_connection_is_used_again_unless_it_closed_or_spoke_unasked() -> None:
    requests: list[bytes] = []
    taken: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    connections = BodyConnections()
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.closing(connections):
        server.setblocking(False)
        port = server.getsockname()[1]

        async def accept() -> socket.socket:
            taken.append((await loop.sock_accept(server))[0])
            return taken[-1]

        async def ask(far: socket.socket | None) -> tuple[socket.socket, BodyConnection]:
            """Ask once, of the connection to *far* or a new one; return both its ends."""

            async def answer() -> socket.socket:
                end = far or await accept()
                requests.append(await loop.sock_recv(end, 4096))
                await loop.sock_sendall(end, b"HTTP/1.1 204 No Content\r\n\r\n")
                return end

            async with asyncio.TaskGroup() as tasks:
                answering = tasks.create_task(answer())
                async with connections.use("127.0.0.1", port) as connection:
                    assert await connection.ask("GET", "/alive", "Lucid") == 204
            return answering.result(), connection

        first, near = await ask(None)
        assert await ask(first) == (first, near)
        first.close()
        await until(lambda: not near.silent)
        second, near = await ask(None)
        assert second is not first
        second.send(b"H")
        await until(lambda: not near.silent)
        third, _ = await ask(None)
        assert third is not second
        assert len(requests) == 4
    for end in taken:
        end.close()


async def test_what_is_given_back_late_is_closed_with_the_rest() -> None:
    connections = BodyConnections()
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with connections.use("127.0.0.1", server.getsockname()[1]) as connection:
            connection.reusable = True
            connections.close()
        with pytest.raises((OSError, PeerFailed)):
            await connection.ask("GET", "/alive", "Lucid")
