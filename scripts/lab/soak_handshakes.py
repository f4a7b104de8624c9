"""Whoever reaches the control port, or is dialled: the preamble, TLS and the first message, of every kind.

At both ends it is the daemon's own code, on a pair of sockets in memory instead of one over the LAN. A
stranger has overheard what members said; a member who lies has the LAN key, and so gets as far as TLS.
Nothing but the typed errors may come of any, a stranger gets not one byte, and nobody who has no key
of the roster gets through TLS.
"""

from __future__ import annotations

import asyncio
import random  # noqa: TID251  # seeded: the choices can be repeated, the keys differ
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable

from office_fixture import LAN_KEY, PROJECT

from lab.hostile_messages import HostileSpeech
from lab.soak_peers import keys
from lucidnode.node.client.errors import Malformed
from lucidnode.node.peers import preamble
from lucidnode.node.peers.entrance import admit, enter
from lucidnode.node.peers.errors import PeerFailed
from lucidnode.node.peers.messages import HandshakeRequest, HandshakeResponse, decode, encode

TRIES = 150
"""What one seed tries of each."""


class Scene:
    """An honest node and who wants more of it, and all that the latter may have overheard."""

    def __init__(self, chance: random.Random) -> None:
        honest, hostile = keys()
        self.chance = chance
        self.speech = HostileSpeech(chance, [PROJECT])
        self.serving = honest.server_context([hostile.certificate])
        self.dialling = honest.client_context([hostile.certificate])
        self.stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.stranger.check_hostname = False
        self.stranger.verify_mode = ssl.CERT_NONE
        self.overheard = preamble.opening(LAN_KEY, chance.randbytes(preamble.NONCE_BYTES))
        self.hello = _flight(self.stranger.wrap_bio)

    def spoiled(self, sound: bytes) -> bytes:
        """Return *sound* with a few bytes other, fewer or more, or as it is now and then."""
        chance, raw = self.chance, bytearray(sound)
        for _ in range(chance.choice([0, 1, 1, 2, 8])):
            at = chance.randrange(len(raw) + 1)
            match chance.choice(["bit", "byte", "cut", "more", "swap"]):
                case "bit" if at < len(raw):
                    raw[at] ^= 1 << chance.randrange(8)
                case "byte" if at < len(raw):
                    raw[at] = chance.choice([0, 1, 22, 0x7F, 0x80, 0xFF])
                case "cut":
                    del raw[at:]
                case "swap":
                    raw[at:] = chance.randbytes(len(raw) - at)
                case _:
                    raw[at:at] = chance.randbytes(chance.choice([1, 2, 32, 5000]))
        return bytes(raw)

    async def stranger_dials(self) -> str:
        """Say what somebody without the LAN key can, who has overheard a member."""
        said = self.spoiled(self.chance.choice([self.overheard, self.hello, self.overheard[:40]]))
        said += self.chance.choice([b"", bytes(32) + self.hello, self.spoiled(self.hello)])
        ours, theirs = _pair()
        with ours, theirs:
            theirs.send(said)
            theirs.shutdown(socket.SHUT_WR)
            try:
                await admit(ours, LAN_KEY, self.serving)
            except PeerFailed as error:
                heard = _heard(theirs)
                repeats = said.startswith(self.overheard)
                assert len(heard) == (preamble.OPENING_BYTES if repeats else 0), heard
                return type(error).__name__
            raise AssertionError("a stranger got as far as TLS")

    async def member_dials(self) -> str:
        """Begin TLS with the LAN key alone, and anything for a ClientHello and its MAC."""
        ours, theirs = _pair()
        with ours, theirs:
            nonce = self.chance.randbytes(preamble.NONCE_BYTES)
            theirs.send(preamble.opening(LAN_KEY, nonce))
            admitting = asyncio.ensure_future(admit(ours, LAN_KEY, self.serving))
            answer = await asyncio.get_running_loop().sock_recv(theirs, preamble.OPENING_BYTES)
            listener = preamble.answered(LAN_KEY, nonce, answer)
            assert listener is not None
            hello = self.spoiled(self.hello)
            mac = preamble.vouched(LAN_KEY, nonce, listener, hello)
            theirs.send(self.chance.choice([mac, mac, mac, self.spoiled(mac)]) + hello)
            theirs.shutdown(socket.SHUT_WR)
            try:
                context = await admitting
            except PeerFailed as error:
                return type(error).__name__
            return _tls(context, b"", server_side=True)

    async def member_answers(self) -> str:
        """Be dialled, and say anything in the place of the preamble and of TLS's answer."""
        ours, theirs = _pair()
        with ours, theirs:
            entering = asyncio.ensure_future(enter(ours, LAN_KEY, self.dialling))
            opening = await asyncio.get_running_loop().sock_recv(theirs, preamble.OPENING_BYTES)
            nonce = preamble.opened(LAN_KEY, opening)
            assert nonce is not None
            answer = preamble.answer(LAN_KEY, nonce, self.chance.randbytes(preamble.NONCE_BYTES))
            theirs.send(self.chance.choice([answer, self.spoiled(answer)]))
            theirs.shutdown(socket.SHUT_WR)
            try:
                context = await entering
            except PeerFailed as error:
                return type(error).__name__
            return _tls(context, self.spoiled(self.hello), server_side=False)

    async def first_message(self) -> str:
        """Say something like the first message of a link, or its answer."""
        speech = self.speech
        sound = speech.hello() if self.chance.random() < 0.5 else speech.welcome()
        try:
            message = decode(self.spoiled(encode(sound)))
        except Malformed:
            return "Malformed"
        assert isinstance(message, HandshakeRequest | HandshakeResponse)
        return "read"


def _pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    for one in (ours, theirs):
        one.setblocking(False)
    return ours, theirs


def _heard(theirs: socket.socket) -> bytes:
    try:
        return theirs.recv(65536)
    except BlockingIOError:
        return b""


def _flight(wrap: Callable[[ssl.MemoryBIO, ssl.MemoryBIO], ssl.SSLObject]) -> bytes:
    """Return the ClientHello of a TLS that begins."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        wrap(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without an answer")


def _tls(context: ssl.SSLContext, said: bytes, *, server_side: bool) -> str:
    """Return what becomes of a TLS in which *said* is all that comes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=server_side)
    incoming.write(said)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return "TLS waits"
    except ssl.SSLError:
        return "TLS refused"
    raise AssertionError("TLS with nobody")


async def _run(scene: Scene, happened: Counter[str]) -> None:
    kinds: dict[str, Callable[[], Awaitable[str]]] = {
        "stranger dials": scene.stranger_dials,
        "member dials": scene.member_dials,
        "member answers": scene.member_answers,
        "first message": scene.first_message,
    }
    for name, attempt in kinds.items():
        for _ in range(TRIES):
            happened[f"{name}: {await attempt()}"] += 1


def run_seed(seed: int) -> Counter[str]:
    """Try TRIES of each kind; return what became of them."""
    happened = Counter[str]()
    asyncio.run(_run(Scene(random.Random(seed)), happened))
    return happened
