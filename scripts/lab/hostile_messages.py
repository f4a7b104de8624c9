"""What a hostile peer may say: messages, frames, requests and answers at, over and beside every bound."""

from __future__ import annotations

import random  # noqa: TID251  # seeded by the caller
from typing import Any

import msgspec

from lucidnode.discovery.advert import Advert, encode
from lucidnode.node.peers import frames
from lucidnode.node.peers.messages import (
    MAX_CLAIMS,
    MAX_MESSAGE_BYTES,
    MAX_PROJECTS,
    MAX_WORD_BYTES,
    PROTOCOL,
    HandshakeRequest,
    HandshakeResponse,
    Heads,
    Message,
    MountWord,
    PeerSummary,
    PeerTotals,
    Push,
)

NUMBERS = [-(2**63), -1, 0, 1, 2, 7, 65535, 65536, 2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**64 - 1]
ODD: list[Any] = [None, True, 0.5, float("nan"), "", "x", b"", b"x", [], {}, [[]], {"a": 1}, {1: 2}]
TEXTS = [
    "",
    "x",
    "\x1b[31m",
    "\u202ex",
    "é" * 32,
    "n" * 64,
    "n" * 65,
    "hello",
    "0f" * 16,
    "0F" * 16,
]
HEADERS = [
    b"\xdf\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\x91" * 5000,
    b"\x81\xa1a" * 3000,
    b"\xc1",
    b"\xc7\xff\xff",
]


