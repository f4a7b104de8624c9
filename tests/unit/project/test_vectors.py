"""The published vectors of format 1, read by the code and, from the page alone, by this test.

A change that breaks one of these breaks the data of every studio: it needs a new format number.
"""

from __future__ import annotations

import hmac
import json
import re
import struct
from base64 import b64decode
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lab.places import REPOSITORY
from nacl.bindings import crypto_aead_aegis256_decrypt, crypto_aead_aegis256_encrypt
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from page_changeset import PROJECT_AT_FIRST, Breaks, after, lease_in
from page_project_rows import quota_in, schedule_in, snapshot_in
from raw_changeset import RawChange, encoded

from lucidnode import node_key
from lucidnode.fs import errors
from lucidnode.fs.errors import FormatError
from lucidnode.fs.format.block import BlockName, BlockOpener, open_block, seal
from lucidnode.fs.format.geometry import (
    HEADER_BYTES,
    SEGMENT_BYTES,
    TAG_BYTES,
    cipher_size,
    padded_size,
    segment_count,
)
from lucidnode.fs.format.journal_entry import open_entry
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.format.office_message import open_word
from lucidnode.fs.format.sodium import aegis256_open, sign, signing_public
from lucidnode.fs.leases.lease_row import decoded_lease
from lucidnode.fs.leases.write_lease import decoded_write_lease
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.member_file import Membership, open_membership
from lucidnode.fs.membership.roster_view import RosterView, opened_secrets
from lucidnode.fs.membership.ticket import Ticket, open_ticket
from lucidnode.fs.replica.quota import decoded_quota
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.snapshots.schedule import decoded_schedule
from lucidnode.fs.snapshots.snapshot_row import decoded_snapshot
from lucidnode.node import sealed_file
from lucidnode.node.bucket.bucket import MAX_OBJECT_BYTES
from lucidnode.node.bucket.fingerprint import (
    START,
    Fingerprint,
    fingerprint_of,
    oversize_fingerprint,
)
from lucidnode.node.client.device_certificate import device_certificate, is_certificate
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import (
    empty_link,
    entry_hash,
    signed,
    signing_message,
    split_signed,
)
from lucidnode.node.client.public_keys import is_box_key, verify
from lucidnode.node.client.roster_entry import device_id
from lucidnode.node.client.roster_rules import RosterReader, verified

VECTORS = REPOSITORY / "docs" / "vectors"
PAGE = (VECTORS.parent / "format.md").read_text()
OBJECTS = json.loads((VECTORS / "objects.json").read_text())
BLOCKS = json.loads((VECTORS / "blocks.json").read_text())
CHANGESETS = json.loads((VECTORS / "changesets.json").read_text())
JOURNAL = json.loads((VECTORS / "journal.json").read_text())
ROSTER = json.loads((VECTORS / "roster.json").read_text())
LEASES = json.loads((VECTORS / "leases.json").read_text())
WORDS = json.loads((VECTORS / "office-messages.json").read_text())
QUOTAS = json.loads((VECTORS / "quota.json").read_text())
SNAPSHOTS = json.loads((VECTORS / "snapshots.json").read_text())
WORKSTATION = json.loads((VECTORS / "workstation.json").read_text())
KEYS = json.loads((VECTORS / "keys.json").read_text())
SEALED = json.loads((VECTORS / "sealed.json").read_text())


def keys_of(vectors: dict[str, Any], newest: int, project: str | None = None) -> ProjectKeys:
    """Return the project's keys as they were when *newest* was the newest epoch."""
    raw = {int(epoch): bytes.fromhex(key) for epoch, key in vectors["epoch_keys"].items()}
    held = {epoch: key for epoch, key in raw.items() if epoch <= newest}
    return ProjectKeys.of(ProjectId(project or vectors["project"]), held)


def plaintext_of(block: dict[str, Any]) -> bytes:
    spec = block["plaintext"]
    if "hex" in spec:
        return bytes.fromhex(spec["hex"])
    return blake3(spec["blake3_xof_of"].encode()).digest(length=spec["size"])


