"""Asking to join: what the inviter offers, the newcomer requests, and an owner's workstation answers.

Three objects of an invitation, which is named by the first half of its public key:

- The *offer* is sealed to every owner, and to editors who may invite and could have made it. It
  holds what an unattended ticket would: so whichever of their workstations runs can hand it on.
- The *request* is sealed under the ticket's ask key. It names the newcomer, and a key of theirs.
- The *answer* is sealed to that key: the ticket of the offer. Or it says that there will be none.

Each is created once. A ticket's holder, who has the ask key, learns nothing of the offer, and of
the answer only if the request was his own. Bytes: docs/format.md, "Asking to join".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec
from blake3 import blake3

from lucidnode.fs.errors import Forged, FormatError, NotAllowed, SealDamaged, TicketSpent
from lucidnode.fs.format import sodium
from lucidnode.fs.format.padding import padded, unpadded
from lucidnode.fs.membership.asking_ticket import IDENT_SIZE
from lucidnode.fs.membership.member import Label, shown
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.fs.membership.ticket import Ticket, parsed_ticket
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.public_keys import KEY_SIZE, is_box_key, verify
from lucidnode.node.client.roster import Member, is_at_most
from lucidnode.node.client.roster_entry import HASH_SIZE, Role

_OFFER_DOMAIN = b"lucidnode 2026 invitation offer signature\0"
_CONTEXT_REQUEST = "lucidnode 2026 format 1 request to join"
_CONTEXT_ANSWER = "lucidnode 2026 format 1 answer to a request"
_CONTEXT_WORDS = "lucidnode 2026 format 1 confirmation words"
_REQUEST_MAGIC, _ANSWER_MAGIC, _WITHDRAWN_MAGIC = b"LNQ1", b"LNA1", b"LNA0"
_PADDING_BYTES = 64
_MAGIC_SIZE = 4

_CONSONANTS, _VOWELS = "bdfghjklmnprstvz", "aiou"
_WORDS = 4


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an inviter keeps for who may answer. *keys* maps the box of each to the sealed key of *sealed*."""

    format: int
    author: bytes
    keys: dict[bytes, bytes]
    sealed: bytes
    signature: bytes


class _Offered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ask_key: bytes
    ticket: bytes
    confirm: bool


