"""Whoever has a ticket, or an owner's keys, and wants more: tickets, offers, requests and answers of every kind.

Bytes are damaged as they lie in the bucket, and before they are sealed with the right keys. Nothing but
the typed errors may come of any, names that are shown are one visible line, and only what was made
for this invitation of this studio opens.
"""

from __future__ import annotations

import random  # noqa: TID251  # seeded: the choices can be repeated, the keys differ
from collections import Counter
from collections.abc import Callable

import msgspec
from blake3 import blake3
from studio_fixture import EXPIRES, NOW, Studio

from lucidnode.fs.errors import FormatError, MembershipError, SealDamaged
from lucidnode.fs.format import sodium
from lucidnode.fs.format.padding import padded
from lucidnode.fs.membership import passphrase_seal, ticket_text
from lucidnode.fs.membership.asking import (
    Offer,
    Offered,
    confirmation_words,
    ident_of,
    new_ask_key,
    open_answer,
    open_offer,
    open_request,
    seal_answer,
    seal_offer,
    seal_request,
)
from lucidnode.fs.membership.asking_ticket import (
    MAGIC,
    AskingTicket,
    check_asking,
    only_asks,
    open_asking,
)
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.ticket import Ticket

TRIES = 150
"""What one seed tries of each."""

_CHEAP = sodium.PassphraseCost(passes=1, kibibytes=8)
_CODE = "7Q2K-M0XD-1FTA-R4WE"
_NAMES = ["", " ", "Bo", "a/b", "\x1b[31m", "\u202ex", "n" * 5000, "é" * 200, "x\ny", "\0"]
_EDGES = [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, b"", bytes(31), bytes(33)]
_PADDING_BYTES = 64