def edited(raw: bytes, edit: dict[str, Any]) -> bytes:
    """Return *raw* changed as a vector says."""
    changed = bytearray(raw)
    if "flip" in edit:
        position, bit = edit["flip"]
        changed[position] ^= 1 << bit
    if "swap_segments" in edit:
        one, two = (
            slice(
                HEADER_BYTES + index * (SEGMENT_BYTES + TAG_BYTES),
                HEADER_BYTES + (index + 1) * (SEGMENT_BYTES + TAG_BYTES),
            )
            for index in edit["swap_segments"]
        )
        changed[one], changed[two] = changed[two], changed[one]
    if "cut" in edit:
        del changed[len(changed) - edit["cut"] :]
    return bytes(changed) + bytes.fromhex(edit.get("append", ""))


# -- by the code ---------------------------------------------------------------------------------


def test_keys_are_derived_as_published() -> None:
    keys = keys_of(BLOCKS, 2)
    assert keys.replica.hex() == BLOCKS["replica"]
    for epoch, derived in BLOCKS["derived"].items():
        made = keys.epoch(int(epoch))
        assert {name: getattr(made, name).hex() for name in derived} == derived


@pytest.mark.parametrize("item", OBJECTS["objects"], ids=lambda item: item["name"])
def test_objects_are_hashed_as_published(item: dict[str, Any]) -> None:
    size, source = item["size"], blake3(item["blake3_xof_of"].encode())
    over = size > MAX_OBJECT_BYTES
    found = (
        oversize_fingerprint(size, source.digest(length=START))
        if over
        else fingerprint_of(source.digest(length=size))
    )
    assert found == Fingerprint(size, bytes.fromhex(item["hash"]))


@pytest.mark.parametrize("block", BLOCKS["blocks"], ids=lambda block: block["name"])
def test_blocks_are_sealed_and_opened_as_published(block: dict[str, Any]) -> None:
    plaintext = plaintext_of(block)
    name, ciphertext = seal(keys_of(BLOCKS, block["epoch"]), plaintext)
    assert (name.id.hex(), name.nonce.hex()) == (block["id"], block["nonce"])
    assert (name.epoch, name.size) == (block["epoch"], block["padded_size"])
    assert padded_size(len(plaintext)) == block["padded_size"]
    assert len(ciphertext) == cipher_size(name.size) == block["cipher_size"]
    if "ciphertext" in block:
        assert ciphertext.hex() == block["ciphertext"]
    else:
        assert ciphertext[:HEADER_BYTES].hex() == block["header"]
        assert ciphertext[-32:].hex() == block["last_32_bytes"]
    opened = open_block(keys_of(BLOCKS, 2), name, ciphertext)
    assert opened == plaintext.ljust(name.size, b"\0")


@pytest.mark.parametrize("bad", BLOCKS["bad"], ids=lambda bad: f"{bad['block']} {bad['edit']}")
def test_bad_blocks_are_refused_as_published(bad: dict[str, Any]) -> None:
    (block,) = (block for block in BLOCKS["blocks"] if block["name"] == bad["block"])
    edit = bad["edit"]
    name, sound = seal(keys_of(BLOCKS, block["epoch"]), plaintext_of(block))
    changed = edited(sound, edit)
    if edit.get("rename"):
        name = replace(name, id=type(name.id)(blake3(changed).digest()))
    name = replace(
        name, size=edit.get("resize", name.size), epoch=edit.get("name_epoch", name.epoch)
    )
    keys = keys_of(BLOCKS, edit.get("forget_epoch", 3) - 1, edit.get("project"))
    with pytest.raises(errors.FsError) as caught:
        open_block(keys, name, changed)
    assert type(caught.value).__name__ == bad["error"]


@pytest.mark.parametrize("entry", JOURNAL["entries"], ids=lambda entry: entry["name"])
def test_journal_entries_open_as_published(entry: dict[str, Any]) -> None:
    raw = bytes.fromhex(entry["entry"])
    change = open_entry(
        replace(keys_of(JOURNAL, 2), announced=JOURNAL["announced_epochs"]),
        raw,
        Seq(entry["seq"]),
        bytes.fromhex(entry["previous"]),
        writer,
    )
    assert (change.wall_ns, change.changeset.hex()) == (entry["wall_ns"], entry["changeset"])
    unsigned, _ = split_signed(raw)
    assert signing_message(unsigned).hex() == entry["signing_message"]
    assert entry_hash(raw).hex() == entry["hash"]
    assert empty_link(entry_hash(raw)).hex() == entry["empty_link"]