class HostileSpeech:
    """Says things by *chance*. *projects* are some that the listener knows."""

    def __init__(self, chance: random.Random, projects: list[str]) -> None:
        self.chance = chance
        self.projects = projects

    # -- messages of the control channel -----------------------------------------------------

    def message(self) -> bytes:
        """Return the bytes of a message: half of them in form, the others not quite."""
        kind = self.chance.choices(["sound", "field", "shape", "bytes"], [10, 6, 2, 2])[0]
        sound = self.sound()
        if kind == "sound":
            return msgspec.msgpack.encode(sound)
        if kind == "bytes":
            return self._bytes(msgspec.msgpack.encode(sound))
        fields: dict[Any, Any] = msgspec.to_builtins(sound, builtin_types=(bytes,), str_keys=False)
        if kind == "field":
            fields[self.chance.choice(list(fields))] = self._value()
        else:
            match self.chance.choice(["less", "more", "list", "tag", "twice"]):
                case "less":
                    del fields[self.chance.choice(list(fields))]
                case "more":
                    fields[self.chance.choice(["x", 1, None, b"type"])] = self._value()
                case "list":
                    return msgspec.msgpack.encode([*fields.values()])
                case "tag":
                    fields["type"] = self.chance.choice(
                        ["welcome", "push", "heads", "word", "no", 1, b"x"]
                    )
                case _:
                    packed = msgspec.msgpack.encode(fields)
                    return bytes([packed[0] + 1]) + packed[1:] + b"\xa4type\xa4push"
        return msgspec.msgpack.encode(fields)

    def sound(self) -> Message:
        """Return a message in form, its numbers anywhere within their bounds."""
        chance = self.chance
        match chance.choice(["push", "heads", "totals", "summary", "word", "hello", "welcome"]):
            case "push":
                return Push(self._project(), self._seq())
            case "heads":
                count = chance.choice([0, 1, 3, MAX_PROJECTS])
                heads = {
                    self._project() if n < 3 else f"{n:032x}": self._claims() for n in range(count)
                }
                roster = chance.choice([None, (self._seq(), chance.randbytes(32))])
                return Heads(heads, roster)
            case "word":
                size = chance.choice([1, 36, 68, 324, MAX_WORD_BYTES])
                return MountWord(self._project(), chance.randbytes(size))
            case "totals":
                names = [*TEXTS[:-3], "read_peer", "downloaded", "wasted"]
                return PeerTotals(
                    {name: chance.choice(NUMBERS) for name in names if len(name) <= 64}
                )
            case "summary":
                return self.summary()
            case "hello":
                return self.hello()
            case _:
                return self.welcome()

    def summary(self) -> PeerSummary:
        """Return a summary in form, its figures anywhere within their bounds."""
        most, chance = 2**63 - 1, self.chance
        return PeerSummary(
            version=chance.choice(["0.1.0", "9" * 32]),
            up_s=chance.choice([0, 2**40]),
            cache_bytes=chance.choice([0, most]),
            cache_limit=chance.choice([0, most]),
            disk_free=chance.choice([0, most]),
            waiting_bytes=chance.choice([0, most]),
            waiting_s=chance.choice([0, 2**40]),
            drives=chance.choice([0, 100_000]),
            alerts={f"topic-{n}": chance.choice([0, 2**40]) for n in range(chance.choice([0, 16]))},
            sources={f"{n:032x}": chance.choice([0, most]) for n in range(chance.choice([0, 64]))},
        )

    def hello(self) -> HandshakeRequest:
        """Return a Hello in form, of our protocol."""
        return HandshakeRequest(
            PROTOCOL, self.chance.randbytes(16), self._port(), self.chance.choice([1, 64])
        )

    def welcome(self, body_port: int | None = None) -> HandshakeResponse:
        """Return a Welcome in form, of our protocol."""
        return HandshakeResponse(
            PROTOCOL,
            self.chance.randbytes(16),
            self.chance.choice([1, 64]),
            body_port or self._port(),
            self.chance.randbytes(16),
            self.chance.randbytes(32),
        )

    def _claims(self) -> list[tuple[int, bytes]]:
        count = self.chance.choice([1, 2, MAX_CLAIMS])
        return [(self._seq(), self.chance.randbytes(32)) for _ in range(count)]

    def _project(self) -> str:
        return self.chance.choice([*self.projects, "ab" * 16])

    def _seq(self) -> int:
        return self.chance.choice([1, 2, 3, 17, 18, 2**40, 2**53 - 1])

    def _port(self) -> int:
        return self.chance.choice([1, 9, 65535])

    def _value(self) -> Any:
        chance = self.chance
        match chance.randrange(8):
            case 0:
                return chance.choice(NUMBERS)
            case 1:
                return chance.choice(TEXTS)
            case 2:
                return chance.randbytes(chance.choice([0, 15, 16, 17, 31, 32, 33, 5000]))
            case 3:
                return {self._project(): [] for _ in range(2)}
            case 4:
                return {self._project(): self._claims() * chance.choice([1, MAX_CLAIMS])}
            case 5:
                return {self._project(): [(chance.choice(NUMBERS), b"h" * 32)]}
            case 6:
                return {f"{n:032x}": [(1, b"h" * 32)] for n in range(MAX_PROJECTS + 1)}
            case _:
                return chance.choice(ODD)

    def _bytes(self, raw: bytes) -> bytes:
        chance, changed = self.chance, bytearray(raw)
        match chance.choice(["header", "cut", "flip", "more", "noise"]):
            case "header":
                return chance.choice(HEADERS)
            case "cut":
                return raw[: chance.randrange(len(raw))]
            case "flip":
                for _ in range(chance.choice([1, 1, 4])):
                    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
                return bytes(changed)
            case "more":
                return raw + chance.choice([b"\xc0", raw, chance.randbytes(9)])
            case _:
                return chance.randbytes(chance.choice([0, 1, 100, 5000]))

    # -- frames of the WebSocket around them -------------------------------------------------

    def frames(self, message: bytes, *, masked: bool) -> bytes:
        """Return *message* as the other end of a WebSocket sends it, or nearly so."""
        chance = self.chance
        match chance.choices(
            ["whole", "parts", "control", "text", "odd", "length", "large", "noise"],
            [30, 3, 2, 1, 2, 1, 0.3, 1],
        )[0]:
            case "whole":
                return frame(2, message, masked=masked)
            case "parts":
                at = len(message) // 2
                first = frame(2, message[:at], fin=False, masked=masked)
                middle = frame(9, b"between", masked=masked) if chance.random() < 0.5 else b""
                return first + middle + frame(0, message[at:], masked=masked)
            case "control":
                code = chance.choice([b"", b"\x03", b"\x03\xe8", b"\x00\x00", b"\xff\xff\xff\xfe"])
                return frame(chance.choice([8, 9, 10]), code, masked=masked)
            case "text":
                return frame(1, chance.choice([message, b"hello", b"\xff\xfe"]), masked=masked)
            case "odd":
                return frame(
                    chance.randrange(16),
                    message[:200],
                    fin=chance.random() < 0.5,
                    reserved=chance.choice([0, 0x40, 0x10, 0x70]),
                    masked=chance.random() < 0.5,
                )
            case "length":
                return bytes([0x82, 0xFF if masked else 0x7F]) + b"\xff" * 8 + message[:50]
            case "large":
                return frame(2, bytes(MAX_MESSAGE_BYTES + 1), masked=masked)
            case _:
                return chance.randbytes(chance.choice([1, 2, 14, 500]))

    # -- requests for bodies, and answers ----------------------------------------------------

    def request(self, authorisation: str, path: str) -> bytes:
        """Return an HTTP request: *path*, authorised, or something like it."""
        chance = self.chance
        line = chance.choice([f"GET {path} HTTP/1.1"] * 40 + _REQUEST_LINES)
        head = [line, "Host: x", f"Authorization: {chance.choice([authorisation] * 20 + _CODES)}"]
        head += chance.sample(_HEADERS, chance.choice([0, 0, 1, 3]))
        raw = "\r\n".join([*head, "", ""]).encode("latin-1", "replace")
        if chance.random() < 0.1:
            raw = self._bytes(raw)
        return raw + chance.choice([b"", b"", b"5\r\nhello\r\n0\r\n\r\n", chance.randbytes(300)])

    def answer(self, ciphertext: bytes) -> bytes:
        """Return an HTTP answer to a request for a block: *ciphertext*, or anything else."""
        chance = self.chance
        line = chance.choice(["HTTP/1.1 200 OK"] * 40 + _STATUS_LINES)
        head = [
            line,
            "Transfer-Encoding: chunked",
            *chance.sample(_HEADERS, chance.choice([0, 0, 0, 0, 1, 2])),
            "Connection: close",
        ]
        raw = "\r\n".join([*head, "", ""]).encode("latin-1", "replace")
        raw += self._chunks(self._frames(ciphertext))
        return self._bytes(raw) if chance.random() < 0.1 else raw

    def _chunks(self, said: bytes) -> bytes:
        """Return *said* cut into the chunks of an answer, or nearly so."""
        chance, raw = self.chance, b""
        while said:
            size = chance.choice([1, 5, len(said), len(said)])
            raw += b"%x\r\n%b\r\n" % (len(said[:size]), said[:size])
            said = said[size:]
        return raw + chance.choice([b"0\r\n\r\n"] * 20 + [b"", b"0\r\n", b"0\r\nA: b\r\n\r\n"])

    def _frames(self, ciphertext: bytes) -> bytes:
        chance = self.chance
        raw = frames.PROGRESS * chance.choice([0, 1, 1, 3])
        sizes = [len(ciphertext)] * 20 + [0, 1, len(ciphertext) + 1, 2**24, 2**32 - 1]
        body = chance.choice(
            [ciphertext] * 12 + [b"", ciphertext[:-1], ciphertext + b"x", bytes(9)]
        )
        match chance.choices(["held", "absent", "failed", "other", "stills"], [8, 1, 1, 1, 0.5])[0]:
            case "held":
                return raw + frames.FOUND + chance.choice(sizes).to_bytes(4) + body
            case "absent":
                return raw + frames.NOT_FOUND
            case "failed":
                return raw + frames.FAILED
            case "other":
                return raw + chance.randbytes(20)
            case _:
                return raw + frames.PROGRESS * (frames.MAX_PROGRESS_FRAMES + 5)

    # -- announcements -----------------------------------------------------------------------

    def announcement(self, lan_key: bytes, instance: str) -> dict[bytes, bytes | None]:
        """Return a text record of mDNS, a member's or nearly so."""
        chance = self.chance
        advert = Advert(f"{chance.getrandbits(128):032x}", self._port(), 1)
        txt: dict[bytes, bytes | None] = {
            key.encode(): value.encode()
            for key, value in encode(advert, lan_key, instance, ["192.0.2.7", "fe80::1"]).items()
        }
        for _ in range(chance.choice([0, 1, 2])):
            key = chance.choice([*txt, b"", b"x", b"\xff"])
            txt[key] = chance.choice([None, b"", b"\xff" * 300, b"1", chance.randbytes(32)])
        return txt


