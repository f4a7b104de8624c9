"""Asking to join: the newcomer's side of a ticket that only asks.

What was asked is kept in the home until the workstation has joined, so a `join` that was broken off
goes on where it was: its key opens the answer, and nobody else's does. There are no member's keys yet
that a node key could be sealed for, so `asked.json` is sealed under the new passphrase itself; it is
JSON, {"format": 1, "invitation": base64, "sealed": base64}.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from lucidnode.direct_bucket import open_directly
from lucidnode.fs.errors import FormatError, SealDamaged, TicketSpent, WrongPassphrase
from lucidnode.fs.format.sodium import KEY_SIZE, PassphraseCost, box_public, random_bytes
from lucidnode.fs.membership.asking import confirmation_words, open_answer, seal_request
from lucidnode.fs.membership.asking_ticket import AskingTicket
from lucidnode.fs.membership.member import Label
from lucidnode.fs.membership.passphrase_seal import FOR_PEOPLE, seal, unseal
from lucidnode.fs.membership.ticket import Ticket
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import AlreadyThere
from lucidnode.node.bucket.keys import invitation_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.presigned import create_at, read_at
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import AccessDenied, Malformed, NotThere, Refused, Unavailable
from lucidnode.node.client.json_text import json_in
from lucidnode.node.sealed_file import wiped

ASKED_FILE = "asked.json"

MAX_ANSWER_BYTES = 32 * 1024

_FIRST_PAUSE_S, _MAX_PAUSE_S = 1.0, 5.0

SILENT_S = 30.0
"""After this whoever waits is told what may be the matter; one that runs answers within 20 s."""

_SILENT = (
    "nobody answers: the workstations of those who may are off or locked, or one of them has to "
    "confirm the words"
)
"""Nothing in the bucket would tell which."""


_MAGIC = b"LNW1"


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    invitation: bytes
    sealed: bytes


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sealed; the file itself where a release of before wrote it."""

    invitation: bytes
    box_secret: bytes
    request: bytes
    answer: bytes = b""


def has_asked(home: Path, ticket: AskingTicket) -> bool:
    """Tell whether *home* has asked with *ticket* before, under a passphrase that was made up then."""
    try:
        return json_in((home / ASKED_FILE).read_bytes(), _Sealed).invitation == ticket.invitation
    except (OSError, Malformed):
        return False


