"""A store that is hostile by rules: an HTTP or HTTPS proxy before a real one.

    python -m lab.hostile_proxy --listen HOST:PORT --store HOST:PORT --control SOCKET

It takes one request a connection and knows nothing of S3 but paths, so signatures hold: they cover
the Host that the client asked, which is passed on as it is. Rules come through the control socket
(`lab.hostile_control`) while it runs.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random  # noqa: TID251  # seeded: a run can be repeated
from urllib.parse import parse_qs, unquote, urlsplit

import click

from lab.hostile import (
    Answer,
    ClaimMore,
    Cut,
    Delay,
    Drip,
    Endless,
    Fault,
    Flip,
    FlipSent,
    ForgetRange,
    Hang,
    Hostility,
    Late,
    ListLess,
    ListTwice,
    LoseAnswer,
    Method,
    Oversize,
    Request,
    Stale,
    Swap,
    Twice,
)
from lab.hostile_control import control_socket
from lab.private_ca import authority_in

Decide = Callable[[Request], Fault | None]

MAX_REQUEST = 64 * 1024 * 1024
_REMEMBERED = 8
"""Bodies kept of each folder, to be swapped."""

_FIRSTS = 10_000
"""First answers kept, to be given again when they are stale."""

_PIECE = bytes(64 * 1024)
_CONTENTS = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came. *target* is path and query, headers are as written."""

    verb: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((v for n, v in self.headers if n.lower() == name), None)

    def encode(self) -> bytes:
        """Return the bytes for the store, which closes after its answer."""
        lines = [f"{self.verb} {self.target} HTTP/1.1"]
        lines += [
            f"{name}: {value}"
            for name, value in self.headers
            if name.lower() not in {"connection", "expect"}
        ]
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + self.body

    def as_request(self, client: str) -> Request:
        """Return what a rule sees: the key is what follows the bucket in the path."""
        parts = urlsplit(self.target)
        _, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = parse_qs(parts.query)
        method: Method
        match self.verb:
            case "PUT":
                method = "create" if self.header("if-none-match") else "put"
            case "DELETE":
                method = "delete"
            case _ if not key:
                method, key = "list", query.get("prefix", [""])[0].rstrip("/")
            case _:
                method = "get"
        return Request(client, method, key)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the store, its body whole."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Reply:
        """Read an answer that ended with its connection. Raises ValueError."""
        head, gap, body = raw.partition(b"\r\n\r\n")
        if not gap:
            raise ValueError("the store cut its answer")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = tuple((n.strip(), v.strip()) for n, _, v in (x.partition(":") for x in lines))
        names = {n.lower(): v for n, v in headers}
        if names.get("transfer-encoding", "").lower() == "chunked":
            body = _unchunked(body)
        return cls(int(first.split(" ")[1]), headers, body)

    def head(self, length: int | None) -> bytes:
        """Return the head of an answer with *length* bytes; None says nothing of it."""
        lines = [f"HTTP/1.1 {self.status} Whatever"]
        left_out = {"content-length", "transfer-encoding", "connection"}
        lines += [f"{n}: {v}" for n, v in self.headers if n.lower() not in left_out]
        lines += ["Connection: close"] + ([] if length is None else [f"Content-Length: {length}"])
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def encode(self) -> bytes:
        return self.head(len(self.body)) + self.body


def _unchunked(body: bytes) -> bytes:
    parts, rest = [], body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if length == 0:
            break
        parts.append(rest[:length])
        rest = rest[length + 2 :]
    return b"".join(parts)


