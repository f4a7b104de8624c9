"""The published attestation of format 1, read by the code and, from the page alone, by this test."""

from __future__ import annotations

import json
from typing import Any

import pytest
from blake3 import blake3
from lab.places import REPOSITORY
from nacl.signing import VerifyKey

from lucidnode.fs.format import sodium
from lucidnode.node.client.attestation import (
    Attestation,
    attestation_message,
    attestation_name,
    attestation_of,
    opened_attestation,
)
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq

VECTORS = REPOSITORY / "docs" / "vectors"
JOURNAL = json.loads((VECTORS / "journal.json").read_text())
CHECKPOINT = json.loads((VECTORS / "checkpoint.json").read_text())
GOLDEN = json.loads((VECTORS / "attestation.json").read_text())
BODY = bytes.fromhex(GOLDEN["attestation"])
PUBLIC = bytes.fromhex(JOURNAL["device_public"])
PROJECT, DEVICE, SEQ = ProjectId(JOURNAL["project"]), DeviceId(JOURNAL["device"]), Seq(2000)


def opened(body: bytes) -> Attestation:
    return opened_attestation(
        body, PROJECT, SEQ, DEVICE, lambda device: PUBLIC if device == DEVICE else None
    )


def test_it_is_read_and_made_anew_byte_by_byte() -> None:
    found = opened(BODY)
    assert found.manifest == blake3(bytes.fromhex(CHECKPOINT["manifest"])).digest()
    unsigned = found.encode()
    assert attestation_message(unsigned).hex() == GOLDEN["signing_message"]
    seed = bytes.fromhex(JOURNAL["device_seed"])
    assert unsigned + sodium.sign(seed, attestation_message(unsigned)) == BODY


def test_it_is_read_from_the_page_alone() -> None:
    unsigned, signature = BODY[:76], BODY[76:]
    assert unsigned[:4] == b"LNW\x01"
    assert int.from_bytes(unsigned[4:12]) == GOLDEN["seq"]
    assert (unsigned[12:28].hex(), unsigned[28:44].hex()) == (PROJECT, DEVICE)
    assert unsigned[44:] == blake3(bytes.fromhex(CHECKPOINT["manifest"])).digest()
    message = b"lucidnode 2026 checkpoint attestation\0" + blake3(unsigned).digest()
    VerifyKey(PUBLIC).verify(message, signature)


@pytest.mark.parametrize("bad", GOLDEN["bad"], ids=str)
def test_what_is_not_one_is_refused(bad: dict[str, Any]) -> None:
    at, bit = bad["flip"]
    changed = bytearray(BODY)
    changed[at] ^= 1 << bit
    if bad["sign"]:
        seed = bytes.fromhex(JOURNAL["device_seed"])
        changed[76:] = sodium.sign(seed, attestation_message(bytes(changed[:76])))
    with pytest.raises(Malformed):
        opened(bytes(changed))


@pytest.mark.parametrize("body", [b"", BODY[:-1], BODY + b"\0"])
def test_one_of_another_length_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        opened(body)


def test_its_name_says_of_what_and_whose_it_is() -> None:
    assert attestation_of(attestation_name(SEQ, DEVICE)) == (SEQ, DEVICE)
    for strange in (
        "",
        f"{2000:016d}",
        f"{0:016d}.{DEVICE}",
        f"{2000:016d}.{DEVICE}0",
        "x." + DEVICE,
    ):
        assert attestation_of(strange) is None
