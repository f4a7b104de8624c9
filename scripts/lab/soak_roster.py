"""A hostile member of a studio: roster entries and tickets of every kind, mutated and generated.

Whatever lies in the log, nothing but the typed errors may come of it; readers that took it in at
once, step by step, or from the items that another kept agree; every device of the roster can be
loaded by TLS, and every name can be shown.
"""

from __future__ import annotations

import base64
import random  # noqa: TID251  # seeded: the choices can be repeated, the keys differ
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from studio_fixture import EXPIRES, NOW, Studio, claim

from lucidnode.fs.errors import MembershipError
from lucidnode.fs.format import sodium
from lucidnode.fs.membership import passphrase_seal
from lucidnode.fs.membership.member import (
    Label,
    MemberKeys,
    ProjectSecret,
    seal_label,
    seal_secret,
)
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.fs.membership.ticket import Ticket, check_ticket, open_ticket, seal_ticket
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.roster import ForeignRoster, Roster, Void
from lucidnode.node.client.roster_entry import (
    MAX_ENTRY_BYTES,
    MAX_LABEL,
    MAX_SEALED,
    Body,
    DeviceClaim,
    Genesis,
    Invite,
    Join,
    Project,
    RosterEntry,
    entry_hash,
    signing_message,
    stand_in,
)
from lucidnode.node.client.roster_rules import RosterReader, verified

ENTRIES, TICKETS = 400, 100
"""What one seed tries."""

CHEAP = sodium.PassphraseCost(passes=1, kibibytes=8)
CODE = "7Q2K-M0XD-1FTA-R4WE"