def writer(device: DeviceId) -> bytes | None:
    return bytes.fromhex(JOURNAL["device_public"]) if device == JOURNAL["device"] else None


def test_the_device_of_the_journal_is_its_seeds() -> None:
    public = signing_public(bytes.fromhex(JOURNAL["device_seed"]))
    assert public.hex() == JOURNAL["device_public"]
    assert device_id(public) == JOURNAL["device"]


@pytest.mark.parametrize("bad", JOURNAL["bad"], ids=lambda bad: f"{bad['entry']} {bad['edit']}")
def test_bad_journal_entries_are_refused_as_published(bad: dict[str, Any]) -> None:
    entry, edit = JOURNAL["entries"][bad["entry"] - 1], bad["edit"]
    changed = edited(bytes.fromhex(entry["entry"]), edit)
    if edit.get("sign"):
        unsigned, _ = split_signed(changed)
        signature = sign(bytes.fromhex(JOURNAL["device_seed"]), signing_message(unsigned))
        changed = signed(unsigned, signature)
    keys = keys_of(JOURNAL, edit.get("forget_epoch", 3) - 1, edit.get("project"))
    seq, previous = Seq(edit.get("slot", entry["seq"])), bytes.fromhex(entry["previous"])
    with pytest.raises(errors.FsError) as caught:
        open_entry(
            replace(keys, announced=edit.get("announced_epochs", (1, 2))),
            changed,
            seq,
            previous,
            writer,
        )
    assert type(caught.value).__name__ == bad["error"]


def verdict(path: Path, before: bytes, changeset: bytes) -> str | None:
    """Return why *changeset* counts as empty after *before*, or None if it is taken."""
    replica = Replica.open(path, bytes(32), "vectors")
    try:
        assert replica.entries.apply_entry(Seq(1), b"1" * 32, before).refused is None
        return replica.entries.apply_entry(Seq(2), b"2" * 32, changeset).refused
    finally:
        replica.close()


@pytest.mark.parametrize("item", CHANGESETS["changesets"], ids=lambda item: item["name"])
def test_changesets_are_taken_or_refused_as_published(item: dict[str, Any], tmp_path: Path) -> None:
    before, changeset = bytes.fromhex(CHANGESETS["before"]), bytes.fromhex(item["changeset"])
    refused = verdict(tmp_path / "replica.db", before, changeset)
    assert (refused is None) == (item["breaks"] is None), refused


def test_rules_over_the_number_of_rows_are_kept_to_the_row(tmp_path: Path) -> None:
    (most,) = re.findall(r"^1\. At most ([\d,]+) rows", PAGE, re.MULTILINE)
    rows = [
        RawChange("block", None, (number.to_bytes(32), 1, bytes(32), 4096))
        for number in range(int(most.replace(",", "")) + 1)
    ]
    assert verdict(tmp_path / "most.db", b"", encoded(rows[:-1])) is None
    assert verdict(tmp_path / "more.db", b"", encoded(rows)) is not None
    assert after(PROJECT_AT_FIRST, encoded(rows[:-1]))["block"]
    with pytest.raises(Breaks):
        after(PROJECT_AT_FIRST, encoded(rows))


def member_keys(name: str) -> MemberKeys:
    fields = ROSTER["keys"][name]
    return MemberKeys(bytes.fromhex(fields["sign_seed"]), bytes.fromhex(fields["box_secret"]))


def ada() -> Membership:
    return Membership(
        bytes.fromhex(ROSTER["studio"]),
        bytes.fromhex(ROSTER["genesis"]),
        bytes.fromhex(ROSTER["name_key"]),
        member_keys("ada"),
        Label("Ada", "edit-1"),
    )


