"""The published checkpoint of format 1, read by the code and, from the page alone, by this test.

It is kept for ever: a change that breaks it breaks the checkpoints of every studio.
"""

from __future__ import annotations

import contextlib
import json
import struct
from typing import Any

import msgspec
import pytest
from blake3 import blake3
from checkpoint_fixture import state_rows
from lab.places import REPOSITORY
from nacl.bindings import crypto_aead_aegis256_decrypt
from nacl.signing import VerifyKey
from row_breaches import RowTables

from lucidnode.fs import errors
from lucidnode.fs.checkpoints.pieces import TABLES, StateRow, pieces, rows_in
from lucidnode.fs.format import sodium
from lucidnode.fs.format.block import open_block, seal
from lucidnode.fs.format.checkpoint import (
    CheckpointContents,
    CheckpointPart,
    open_checkpoint,
    seal_checkpoint,
)
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.node.client.checkpoint import CheckpointHeader, checkpoint_message
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq

VECTORS = REPOSITORY / "docs" / "vectors"
JOURNAL = json.loads((VECTORS / "journal.json").read_text())
GOLDEN = json.loads((VECTORS / "checkpoint.json").read_text())
MANIFEST = bytes.fromhex(GOLDEN["manifest"])
KEYS = ProjectKeys.of(
    ProjectId(JOURNAL["project"]),
    {int(epoch): bytes.fromhex(key) for epoch, key in JOURNAL["epoch_keys"].items()},
)
SEED = bytes.fromhex(JOURNAL["device_seed"])
SEQ = Seq(GOLDEN["seq"])
CIPHERTEXTS = {
    bytes.fromhex(each["id"]): bytes.fromhex(each["ciphertext"]) for each in GOLDEN["pieces"]
}


def writer(device: DeviceId) -> bytes | None:
    return bytes.fromhex(JOURNAL["device_public"]) if device == JOURNAL["device"] else None


def shown(value: int | bytes) -> int | str:
    return value if isinstance(value, int) else value.hex()


def read_part(part: CheckpointPart) -> list[StateRow]:
    rows: list[StateRow] = []
    for piece in part.pieces:
        plaintext = open_block(KEYS, piece.block, CIPHERTEXTS[piece.id])
        found, _ = rows_in(plaintext, piece.digest, is_base=part.since == 0, after=None)
        rows += state_rows(found)
    return rows


def test_it_leads_to_the_published_state() -> None:
    header, contents = open_checkpoint(KEYS, MANIFEST, SEQ, writer)
    assert (header.seq, header.link.hex()) == (SEQ, GOLDEN["link"])
    state = {key: row for part in contents.parts for key, row in read_part(part)}
    found = [[TABLES[int(key[0])], *map(shown, row)] for key, row in sorted(state.items()) if row]
    assert found == GOLDEN["state"]


def test_it_is_made_anew_byte_by_byte() -> None:
    header, contents = open_checkpoint(KEYS, MANIFEST, SEQ, writer)
    unsigned = seal_checkpoint(KEYS, SEQ, header.link, header.device, contents, header.nonce)
    assert checkpoint_message(unsigned).hex() == GOLDEN["signing_message"]
    assert unsigned + sodium.sign(SEED, checkpoint_message(unsigned)) == MANIFEST
    made = [
        content.hex()
        for part in contents.parts
        for content in pieces(read_part(part), is_base=part.since == 0)
    ]
    assert made == [each["content"] for each in GOLDEN["pieces"]]


def harmed(edit: dict[str, Any]) -> bytes:
    """Return the manifest changed as a vector says."""
    changed = bytearray(MANIFEST)
    if "flip" in edit:
        position, bit = edit["flip"]
        changed[position] ^= 1 << bit
    if "cut" in edit:
        del changed[-edit["cut"] :]
    changed += bytes.fromhex(edit.get("append", ""))
    unsigned = bytes(changed[:-64])
    if "contents" in edit:
        header = CheckpointHeader.parse(MANIFEST[:-64]).encode()
        content = bytes.fromhex(edit["contents"])
        framed = struct.pack(">I", len(content)) + content
        framed += bytes(-len(framed) % 256)
        key = KEYS.epoch(2).journal
        unsigned = header + sodium.aegis256_seal(key, header[80:112], framed, header)
    if "contents" in edit or edit.get("sign"):
        return unsigned + sodium.sign(SEED, checkpoint_message(unsigned))
    return bytes(changed)


