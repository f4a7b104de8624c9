"""The bytes of webhooks: the published vectors, and what is no webhook."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

import msgspec
import pytest
from lab.places import REPOSITORY

from lucidnode.fs.format import sodium
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.webhooks.webhook_record import (
    MAX_SEALS,
    ident_in,
    job_in,
    new_record,
    opened_secret,
    record_in,
    record_name,
)
from lucidnode.node.client.ids import DeviceId, ProjectId

VECTORS = json.loads((REPOSITORY / "docs/vectors/webhooks.json").read_text())
PROJECT, IDENT = ProjectId(VECTORS["project"]), VECTORS["id"]
KEYS = MemberKeys(bytes.fromhex(VECTORS["sign_seed"]), bytes.fromhex(VECTORS["box_secret"]))
SECRET = "0123456789abcdef" * 4


@pytest.mark.parametrize("vector", VECTORS["records"], ids=lambda vector: str(vector["name"]))
def test_records(vector: dict[str, Any]) -> None:
    record = record_in(bytes.fromhex(vector["value"]))
    says = None
    if record is not None:
        says = {
            "url": record.url,
            "paths": record.paths,
            "by": record.by.hex(),
            "device": record.device,
            "secret": opened_secret(record, PROJECT, IDENT, KEYS),
        }
    assert says == vector["says"]


@pytest.mark.parametrize("vector", VECTORS["jobs"], ids=lambda vector: str(vector["name"]))
def test_jobs(vector: dict[str, Any]) -> None:
    job = job_in(bytes.fromhex(vector["value"]))
    assert (None if job is None else msgspec.structs.asdict(job)) == vector["says"]


def test_what_is_signed_is_what_the_page_says() -> None:
    value = msgspec.msgpack.decode(bytes.fromhex(VECTORS["records"][0]["value"]))
    secret = sodium.unseal(KEYS.box_secret, value["seals"][KEYS.box])
    digest = blake2b(secret, digest_size=32).digest()
    fields = [PROJECT, IDENT, value["url"], value["paths"], value["device"], digest]
    said = b"lucidnode webhook v1\0" + msgspec.msgpack.encode(fields)
    assert value["signature"] == KEYS.sign(said)


def test_a_secret_that_was_sealed_anew_by_somebody_else_or_is_for_another_project_opens_not() -> (
    None
):
    made = new_record(
        PROJECT, IDENT, "https://x/", SECRET, paths=False, keys=KEYS, device=DeviceId("0" * 32)
    ).sealed_to(SECRET, [KEYS.box])
    assert opened_secret(made, PROJECT, IDENT, KEYS) == SECRET
    assert opened_secret(made, ProjectId("0" * 32), IDENT, KEYS) is None
    assert opened_secret(made, PROJECT, "00000000", KEYS) is None
    for other in ("f" * 64, "short", "é" * 64):
        swapped = {KEYS.box: sodium.seal_to(KEYS.box, other.encode())}
        forged = msgspec.structs.replace(made, seals=swapped)
        assert opened_secret(forged, PROJECT, IDENT, KEYS) is None
    broken = msgspec.structs.replace(made, seals={KEYS.box: b"x" * 112})
    assert opened_secret(broken, PROJECT, IDENT, KEYS) is None


def test_it_is_sealed_to_so_many_and_fits_into_an_attribute() -> None:
    boxes = [MemberKeys.new().box for _ in range(MAX_SEALS + 5)]
    made = new_record(
        PROJECT, IDENT, "h" * 2048, SECRET, paths=False, keys=KEYS, device=DeviceId("0" * 32)
    ).sealed_to(SECRET, boxes)
    assert len(made.seals) == MAX_SEALS
    assert len(made.encoded()) <= 65_536
    assert record_in(made.encoded()) == made


@pytest.mark.parametrize("name", [b"", b"1c9e0a4", b"1C9E0A42", b"1c9e0a42.", b"\xff" * 8])
def test_a_name_is_an_id(name: bytes) -> None:
    assert ident_in(b"user.lucid.webhook." + name) is None
    assert ident_in(record_name(IDENT)) == IDENT