def test_the_roster_reads_as_published() -> None:
    items = [bytes.fromhex(item) for item in ROSTER["items"]]
    reader = RosterReader(bytes.fromhex(ROSTER["genesis"]))
    for item in items:
        reader.read(item)
    assert [one.hex() for one in reader.hashes] == ROSTER["hashes"]
    roster = reader.roster()
    assert verified(reader.log, roster.genesis).head_hash == roster.head_hash
    assert roster.studio.hex() == ROSTER["studio"]
    assert [void.seq for void in roster.voids] == ROSTER["void"]
    people = RosterView(roster, ada()).people()
    assert [
        {
            "public": member.public.hex(),
            "role": member.role,
            "device": member.device,
            "member_name": person.label.member,
            "device_name": person.label.device,
        }
        for member, person in zip(roster.members.values(), people, strict=True)
    ] == ROSTER["members"]
    assert [
        {"public": one.public.hex(), "role": one.role, "expires_ns": one.expires_ns}
        for one in roster.invites.values()
    ] == ROSTER["open_invites"]
    assert [
        {"id": one.id, "block_size": one.block_size, "author": one.author.hex()}
        for one in roster.projects.values()
    ] == ROSTER["projects"]
    for name, secrets in ROSTER["secrets"].items():
        assert {
            project: {"name": one.name, "epoch": one.epoch, "key": one.key.hex()}
            for project, one in opened_secrets(roster, member_keys(name)).items()
        } == secrets


def test_signatures_count_as_published() -> None:
    for vector in KEYS["signatures"]:
        fields = (bytes.fromhex(vector[name]) for name in ("public", "message", "signature"))
        assert verify(*fields) == vector["holds"], vector["what"]


def test_what_counts_holds_by_libsodium_as_well() -> None:
    for vector in KEYS["signatures"]:
        public, message, signature = (
            bytes.fromhex(vector[name]) for name in ("public", "message", "signature")
        )
        try:
            VerifyKey(public).verify(message, signature)
        except (BadSignatureError, ValueError):
            assert not vector["holds"], vector["what"]


def test_box_keys_are_usable_as_published() -> None:
    for vector in KEYS["box_keys"]:
        assert is_box_key(bytes.fromhex(vector["key"])) == vector["usable"], vector["what"]


def test_a_device_certificate_is_made_as_published() -> None:
    vector = KEYS["certificate"]
    seed = bytes.fromhex(vector["sign_seed"])
    public = signing_public(seed)
    assert (public.hex(), device_id(public)) == (vector["public"], vector["device"])
    made = device_certificate(public, lambda unsigned: sign(seed, unsigned))
    assert made.hex() == vector["der"]
    assert is_certificate(made, public)


def test_member_keys_are_derived_as_published() -> None:
    for name, fields in ROSTER["keys"].items():
        keys = member_keys(name)
        assert (keys.public.hex(), keys.box.hex()) == (fields["public"], fields["box"])


def test_the_member_file_opens_as_published() -> None:
    vector = SEALED["member_file"]
    assert open_membership(vector["text"].encode(), vector["passphrase"]) == Membership(
        bytes.fromhex(vector["studio"]),
        bytes.fromhex(vector["genesis"]),
        bytes.fromhex(vector["name_key"]),
        MemberKeys(bytes.fromhex(vector["sign_seed"]), bytes.fromhex(vector["box_secret"])),
        Label(*vector["label"]),
    )


def test_the_ticket_opens_as_published() -> None:
    vector = SEALED["ticket"]
    assert open_ticket(vector["text"], vector["code"], vector["expires_ns"]) == Ticket(
        vector["bucket"],
        vector["endpoint"],
        vector["region"],
        vector["credentials"],
        bytes.fromhex(vector["studio"]),
        bytes.fromhex(vector["genesis"]),
        bytes.fromhex(vector["lan_key"]),
        bytes.fromhex(vector["name_key"]),
        MemberKeys(bytes.fromhex(vector["sign_seed"]), bytes.fromhex(vector["box_secret"])),
        vector["expires_ns"],
        vector["suggested_name"],
    )