class Scene:
    """A studio with one open invitation, and all keys that anybody in it has."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.studio, self.invite = Studio(), MemberKeys.new()
        self.view = self.studio.view(self.studio.ada)
        self.ident, self.ask_key = ident_of(self.invite.public), new_ask_key()
        self.secret = sodium.random_bytes(32)
        self.box = sodium.box_public(self.secret)
        ada = self.studio.ada
        self.ticket = Ticket(
            bucket="s3://footage/studio",
            endpoint=None,
            region=None,
            credentials={"access_key": "AK", "secret_key": "SK"},
            studio=ada.studio,
            genesis=ada.genesis,
            lan_key=b"l" * 32,
            name_key=ada.name_key,
            invite=self.invite,
            expires_ns=EXPIRES,
            suggested_name="Bo",
        )
        self.offered = Offered(self.ask_key, self.ticket)
        self.request = seal_request(self.ident, self.ask_key, self.box, Label("Bo", "edit-2"))

    def spoiled(self, raw: bytes) -> bytes:
        """Return *raw* cut, grown, or with some bytes changed; now and then as it is."""
        changed = bytearray(raw)
        match self.chance.randrange(6):
            case 0:
                del changed[self.chance.randrange(len(changed)) :]
            case 1:
                changed += self.chance.randbytes(self.chance.randrange(1, 70))
            case 2:
                return raw
            case _:
                for _ in range(self.chance.randrange(1, 4)):
                    changed[self.chance.randrange(len(changed))] = self.chance.randrange(256)
        return bytes(changed)

    # -- each returns whether it opened ------------------------------------------------------

    def try_ticket(self) -> bool:
        asking = AskingTicket(
            bucket="s3://footage/studio",
            studio=self.ticket.studio,
            genesis=self.ticket.genesis,
            invitation=self.ident,
            ask_key=self.ask_key,
            request_url="https://s3.example/a?b",
            answer_url="https://s3.example/c?d",
            expires_ns=EXPIRES,
            host=self.chance.choice(_NAMES),
        )
        contents = self.spoiled(msgspec.msgpack.encode(asking))
        code = _CODE.replace("-", "")
        text = ticket_text.written(passphrase_seal.seal(MAGIC, code, contents, _CHEAP))
        if self.chance.random() < 0.5:
            letters = list(text)
            letters[self.chance.randrange(len(letters))] = self.chance.choice("a2 \n1é“\udc80\0")
            text = "".join(letters)
        only_asks(text)
        check_asking(text)
        opened = open_asking(text, _CODE, NOW)
        assert len(opened.invitation) == 16
        assert len(opened.ask_key) == 32
        return True

    def try_offer(self) -> bool:
        raw = seal_offer(self.view, self.offered, [self.view.me])
        if self.chance.random() < 0.5:
            raw = self.spoiled(raw)
        else:  # by an owner, who has all keys and may write what he likes
            raw = self._owners_offer(self.spoiled(self._offered()))
        opened = open_offer(raw, self.ident, self.view)
        assert opened.ticket.genesis == self.studio.ada.genesis
        assert ident_of(opened.ticket.invite.public) == self.ident
        return True

    def try_request(self) -> bool:
        if self.chance.random() < 0.4:
            raw = self.spoiled(self.request)
        else:  # by whoever has the ticket
            body = {
                "box": self.chance.choice([self.box, *_EDGES]),
                "member": self.chance.choice(_NAMES),
                "device": self.chance.choice(_NAMES),
            }
            raw = self._sealed(
                "request to join", b"LNQ1", self.spoiled(msgspec.msgpack.encode(body))
            )
        asked = open_request(raw, self.ident, self.ask_key)
        assert asked.label.member.isprintable()
        assert asked.label.device.isprintable()
        assert confirmation_words(self.ident, raw)
        seal_answer(self.ident, self.offered, asked)  # whoever was read can be answered
        return True

    def try_answer(self) -> bool:
        asked = open_request(self.request, self.ident, self.ask_key)
        if self.chance.random() < 0.5:
            raw = self.spoiled(seal_answer(self.ident, self.offered, asked))
        else:  # by whoever has the ticket as well, and wants us to join something else
            other = msgspec.structs.replace(
                self.ticket, genesis=self.chance.choice([self.ticket.genesis, b"g" * 32])
            )
            inner = self.spoiled(padded(self.spoiled(other.encode()), _PADDING_BYTES))
            raw = self._sealed("answer", b"LNA1", sodium.seal_to(self.box, inner), asked.hash)
        genesis = self.studio.ada.genesis
        opened = open_answer(raw, self.ident, self.ask_key, self.request, self.secret, genesis)
        assert opened.genesis == genesis
        assert ident_of(opened.invite.public) == self.ident
        return True

    # -- as docs/format.md has it ------------------------------------------------------------

    def _offered(self) -> bytes:
        body = {
            "ask_key": self.ask_key,
            "ticket": self.spoiled(self.ticket.encode()),
            "confirm": False,
        }
        return msgspec.msgpack.encode(body)

    def _owners_offer(self, contents: bytes) -> bytes:
        key, nonce, author = sodium.random_bytes(32), sodium.random_bytes(32), self.studio.ada.keys
        framed = padded(contents, _PADDING_BYTES)
        sealed = nonce + sodium.aegis256_seal(key, nonce, framed, self.ident + author.public)
        keys = {author.box: sodium.seal_to(author.box, key)}
        offer = Offer(1, author.public, keys, sealed, b"")
        digest = blake3(msgspec.msgpack.encode(offer)).digest()
        signed = author.sign(b"lucidnode 2026 invitation offer signature\0" + self.ident + digest)
        return msgspec.msgpack.encode(msgspec.structs.replace(offer, signature=signed))

    def _sealed(self, what: str, magic: bytes, contents: bytes, hash_: bytes = b"") -> bytes:
        context = {
            "request to join": "lucidnode 2026 format 1 request to join",
            "answer": "lucidnode 2026 format 1 answer to a request",
        }[what]
        key = blake3(self.ask_key, derive_key_context=context).digest()
        nonce = sodium.random_bytes(32)
        body = contents if hash_ else padded(contents, _PADDING_BYTES)
        return (
            magic
            + hash_
            + nonce
            + sodium.aegis256_seal(key, nonce, body, magic + self.ident + hash_)
        )


def run_seed(seed: int) -> Counter[str]:
    """Try TRIES of each kind; return what became of them."""
    scene, happened = Scene(random.Random(seed)), Counter[str]()
    kinds: dict[str, Callable[[], bool]] = {
        "ticket": scene.try_ticket,
        "offer": scene.try_offer,
        "request": scene.try_request,
        "answer": scene.try_answer,
    }
    for name, attempt in kinds.items():
        for _ in range(TRIES):
            try:
                attempt()
            except (FormatError, MembershipError, SealDamaged) as error:
                happened[f"{name}: {type(error).__name__}"] += 1
            else:
                happened[f"{name}: opened"] += 1
    return happened