@pytest.mark.parametrize("bad", [one for one in GOLDEN["bad"] if "piece" not in one["edit"]])
def test_bad_manifests_are_refused_as_published(bad: dict[str, Any]) -> None:
    with pytest.raises(errors.FsError) as caught:
        open_checkpoint(KEYS, harmed(bad["edit"]), SEQ, writer)
    assert type(caught.value).__name__ == bad["error"]


@pytest.mark.parametrize("bad", [one for one in GOLDEN["bad"] if "piece" in one["edit"]])
def test_bad_pieces_are_refused_as_published(bad: dict[str, Any]) -> None:
    index, raw = bad["edit"]["piece"]
    content = bytes.fromhex(raw)
    framed = struct.pack(">I", len(content)) + content
    name, ciphertext = seal(KEYS, framed + bytes(-len(framed) % 4096))
    assert index == 0
    assert bad["error"] == "BadCheckpoint"
    plaintext = open_block(KEYS, name, ciphertext)
    with contextlib.suppress(errors.BadCheckpoint):
        found, _ = rows_in(plaintext, blake3(content).digest(), is_base=True, after=None)
        # What reads as rows is judged where all rows are: a newcomer refuses the checkpoint alike.
        rows = [(table, [row[1:] for row in there]) for table, there, _ in found]
        assert any(RowTables().breaches(table, there) for table, there in rows)


def page_key(context: str, epoch: int) -> bytes:
    raw = bytes.fromhex(JOURNAL["epoch_keys"][str(epoch)] + JOURNAL["project"])
    return blake3(raw, derive_key_context=f"lucidnode 2026 format 1 {context}").digest()


def page_plaintext(block: bytes, epoch: int, nonce: bytes) -> bytes:
    """Return what a block of one segment holds, as the page has it."""
    assert block[:40] == b"LNB1" + struct.pack(">I", epoch) + nonce
    project = bytes.fromhex(JOURNAL["project"])
    key = blake3(project + nonce, key=page_key("content", epoch)).digest()
    place = b"\0\0\0\0\1"
    return crypto_aead_aegis256_decrypt(
        block[40:], block[:40] + project + place, place + bytes(27), key
    )


def page_unframed(framed: bytes, multiple: int) -> bytes:
    length = int.from_bytes(framed[:4])
    assert len(framed) == (4 + length + multiple - 1) // multiple * multiple
    assert not any(framed[4 + length :])
    return framed[4 : 4 + length]


def test_the_page_alone_is_enough_to_read_it() -> None:
    unsigned, signature = MANIFEST[:-64], MANIFEST[-64:]
    message = b"lucidnode 2026 checkpoint signature\0" + blake3(unsigned).digest()
    VerifyKey(bytes.fromhex(JOURNAL["device_public"])).verify(message, signature)
    magic, seq, project, link, epoch, device, nonce = struct.unpack(
        ">4sQ16s32sI16s32s", unsigned[:112]
    )
    assert (magic, seq, link.hex()) == (b"LNC\x01", GOLDEN["seq"], GOLDEN["link"])
    assert (project.hex(), device.hex()) == (JOURNAL["project"], JOURNAL["device"])
    body = crypto_aead_aegis256_decrypt(
        unsigned[112:], unsigned[:112], nonce, page_key("journal", epoch)
    )
    contents = msgspec.msgpack.decode(page_unframed(body, 256))
    state: dict[tuple[Any, ...], Any] = {}
    key_columns = [1, 2, 2, 1, 2]
    at = 0
    for part in contents["parts"]:
        assert part["since"] == at
        at = part["upto"]
        for id_, piece_epoch, piece_nonce, size, digest in part["pieces"]:
            assert blake3(CIPHERTEXTS[id_]).digest() == id_
            plaintext = page_plaintext(CIPHERTEXTS[id_], piece_epoch, piece_nonce)
            assert len(plaintext) == size
            content = page_unframed(plaintext, 4096)
            assert blake3(content).digest() == digest
            for number, *columns in msgspec.msgpack.decode(content):
                keys = key_columns[number]
                key = (number, *columns[:keys])
                state.pop(key, None)
                if len(columns) > keys:
                    state[key] = columns
    assert at == GOLDEN["seq"]
    names = ["inode", "name", "extent", "block", "xattr"]
    found = [[names[key[0]], *map(shown, row)] for key, row in sorted(state.items())]
    assert found == GOLDEN["state"]


def test_the_golden_checkpoint_has_a_base_and_a_part_that_takes_rows_away() -> None:
    contents: CheckpointContents = open_checkpoint(KEYS, MANIFEST, SEQ, writer)[1]
    assert [part.since for part in contents.parts] == [0, 1000]
    assert any(row is None for _, row in read_part(contents.parts[1]))