def test_the_node_key_and_what_lies_under_it_open_as_published(tmp_path: Path) -> None:
    vector = WORKSTATION["node_key"]
    keys = MemberKeys(bytes.fromhex(vector["sign_seed"]), bytes.fromhex(vector["box_secret"]))
    body, key = b64decode(vector["sealed"]), bytes.fromhex(vector["node_key"])
    assert node_key.unseal(keys, body) == key
    assert node_key.seal(keys, key, bytes.fromhex(vector["nonce"])) == body
    for file in WORKSTATION["files"]:
        text, content = file["text"].encode(), file["content"].encode()
        assert sealed_file.opened(key, file["name"], text) == content
        nonce = bytes.fromhex(file["nonce"])
        assert sealed_file.sealed(key, file["name"], content, nonce) == text
    sealed_file.hold(tmp_path, key)
    lan = WORKSTATION["lan_key"]
    assert sealed_file.opened_text(tmp_path, "lan_key", lan["text"]) == lan["lan_key"]


# -- the page itself -----------------------------------------------------------------------------


def test_the_worked_sizes_of_the_page_are_right() -> None:
    rows = re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| (\d+) \| ([\d,]+) \|", PAGE, re.MULTILINE)
    assert len(rows) == 7
    for row in rows:
        plain, padded, segments, cipher = (int(number.replace(",", "")) for number in row)
        assert padded_size(plain) == padded
        assert segment_count(padded) == segments
        assert cipher_size(padded) == cipher


def test_the_page_lists_every_domain_that_the_code_uses_and_no_other() -> None:
    root = VECTORS.parents[1]
    folders = (root / "fs").rglob("*.py"), (root / "node").rglob("*.py")
    sources = [*chain(*folders), *(root / "lucidnode").glob("*.py")]
    used = re.findall(r'"(lucidnode 2026 [a-z0-9 ]+)', "".join(one.read_text() for one in sources))
    _, glossary = PAGE.split("## Glossary of contexts")
    listed = re.findall(r"`(lucidnode 2026 [a-z0-9 ]+)`", glossary)
    assert sorted(listed) == sorted(used)
    assert len(set(listed)) == len(listed)


# -- by the page alone: docs/format.md written down a second time --------------------------------


def page_sealed(key: bytes, name: str, body: bytes) -> bytes:
    own = hmac.digest(key, b"lucidnode 2026 format 1 sealed file\0" + name.encode(), "sha256")
    return AESGCM(own).decrypt(body[:12], body[12:], name.encode())


def test_the_page_alone_is_enough_to_open_what_a_workstation_keeps() -> None:
    vector = WORKSTATION["node_key"]
    context = "lucidnode 2026 format 1 node key seal"
    under = blake3(bytes.fromhex(vector["box_secret"]), derive_key_context=context).digest()
    body = b64decode(vector["sealed"])
    key = crypto_aead_aegis256_decrypt(body[32:], b"LNN1", body[:32], under)
    assert key.hex() == vector["node_key"]
    for file in WORKSTATION["files"]:
        held = json.loads(file["text"])
        assert held.keys() == {"format", "sealed"}
        opened = page_sealed(key, file["name"], b64decode(held["sealed"]))
        assert opened.decode() == file["content"]
    lan = WORKSTATION["lan_key"]
    body = b64decode(lan["text"].removeprefix("sealed:"))
    assert page_sealed(key, "lan_key", body).decode() == lan["lan_key"]


def page_object_hash(size: int, start: bytes) -> bytes:
    if size <= 17_825_792:
        return blake3(start).digest()
    context = "lucidnode 2026 format 1 oversize object"
    return blake3(struct.pack(">Q", size) + start[:65536], derive_key_context=context).digest()


@pytest.mark.parametrize("item", OBJECTS["objects"], ids=lambda item: item["name"])
def test_the_page_alone_is_enough_to_hash_an_object(item: dict[str, Any]) -> None:
    start = blake3(item["blake3_xof_of"].encode()).digest(length=min(item["size"], 17_825_793))
    assert page_object_hash(item["size"], start).hex() == item["hash"]


def page_key(context: str, key: bytes, project: bytes) -> bytes:
    return blake3(key + project, derive_key_context=f"lucidnode 2026 format 1 {context}").digest()