class Joiner:
    """One newcomer with one ticket, and the *passphrase* of the workstation to be."""

    def __init__(
        self,
        home: Path,
        ticket: AskingTicket,
        passphrase: str,
        network: Network,
        clock: Clock,
        cost: PassphraseCost = FOR_PEOPLE,
    ) -> None:
        self._cost = cost
        self._home = home
        self._ticket = ticket
        self._passphrase = passphrase
        self._asked: _Asked | None = None
        self._network = network
        self._clock = clock
        self._bucket: Bucket | None = None
        self._waits_since = clock.boot()
        if not ticket.request_url:
            address = parse_address(ticket.bucket)
            if address.scheme != "file":
                raise Refused("the ticket names no way to ask: ask for a new one")
            self._bucket = open_directly(address, None, network)

    async def ask(self, label: Label) -> str:
        """Put the request, once; returns the words that the other side shows too.

        Takes a second by design. Raises TicketSpent, WrongPassphrase if this was asked under another
        one, and what the store says.
        """
        asked = await asyncio.to_thread(self._begun, label)
        if not asked.answer:
            try:
                await self._put(asked.request)
            except AlreadyThere:
                # Ours, by a run that was broken off; or another's: then the answer will tell.
                pass
            except AccessDenied as error:
                raise TicketSpent(str(error)) from error
        return confirmation_words(self._ticket.invitation, asked.request)

    async def answer(self, told: Callable[[str], None]) -> Ticket:
        """Return the answer, for as long as it takes; *told* hears why that is longer.

        Raises TicketSpent.
        """
        asked = self._asked
        assert asked is not None, "ask first"
        backoff = Backoff(None, _FIRST_PAUSE_S, _MAX_PAUSE_S)
        self._waits_since = self._clock.boot()
        raw = asked.answer
        while True:
            if not raw:
                raw = await self._look(told)
            if raw:
                try:
                    ticket = open_answer(
                        raw,
                        self._ticket.invitation,
                        self._ticket.ask_key,
                        asked.request,
                        asked.box_secret,
                        self._ticket.genesis,
                    )
                except FormatError:
                    # Somebody with the bucket's credentials put it there: it is none of the studio's.
                    told("what stands in the place of the answer was made by nobody of the studio")
                    raw = b""
                else:
                    answered = msgspec.structs.replace(asked, answer=raw)
                    await asyncio.to_thread(self._keep, answered)
                    return ticket
            if self._clock.wall_ns() > self._ticket.expires_ns:
                raise TicketSpent("nobody let you in within the ticket's time: ask for a new one")
            await self._clock.sleep(backoff.pause())

    def done(self) -> None:
        """Forget what was asked: the workstation has joined."""
        (self._home / ASKED_FILE).unlink(missing_ok=True)

    async def _look(self, told: Callable[[str], None]) -> bytes:
        try:
            return await self._read()
        except NotThere:
            if self._clock.boot() - self._waits_since >= SILENT_S:
                told(_SILENT)
            return b""
        except AccessDenied as error:
            raise TicketSpent(str(error)) from error
        except (Unavailable, Malformed) as error:
            told(str(error))
            return b""

    async def _put(self, request: bytes) -> None:
        if self._bucket is None:
            await create_at(self._ticket.request_url, request, self._network)
        else:
            await self._bucket.create(self._key("request"), request)

    async def _read(self) -> bytes:
        if self._bucket is None:
            return await read_at(self._ticket.answer_url, MAX_ANSWER_BYTES, self._network)
        size = await self._bucket.size(self._key("answer"))
        if size is None or size > MAX_ANSWER_BYTES:
            raise NotThere("no such object")
        return await self._bucket.get(self._key("answer"))

    def _key(self, part: str) -> str:
        return invitation_key(self._ticket.invitation.hex(), part)

    # -- what is kept ------------------------------------------------------------------------

    def _begun(self, label: Label) -> _Asked:
        kept = self._kept()
        if kept is not None:
            self._asked = kept
            return kept
        secret, ident = random_bytes(KEY_SIZE), self._ticket.invitation
        request = seal_request(ident, self._ticket.ask_key, box_public(secret), label)
        asked = _Asked(ident, secret, request)
        self._keep(asked)
        return asked

    def _kept(self) -> _Asked | None:
        """Return what was asked with this ticket before. Raises WrongPassphrase."""
        path = self._home / ASKED_FILE
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            file = json_in(raw, _Sealed)
        except Malformed:
            return self._sealed_now(path, raw)
        if file.invitation != self._ticket.invitation:
            return None
        try:
            return json_in(unseal(_MAGIC, self._passphrase, file.sealed), _Asked)
        except WrongPassphrase:
            raise WrongPassphrase(
                "that is not the passphrase with which you began to join: try again"
            ) from None
        except (SealDamaged, Malformed):
            return None

    def _sealed_now(self, path: Path, raw: bytes) -> _Asked | None:
        """Take over what a release of before has kept in clear."""
        try:
            file = json_in(raw, _Asked)
        except Malformed:
            return None
        if file.invitation != self._ticket.invitation:
            return None
        with wiped(path):
            self._keep(file)
        return file

    def _keep(self, asked: _Asked) -> None:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        sealed = seal(_MAGIC, self._passphrase, msgspec.json.encode(asked), self._cost)
        file = _Sealed(1, asked.invitation, sealed)
        write_durably(self._home / ASKED_FILE, msgspec.json.encode(file))
        self._asked = asked