class HostileProxy:
    """Plays what *decide* says of each request. `serving` runs it."""

    def __init__(
        self,
        store: tuple[str, int],
        decide: Decide,
        *,
        client_of: Callable[[str], str] = lambda address: address,
    ) -> None:
        """*client_of* names the client at an IP address for the rules."""
        self._store = store
        self._decide = decide
        self._client_of = client_of
        self._connections: set[asyncio.Task[None]] = set()
        self._bodies: dict[str, dict[str, Reply]] = {}
        self._first: dict[tuple[str, str], Reply] = {}
        self._scheme = "http"
        self.requests: deque[Request] = deque(maxlen=100_000)
        """The last requests."""
        self.hurry = asyncio.Event()
        """Set it to have late requests reach the store now."""
        self.landed = asyncio.Event()
        """Set once a late request has been answered by the store."""

    @asynccontextmanager
    async def serving(
        self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[str]:
        """Listen while the context lasts; give the endpoint URL."""
        server = await asyncio.start_server(self._connected, host, port, ssl=tls, limit=1 << 20)
        self._scheme = "https" if tls else "http"
        try:
            port = server.sockets[0].getsockname()[1]
            yield f"{self._scheme}://{host}:{port}"
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            if self._connections:
                await asyncio.wait(self._connections)
            await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        faults = (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, ValueError)
        try:
            with suppress(*faults, asyncio.LimitOverrunError):
                asked = await _read(reader, writer)
                client = self._client_of(writer.get_extra_info("peername")[0])
                await self._play(asked, asked.as_request(client), reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _play(
        self,
        asked: Asked,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.requests.append(request)
        fault = self._decide(request)
        match fault:
            case Answer():
                writer.write(self._instead(asked, fault))
            case Hang():
                await reader.read()  # until the client goes away
            case Late(seconds):
                writer.close()
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self.hurry.wait()
                await self._asked(asked)
                self.landed.set()
            case Endless():
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"%x\r\n%s\r\n" % (len(_PIECE), _PIECE))
                    await writer.drain()
            case Oversize(size):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                for _ in range(0, size, len(_PIECE)):
                    writer.write(_PIECE)
                    await writer.drain()
            case _:
                await self._hand_on(asked, request, fault, writer)
        await writer.drain()

    async def _hand_on(
        self, asked: Asked, request: Request, fault: Fault | None, writer: asyncio.StreamWriter
    ) -> None:
        """Ask the store, and do to its answer what *fault* says."""
        match fault:
            case FlipSent():
                asked = replace(asked, body=_flipped(asked.body))
            case ForgetRange():
                kept = tuple((n, v) for n, v in asked.headers if n.lower() != "range")
                asked = replace(asked, headers=kept)
            case Twice():
                await self._asked(asked)
            case _:
                pass
        first = self._first.get((asked.verb, asked.target))
        if isinstance(fault, Stale) and first is not None:
            writer.write(first.encode())
            return
        reply = await self._asked(asked)
        if len(self._first) < _FIRSTS:
            self._first.setdefault((asked.verb, asked.target), reply)
        folder = self._bodies.setdefault(request.key.rpartition("/")[0], {})
        match fault:
            case LoseAnswer():
                return
            case Cut(keep):
                writer.write(reply.head(len(reply.body)) + reply.body[:keep])
                return
            case Drip(rate):
                writer.write(reply.head(len(reply.body)))
                for byte in reply.body:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(1 / rate)
                return
            case Delay(seconds):
                await asyncio.sleep(seconds)
            case Swap():
                others = [other for key, other in folder.items() if key != request.key]
                reply = others[-1] if others and reply.status == 200 else reply
            case Flip():
                reply = replace(reply, body=_flipped(reply.body))
            case ClaimMore():
                reply = replace(reply, body=reply.body[:-1])
            case ListLess():
                number = iter(range(len(reply.body)))
                cut = _CONTENTS.sub(lambda m: b"" if next(number) % 2 else m[0], reply.body)
                reply = replace(reply, body=cut)
            case ListTwice():
                reply = replace(reply, body=_CONTENTS.sub(lambda m: 2 * m[0], reply.body))
            case _:
                if request.method == "get" and reply.status == 200:
                    folder[request.key] = reply
                    if len(folder) > _REMEMBERED:
                        del folder[next(iter(folder))]
        writer.write(reply.encode())

    def _instead(self, asked: Asked, answer: Answer) -> bytes:
        here = f"{self._scheme}://{asked.header('host')}{asked.target}"
        headers = tuple((name, value.replace("{self}", here)) for name, value in answer.headers)
        return Reply(answer.status, headers, answer.body).encode()

    async def _asked(self, asked: Asked) -> Reply:
        """Return the store's answer; it is asked once, on a connection of its own."""
        reader, writer = await asyncio.open_connection(*self._store)
        try:
            writer.write(asked.encode())
            return Reply.parse(await reader.read())
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked:
    """Return the next request. Raises ValueError for what is none, or is too large."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    verb, target, _ = first.split(" ", 2)
    headers = tuple((n.strip(), v.strip()) for n, _, v in (x.partition(":") for x in lines))
    asked = Asked(verb, target, headers, b"")
    length = int(asked.header("content-length") or 0)
    if length > MAX_REQUEST:
        raise ValueError("larger than anything of ours")
    if (asked.header("expect") or "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return replace(asked, body=await reader.readexactly(length))


def _flipped(body: bytes) -> bytes:
    """Return *body* with one bit of its middle flipped."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :] if body else body


@click.command()
@click.option("--listen", required=True, metavar="HOST:PORT")
@click.option("--store", required=True, metavar="HOST:PORT")
@click.option("--control", required=True, type=click.Path(path_type=Path))
@click.option("--client", "clients", multiple=True, metavar="ADDRESS=NAME")
@click.option("--tls", type=click.Path(path_type=Path), help="A directory of lab.private_ca.")
@click.option("--seed", type=int, default=1)
def main(
    listen: str, store: str, control: Path, clients: tuple[str, ...], tls: Path | None, seed: int
) -> None:
    """Run as a process of its own until it is killed."""
    names = dict(each.split("=", 1) for each in clients)
    hostility = Hostility(Random(seed))

    def decide(request: Request) -> Fault | None:
        rule = hostility.befalls(request)
        return rule.fault if rule else None

    async def serve() -> None:
        proxy = HostileProxy(
            _place(store), decide, client_of=lambda address: names.get(address, address)
        )
        context = None if tls is None else authority_in(tls).server_context()
        host, port = _place(listen)
        async with control_socket(control, hostility), proxy.serving(host, port, context):
            await asyncio.Event().wait()

    asyncio.run(serve())


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    main()