def page_block(key: bytes, project: bytes, epoch: int, plaintext: bytes) -> bytes:
    plaintext += bytes(-len(plaintext) % 4096)
    nonce = blake3(plaintext, key=page_key("nonce", key, project)).digest()
    block_key = blake3(project + nonce, key=page_key("content", key, project)).digest()
    block = header = b"LNB1" + struct.pack(">I", epoch) + nonce
    count = (len(plaintext) + 65535) // 65536
    for index in range(count):
        place = struct.pack(">IB", index, 1 if index == count - 1 else 0)
        block += crypto_aead_aegis256_encrypt(
            plaintext[index * 65536 : (index + 1) * 65536],
            header + project + place,
            place + bytes(27),
            block_key,
        )
    return block


@pytest.mark.parametrize("block", BLOCKS["blocks"], ids=lambda block: block["name"])
def test_the_page_alone_is_enough_to_make_a_block(block: dict[str, Any]) -> None:
    key = bytes.fromhex(BLOCKS["epoch_keys"][str(block["epoch"])])
    made = page_block(key, bytes.fromhex(BLOCKS["project"]), block["epoch"], plaintext_of(block))
    assert blake3(made).hexdigest() == block["id"]
    assert len(made) == block["cipher_size"]


@pytest.mark.parametrize("entry", JOURNAL["entries"], ids=lambda entry: entry["name"])
def test_the_page_alone_is_enough_to_read_an_entry(entry: dict[str, Any]) -> None:
    raw = bytes.fromhex(entry["entry"])
    unsigned, signature = raw[:-64], raw[-64:]
    message = b"lucidnode 2026 journal entry signature\0" + blake3(unsigned).digest()
    VerifyKey(bytes.fromhex(JOURNAL["device_public"])).verify(message, signature)
    magic, seq, project, _, previous, epoch, device, nonce = struct.unpack(
        ">4sQ16s16s32sI16s32s", unsigned[:128]
    )
    assert (magic, seq, epoch) == (b"LNJ\x01", entry["seq"], entry["epoch"])
    assert (project.hex(), device.hex()) == (JOURNAL["project"], JOURNAL["device"])
    assert previous.hex() == entry["previous"]
    empty = blake3(b"lucidnode 2026 journal empty entry\0" + blake3(raw).digest())
    assert empty.hexdigest() == entry["empty_link"]
    key = page_key("journal", bytes.fromhex(JOURNAL["epoch_keys"][str(epoch)]), project)
    padded = crypto_aead_aegis256_decrypt(unsigned[128:], unsigned[:128], nonce, key)
    assert len(padded) % 256 == 0
    length = int.from_bytes(padded[:4], "big")
    content = zstandard.decompress(padded[4 : 4 + length])
    changeset = bytes.fromhex(entry["changeset"])
    assert content.startswith(b"\x82\xa7wall_ns\xcf" + entry["wall_ns"].to_bytes(8, "big"))
    assert content.endswith(changeset)
    assert b"\xa9changeset" in content


@pytest.mark.parametrize("item", CHANGESETS["changesets"], ids=lambda item: item["name"])
def test_the_page_alone_is_enough_to_judge_a_changeset(item: dict[str, Any]) -> None:
    before = after(PROJECT_AT_FIRST, bytes.fromhex(CHANGESETS["before"]))
    changeset = bytes.fromhex(item["changeset"])
    if item["breaks"] is None:
        after(before, changeset)
    else:
        with pytest.raises(Breaks) as caught:
            after(before, changeset)
        assert caught.value.args == (item["breaks"],)


def test_every_rule_of_the_page_has_a_changeset_that_breaks_it() -> None:
    _, section = PAGE.split("## What an entry may change")
    section, _ = section.split("## Roster", 1)
    rules = {int(number) for number in re.findall(r"^(\d+)\. ", section, re.MULTILINE)}
    broken = {item["breaks"] for item in CHANGESETS["changesets"]}
    # To break the last one takes more directories than a vector should have.
    assert rules - broken == {17}


def test_a_segment_of_a_published_block_opens_alone() -> None:
    (block,) = (one for one in BLOCKS["blocks"] if one["name"] == "three segments")
    keys, plaintext = keys_of(BLOCKS, 1), plaintext_of(block)
    name, ciphertext = seal(keys, plaintext)
    published = BlockName(name.id, block["epoch"], bytes.fromhex(block["nonce"]), name.size)
    segment = ciphertext[40 + 65568 : 40 + 2 * 65568]
    assert BlockOpener(keys, published).segment(1, segment) == plaintext[65536 : 2 * 65536]