EDGES = [
    bytes(32),
    bytes([1]) + bytes(31),
    b"\xff" * 32,
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 30 + b"\x7f",
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    b"",
    bytes(31),
    bytes(33),
]
NUMBERS = [-(2**63), -1, 0, 1, 2, 2**18, 2**20 + 1, 2**24, 2**53, EXPIRES, 2**63, 2**64 - 1]
NAMES = ["", " ", "trailer", "trailer (2)", "a/b", "\x1b[31m", "\u202ex", "n" * 255, "é" * 200]
NESTED = b"\x91" * 5000
HEADERS = [b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", NESTED]


class HostileMember:
    """Writes to the log of a studio with the keys it could lay its hands on."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.studio = Studio()
        self.reader = RosterReader(self.studio.ada.genesis)
        self.stranger = MemberKeys.new()
        self.others = [self.studio.join("owner"), self.studio.join(), self.studio.join("viewer")]
        known = [self.studio.ada.keys, *(one.keys for one in self.others), self.stranger]
        known += [self.studio.invite("viewer"), self.studio.invite()]
        self.keys = {keys.public: keys for keys in known}
        for item in self.studio.entries:
            self.reader.read(item)

    def take_in(self, raw: bytes) -> str:
        """Have the log take in *raw*; return what became of it."""
        voids = self.reader.roster().voids
        try:
            self.reader.check(raw)
            verdict = "authentic"
        except Void:
            verdict = "not authentic"
        self.reader.read(raw)
        after = self.reader.roster()
        if after.newer is not None:
            # An owner's later format ends the log: such an entry is looked at, and taken back.
            assert verdict == "authentic"
            self.reader = self.reader.up_to(Seq(after.head))
            return "a later format"
        if after.voids != voids:
            return f"void, {verdict}"
        assert verdict == "authentic"
        return "counted"

    def object(self) -> bytes:
        """Return something to put in the next slot."""
        chance = self.chance
        kind = chance.choices(["entry", "mutant", "bytes", "header"], [12, 6, 1, 1])[0]
        if kind == "bytes":
            return chance.randbytes(chance.choice([0, 1, 36, 200, 5000]))
        if kind == "header":
            return chance.choice(HEADERS)
        raw = self._entry(self._body())
        return self._mutated(raw) if kind == "mutant" else raw

    def _entry(self, body: bytes) -> bytes:
        chance, reader = self.chance, self.reader
        author = self._author()
        number = chance.choices([1, 2, 2**64 - 1, 0], [40, 2, 1, 1])[0]
        seq = len(reader.log) + chance.choices([1, 0, 2], [40, 1, 1])[0]
        previous = chance.choices([reader.hashes[-1], bytes(32), b""], [40, 1, 1])[0]
        message = signing_message(Seq(seq), previous, author.public, body, number)
        signature = chance.choices(
            [author.sign(message), bytes(64), EDGES[1] + bytes(32), b""], [40, 1, 1, 1]
        )[0]
        public = chance.choices([author.public, chance.choice(EDGES)], [40, 1])[0]
        entry = RosterEntry(number, seq, previous, public, body, signature)
        return msgspec.msgpack.encode(entry)[: MAX_ENTRY_BYTES + 100]

    def _body(self) -> bytes:
        chance = self.chance
        who, seed = MemberKeys.new(), chance.randbytes(32)
        device = claim(self.studio.studio, who, seed)
        bodies: list[Callable[[], Body]] = [
            lambda: Genesis(self.studio.studio, who.box, device, b""),
            lambda: Invite(
                who.public, who.box, self._role(), self._number(), self._label(who), self._seals()
            ),
            lambda: Join(
                who.public, who.box, device, self._label(who), self._joined(), self._seals()
            ),
            self._project,
        ]
        body = chance.choice(bodies)()
        self.keys[who.public] = who
        if chance.random() < 0.4:
            body = self._odd(body)
        if chance.random() < 0.05:
            return self._odd_encoding(body)
        return msgspec.msgpack.encode(body)

    def _author(self) -> MemberKeys:
        """Return the keys of somebody who counts, mostly."""
        state = self.reader.roster()
        if self.chance.random() < 0.1:
            return self.chance.choice(list(self.keys.values())[-50:])
        among = list(self.chance.choice([state.members, state.members, state.invites]))
        # Of an invite at the edge of its curve nobody has the secret half.
        return self.keys.get(self.chance.choice(among), self.stranger) if among else self.stranger

    def _odd(self, body: Body) -> Body:
        """Return *body* with one field at or over its bounds."""
        chance = self.chance
        name = chance.choice(body.__struct_fields__)
        value = getattr(body, name)
        changed: Any
        if isinstance(value, DeviceClaim):
            part = chance.choice(value.__struct_fields__)
            changed = msgspec.structs.replace(value, **{part: self._odd_bytes()})
        elif isinstance(value, bytes):
            changed = self._odd_bytes()
        elif isinstance(value, int):
            changed = self._number()
        elif isinstance(value, dict):
            changed = chance.choice([{}, self._seals(), {"x": b""}, {b"x": b""}])
        else:
            changed = chance.choice(["", "king", "ab" * 16, "\ufffd" * 32, "AB" * 16])
        return msgspec.structs.replace(body, **{name: changed})

    def _odd_encoding(self, body: Body) -> bytes:
        fields = msgspec.msgpack.decode(msgspec.msgpack.encode(body))
        extra = msgspec.msgpack.encode("type") + msgspec.msgpack.encode("join")
        reordered = msgspec.msgpack.encode(dict(reversed(fields.items())))
        doubled = bytes([0x80 | (len(fields) + 1)]) + msgspec.msgpack.encode(fields)[1:] + extra
        return self.chance.choice([reordered, doubled, self.chance.choice(HEADERS)])

    def _mutated(self, raw: bytes) -> bytes:
        chance, changed = self.chance, bytearray(raw)
        for _ in range(chance.choice([1, 1, 2, 8])):
            at = chance.randrange(len(changed))
            match chance.choice(["flip", "set", "cut", "insert", "swap"]):
                case "flip":
                    changed[at] ^= 1 << chance.randrange(8)
                case "set":
                    changed[at] = chance.choice([0, 0x7F, 0x80, 0xC1, 0xDF, 0xFF])
                case "cut":
                    del changed[at : at + chance.choice([1, 4, 1000])]
                case "insert":
                    changed[at:at] = chance.randbytes(chance.choice([1, 4]))
                case _:
                    changed[at:] = changed[at:][::-1]
            changed = changed or bytearray(1)
        return bytes(changed)

    def _project(self) -> Project:
        project = f"{self.chance.getrandbits(128):032x}"
        name = self.chance.choice(NAMES)
        secret = ProjectSecret(project, name, 1, bytes(self.chance.choice([32, 32, 31])))
        boxes = [member.box for member in self.reader.roster().members.values()]
        seals = {box: seal_secret(secret, box) for box in boxes[:4]}
        return Project(project, 2 ** self.chance.choice([18, 20, 24, 20, 20]), seals)

    def _seals(self) -> dict[str, bytes]:
        known = list(self.reader.roster().projects)[-3:]
        return {project: self.chance.randbytes(80) for project in known}

    def _label(self, who: MemberKeys) -> bytes:
        name = self.chance.choice(NAMES)
        return seal_label(self.studio.name_key, who.public, Label(name, name))[:MAX_LABEL]

    def _role(self) -> Literal["owner", "editor", "viewer"]:
        return self.chance.choice(["owner", "editor", "viewer"])

    def _joined(self) -> int:
        return self.chance.choice([NOW, NOW, 0, 2**64 - 1])

    def _number(self) -> int:
        return self.chance.choice(NUMBERS)

    def _odd_bytes(self) -> bytes:
        sizes = [0, 1, 32, 64, 346, MAX_LABEL + 1, MAX_SEALED + 1]
        return self.chance.choice([*EDGES, bytes(self.chance.choice(sizes))])


def _readers_agree(member: HostileMember, objects: list[bytes]) -> Roster:
    genesis = member.studio.ada.genesis
    state = member.reader.roster()
    for log in (objects, member.reader.log):
        other = verified(log, genesis)
        for field in ("head_hash", "members", "devices", "invites", "projects"):
            assert getattr(other, field) == getattr(state, field), f"readers differ in {field}"
    return state


def _members_and_machines_can_use_it(member: HostileMember, state: Roster) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=b"".join(d.certificate for d in state.devices.values()))
    boxes = [member.box for member in state.members.values()]
    for box in (*boxes, *(invite.box for invite in state.invites.values())):
        sodium.seal_to(box, b"secret")
    view = RosterView(state, member.studio.ada)
    names = [project.name for project in view.projects()]
    assert len(set(names)) == len(names), "two projects of one name"
    labels = [person.label for person in view.people()] + [one.label for one in view.invites()]
    for text in (*names, *(label.member for label in labels), *(label.device for label in labels)):
        assert text.isprintable(), f"a name that cannot be shown: {text!r}"


def _tickets(chance: random.Random) -> Counter[str]:
    sound = Ticket(
        bucket="s3://footage/studio",
        endpoint=None,
        region=None,
        credentials={"access_key": "AK", "secret_key": "SK"},
        studio=b"S" * 16,
        genesis=b"g" * 32,
        lan_key=b"l" * 32,
        name_key=b"n" * 32,
        invite=MemberKeys.new(),
        expires_ns=EXPIRES,
        suggested_name="Bo",
    )
    text = seal_ticket(sound, CODE, CHEAP)
    packed = msgspec.msgpack.encode(sound)
    happened: Counter[str] = Counter()
    for _ in range(TICKETS):
        if chance.random() < 0.5:
            contents = bytearray(packed)
            contents[chance.randrange(len(contents))] = chance.randrange(256)
            sealed = passphrase_seal.seal(b"LNT1", CODE.replace("-", ""), bytes(contents), CHEAP)
            made = _as_text(sealed)
        else:
            letters = list(text)
            letters[chance.randrange(len(letters))] = chance.choice("a2 \n1é\u0130ß\udc80\0")
            made = "".join(letters)[: chance.choice([None, 5, 100])]
        try:
            check_ticket(made)
            open_ticket(made, chance.choice([CODE, CODE, "", "\udc80"]), NOW)
        except MembershipError as error:
            happened[f"ticket: {type(error).__name__}"] += 1
        else:
            happened["ticket: opened"] += 1
    return happened


def _as_text(sealed: bytes) -> str:
    return "lucid1" + base64.b32encode(sealed).decode().rstrip("=").lower()


def run_seed(seed: int) -> Counter[str]:
    """Write ENTRIES objects to a log and open TICKETS tickets; return what became of them."""
    chance = random.Random(seed)
    happened = _tickets(chance)
    member = HostileMember(chance)
    objects = list(member.studio.entries)
    try:
        RosterReader(b"").read(member.object())
    except ForeignRoster:
        happened["foreign"] += 1
    for _ in range(ENTRIES):
        raw = member.object()
        what = member.take_in(raw)
        happened[what] += 1
        if what != "a later format":
            objects.append(raw)
        if chance.random() < 0.02:
            objects.append(thing := stand_in(entry_hash(raw)))
            member.reader.read(thing)
    _members_and_machines_can_use_it(member, _readers_agree(member, objects))
    return happened