def frame(
    opcode: int, payload: bytes, *, fin: bool = True, reserved: int = 0, masked: bool
) -> bytes:
    """Return a frame of RFC 6455; masked ones have a mask of zeros, so that they stay readable."""
    size = len(payload)
    mark = 0x80 if masked else 0
    if size < 126:
        length = bytes([mark | size])
    elif size < 2**16:
        length = bytes([mark | 126]) + size.to_bytes(2)
    else:
        length = bytes([mark | 127]) + size.to_bytes(8)
    first = (0x80 if fin else 0) | reserved | opcode
    return bytes([first]) + length + (bytes(4) if masked else b"") + payload


_REQUEST_LINES = [
    "GET / HTTP/1.1",
    "GET /b/ HTTP/1.1",
    "PUT /b/x HTTP/1.1",
    "GET http://elsewhere/alive HTTP/1.1",
    "GET /alive HTTP/9.9",
    "\x00\x01\x02",
    "OPTIONS * HTTP/1.1",
    "GET /" + "x" * 3000 + " HTTP/1.1",
    "CONNECT x:1 HTTP/1.1",
]
_CODES = ["", "Lucid", "Lucid " + "0" * 32 + " 1 " + "0" * 64, "x" * 3000, "Basic eDp5", "\xff\xfe"]
_HEADERS = [
    "Content-Length: 5",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Content-Encoding: gzip",
    "Content-Encoding: br",
    "Expect: 100-continue",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Cookie: " + "a=b;" * 300,
    "Location: http://192.0.2.1/",
    "X-\x01: y",
    "Content-Type: multipart/form-data",
    ": nameless",
    "X: " + "y" * 9000,
]
_STATUS_LINES = [
    "HTTP/1.1 404 Not Found",
    "HTTP/1.1 302 Found",
    "HTTP/1.1 100 Continue",
    "HTTP/1.1 101 Switching Protocols",
    "HTTP/1.1 999 \xff",
    "HTTP/1.1 -1 x",
    "HTTP/0.9 200",
    "ICY 200 OK",
    "\x16\x03\x01",
]