@pytest.mark.parametrize("vector", LEASES["leases"], ids=lambda vector: str(vector["name"]))
def test_leases(vector: dict[str, Any]) -> None:
    value = bytes.fromhex(vector["value"])
    row = decoded_lease(value)
    says = None if row is None else _plain(msgspec.structs.asdict(row))
    assert says == vector["says"]
    assert lease_in(value) == vector["says"]


@pytest.mark.parametrize("vector", WORDS["messages"], ids=lambda vector: str(vector["name"]))
def test_office_messages(vector: dict[str, Any]) -> None:
    keys, sealed = keys_of(WORDS, 2), bytes.fromhex(vector["sealed"])
    sender, receiver = DeviceId(WORDS["from"]), DeviceId(WORDS["to"])
    material = bytes.fromhex(WORDS["epoch_keys"]["2"] + WORDS["project"])
    derived = blake3(material, derive_key_context="lucidnode 2026 format 1 office message").digest()
    assert derived.hex() == WORDS["office_key"]
    if vector["says"] is None:
        with pytest.raises((FormatError, Malformed)):
            open_word(keys, sender, receiver, sealed)
        return
    word = open_word(keys, sender, receiver, sealed)
    assert _plain(msgspec.structs.asdict(word)) == _without_type(vector["says"])
    about = bytes.fromhex(WORDS["project"] + WORDS["from"] + WORDS["to"]) + sealed[:4]
    framed = aegis256_open(derived, sealed[4:36], sealed[36:], about)
    size = int.from_bytes(framed[:4], "big")
    assert len(framed) % 256 == 0
    assert msgspec.msgpack.decode(framed[4 : 4 + size])["type"] == vector["says"]["type"]
    for others in ((receiver, sender), (sender, sender)):
        with pytest.raises(FormatError):
            open_word(keys, *others, sealed)


def _without_type(says: dict[str, Any]) -> dict[str, Any]:
    lease = {"lease": says["lease"].encode().hex()} if "lease" in says else {}
    return {name: value for name, value in says.items() if name != "type"} | lease


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Return *fields* as vectors have them: bytes in hex, and without what is left out."""
    return {
        name: value.hex() if isinstance(value, bytes) else msgspec.to_builtins(value)
        for name, value in fields.items()
        if value is not msgspec.UNSET
    }


@pytest.mark.parametrize("vector", SNAPSHOTS["snapshots"], ids=lambda vector: str(vector["name"]))
def test_snapshots(vector: dict[str, Any]) -> None:
    attribute, value = bytes.fromhex(vector["attribute"]), bytes.fromhex(vector["value"])
    found = decoded_snapshot(attribute, value)
    says = None if found is None else {"name": found.name, **msgspec.structs.asdict(found.row)}
    assert says == vector["says"]
    assert snapshot_in(attribute, value) == vector["says"]


@pytest.mark.parametrize("vector", SNAPSHOTS["schedules"], ids=lambda vector: str(vector["name"]))
def test_schedules(vector: dict[str, Any]) -> None:
    value = bytes.fromhex(vector["value"])
    found = decoded_schedule(value)
    assert (None if found is None else msgspec.structs.asdict(found)) == vector["says"]
    assert schedule_in(value) == vector["says"]


@pytest.mark.parametrize("vector", QUOTAS["quotas"], ids=lambda vector: str(vector["name"]))
def test_quotas(vector: dict[str, Any]) -> None:
    value = bytes.fromhex(vector["value"])
    found = decoded_quota(value)
    assert (None if found is None else msgspec.structs.asdict(found)) == vector["says"]
    assert quota_in(value) == vector["says"]


@pytest.mark.parametrize("vector", LEASES["write_leases"], ids=lambda vector: str(vector["name"]))
def test_write_leases(vector: dict[str, Any]) -> None:
    row = decoded_write_lease(bytes.fromhex(vector["value"]))
    assert (None if row is None else msgspec.structs.asdict(row)) == vector["says"]