class _Requested(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    box: bytes
    member: str
    device: str


class JoinRequest(msgspec.Struct, frozen=True):
    """What a newcomer asked with. The label is as it may be shown; *hash* is the object's."""

    box: bytes
    label: Label
    hash: bytes


class Offered(msgspec.Struct, frozen=True):
    """What an offer holds for who answers: the key of its ticket's holder, and what to hand on.

    With *confirm* one of them has to say the request's words before it is answered.
    """

    ask_key: bytes
    ticket: Ticket
    confirm: bool = False

    def __repr__(self) -> str:
        return "Offered(...)"


_OFFER = msgspec.msgpack.Decoder(Offer)
_OFFERED = msgspec.msgpack.Decoder(_Offered)
_REQUESTED = msgspec.msgpack.Decoder(_Requested)


def ident_of(invite: bytes) -> bytes:
    """Return the name of the invitation with that Ed25519 public key."""
    return invite[:IDENT_SIZE]


def new_ask_key() -> bytes:
    """Return a fresh key for a ticket that asks."""
    return sodium.random_bytes(KEY_SIZE)


# -- the offer -----------------------------------------------------------------------------------


def answerers(
    view: RosterView, role: Role, projects: Collection[ProjectId], *, by_editors: bool
) -> list[Member]:
    """Return who may answer for an invite of ours as *role* that opens *projects*, ourselves among them.

    Who answers has the invite's secrets, and could use them himself. So of the editors who may invite
    it is those who would gain nothing by that, and none where *by_editors* is not set.
    """
    roster = view.roster

    def gains_nothing(member: Member) -> bool:
        device = roster.devices[member.device]
        roles = [member.role, *(device.role_in(one) or "viewer" for one in roster.projects)]
        return all(is_at_most(role, his) for his in roles) and all(
            member.box in roster.projects[one].seals for one in projects
        )

    return [
        member
        for member in roster.members.values()
        if not member.has_left
        and (
            member.role == "owner"
            or member == view.me
            or (by_editors and member.can_invite and gains_nothing(member))
        )
    ]


def seal_offer(view: RosterView, offered: Offered, to: Iterable[Member]) -> bytes:
    """Return *offered* sealed *to* those who may answer, signed by us. Raises NotAllowed."""
    if not view.me.can_invite:
        raise NotAllowed("only an owner of the studio can invite, or an editor whom an owner lets")
    key, nonce = sodium.random_bytes(KEY_SIZE), sodium.random_bytes(sodium.AEGIS_NONCE_SIZE)
    author = view.membership.keys.public
    contents = msgspec.msgpack.encode(
        _Offered(offered.ask_key, offered.ticket.encode(), offered.confirm)
    )
    ident = ident_of(offered.ticket.invite.public)
    unsigned = Offer(
        format=1,
        author=author,
        keys={member.box: sodium.seal_to(member.box, key) for member in to},
        sealed=nonce
        + sodium.aegis256_seal(key, nonce, padded(contents, _PADDING_BYTES), ident + author),
        signature=b"",
    )
    signature = view.membership.keys.sign(_offer_message(ident, unsigned))
    return msgspec.msgpack.encode(msgspec.structs.replace(unsigned, signature=signature))


def open_offer(raw: bytes, ident: bytes, view: RosterView) -> Offered:
    """Return what the offer of the open invitation *ident* holds for the member of *view*.

    Raises FormatError for what nobody who may invite now has made for him.
    """
    try:
        offer = decoded(_OFFER, raw)
    except Malformed as error:
        raise FormatError("an offer does not parse") from error
    author = view.roster.members.get(offer.author)
    if offer.format != 1 or author is None or not author.can_invite:
        raise FormatError("an offer by nobody who may make one")
    message = _offer_message(ident, msgspec.structs.replace(offer, signature=b""))
    if not verify(offer.author, message, offer.signature):
        raise Forged("the signature of an offer does not hold")
    sealed_key = offer.keys.get(view.me.box)
    if sealed_key is None:
        raise FormatError("an offer that is not for us")
    key = sodium.unseal(view.membership.keys.box_secret, sealed_key)
    if len(key) != KEY_SIZE:
        raise FormatError("an offer's key has another size")
    contents = _opened(key, offer.sealed, ident + offer.author)
    try:
        inner = decoded(_OFFERED, contents)
        ticket = parsed_ticket(inner.ticket)
    except (Malformed, SealDamaged) as error:
        raise FormatError("an offer holds no ticket") from error
    if len(inner.ask_key) != KEY_SIZE or ident_of(ticket.invite.public) != ident:
        raise FormatError("an offer of another invitation")
    if (ticket.studio, ticket.genesis) != (view.membership.studio, view.membership.genesis):
        raise FormatError("an offer of another studio")
    return Offered(inner.ask_key, ticket, inner.confirm)


def _offer_message(ident: bytes, unsigned: Offer) -> bytes:
    return _OFFER_DOMAIN + ident + blake3(msgspec.msgpack.encode(unsigned)).digest()


# -- the request ---------------------------------------------------------------------------------


def seal_request(ident: bytes, ask_key: bytes, box: bytes, label: Label) -> bytes:
    """Return the request of a newcomer called *label*, whose answer is to be sealed to *box*."""
    contents = msgspec.msgpack.encode(_Requested(box, label.member, label.device))
    key = _derived(_CONTEXT_REQUEST, ask_key)
    nonce = sodium.random_bytes(sodium.AEGIS_NONCE_SIZE)
    sealed = sodium.aegis256_seal(
        key, nonce, padded(contents, _PADDING_BYTES), _REQUEST_MAGIC + ident
    )
    return _REQUEST_MAGIC + nonce + sealed


def open_request(raw: bytes, ident: bytes, ask_key: bytes) -> JoinRequest:
    """Return what was asked; raises FormatError unless a holder of the ticket made it."""
    if not raw.startswith(_REQUEST_MAGIC):
        raise FormatError("no request to join")
    key = _derived(_CONTEXT_REQUEST, ask_key)
    contents = _opened(key, raw[_MAGIC_SIZE:], _REQUEST_MAGIC + ident)
    try:
        asked = decoded(_REQUESTED, contents)
    except Malformed as error:
        raise FormatError("a request to join does not parse") from error
    if len(asked.box) != KEY_SIZE or not is_box_key(asked.box):
        raise FormatError("a request to join has no usable key")
    label = Label(shown(asked.member), shown(asked.device))
    return JoinRequest(asked.box, label, blake3(raw).digest())


def confirmation_words(ident: bytes, request: bytes) -> str:
    """Return the words that both sides show for *request*: 64 bits, four words to be read aloud.

    Whoever answers another request than the newcomer's shows other words. As proquints (Daniel
    S. Wilkerson): sixteen bits a word, consonants and vowels in turn.
    """
    digest = blake3(ident + request, derive_key_context=_CONTEXT_WORDS).digest(length=2 * _WORDS)
    return "-".join(
        _word(int.from_bytes(digest[at : at + 2], "big")) for at in range(0, len(digest), 2)
    )


def _word(bits: int) -> str:
    return "".join(
        (
            _CONSONANTS[bits >> 12],
            _VOWELS[bits >> 10 & 3],
            _CONSONANTS[bits >> 6 & 15],
            _VOWELS[bits >> 4 & 3],
            _CONSONANTS[bits & 15],
        )
    )


# -- the answer ----------------------------------------------------------------------------------


def seal_answer(ident: bytes, offered: Offered, request: JoinRequest) -> bytes:
    """Return the answer to *request*: the ticket of the offer, for its author alone."""
    inner = sodium.seal_to(request.box, padded(offered.ticket.encode(), _PADDING_BYTES))
    return _answer(_ANSWER_MAGIC, ident, offered.ask_key, inner, request.hash)


def seal_withdrawal(ident: bytes, ask_key: bytes) -> bytes:
    """Return what stands in the place of the answer once an invitation was withdrawn."""
    return _answer(_WITHDRAWN_MAGIC, ident, ask_key, b"", b"")


def open_answer(
    raw: bytes, ident: bytes, ask_key: bytes, request: bytes, box_secret: bytes, genesis: bytes
) -> Ticket:
    """Return the ticket in the answer to *request*, which named the public key of *box_secret*.

    Raises TicketSpent if somebody else was answered or the invitation was withdrawn, FormatError
    for what nobody of the studio *genesis* has made.
    """
    key = _derived(_CONTEXT_ANSWER, ask_key)
    magic, sealed = raw[:_MAGIC_SIZE], raw[_MAGIC_SIZE:]
    if magic == _WITHDRAWN_MAGIC:
        _open_sealed(key, sealed, magic + ident)
        raise TicketSpent("this invitation was withdrawn: ask for a new one")
    if magic != _ANSWER_MAGIC or len(sealed) < HASH_SIZE:
        raise FormatError("no answer to a request to join")
    # In the clear before the sealed part: who else was answered is told from a damaged answer.
    hash_, sealed = sealed[:HASH_SIZE], sealed[HASH_SIZE:]
    inner = _open_sealed(key, sealed, magic + ident + hash_)
    if hash_ != blake3(request).digest():
        raise TicketSpent(
            "somebody else has used this ticket: tell who invited you, and ask for a new one"
        )
    try:
        ticket = parsed_ticket(unpadded(sodium.unseal(box_secret, inner), _PADDING_BYTES))
    except SealDamaged as error:
        raise FormatError("an answer holds no ticket") from error
    if ticket.genesis != genesis or ident_of(ticket.invite.public) != ident:
        raise FormatError("an answer of another studio")
    return ticket


def is_withdrawal(raw: bytes) -> bool:
    """Tell whether an answer says that there is none."""
    return raw.startswith(_WITHDRAWN_MAGIC)


def _answer(magic: bytes, ident: bytes, ask_key: bytes, inner: bytes, hash_: bytes) -> bytes:
    key = _derived(_CONTEXT_ANSWER, ask_key)
    nonce = sodium.random_bytes(sodium.AEGIS_NONCE_SIZE)
    sealed = sodium.aegis256_seal(key, nonce, inner, magic + ident + hash_)
    return magic + hash_ + nonce + sealed


def _opened(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    return unpadded(_open_sealed(key, sealed, associated), _PADDING_BYTES)


def _open_sealed(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    nonce, body = sealed[: sodium.AEGIS_NONCE_SIZE], sealed[sodium.AEGIS_NONCE_SIZE :]
    if len(nonce) != sodium.AEGIS_NONCE_SIZE:
        raise FormatError("cut short")
    return sodium.aegis256_open(key, nonce, body, associated)


def _derived(context: str, key: bytes) -> bytes:
    return blake3(key, derive_key_context=context).digest()
