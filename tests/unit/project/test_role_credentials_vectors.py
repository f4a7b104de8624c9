"""docs/vectors/role-credentials.json, read with the program's code, and once more from docs/format.md alone."""

from __future__ import annotations

import hmac
import json
from functools import partial

import msgspec
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lab.places import REPOSITORY
from nacl.bindings import (
    crypto_scalarmult,
    crypto_sign_ed25519_pk_to_curve25519,
    crypto_sign_ed25519_sk_to_curve25519,
    crypto_sign_seed_keypair,
)
from nacl.signing import VerifyKey

from lucidnode.node.client.device_seal import open_as_device
from lucidnode.node.client.ids import DeviceId, Seq
from lucidnode.node.client.role_credentials import SetName, open_role_set
from lucidnode.node.client.roster import Member, Roster

GOLDEN = json.loads((REPOSITORY / "docs" / "vectors" / "role-credentials.json").read_text())
BODY, STUDIO, AUTHOR = (bytes.fromhex(GOLDEN[name]) for name in ("object", "studio", "author"))
DEVICES = [
    (DeviceId(one["id"]), bytes.fromhex(one["seed"]), bytes.fromhex(one["public"]))
    for one in GOLDEN["devices"]
]


def test_a_set_reads_as_published() -> None:
    owner = Member(AUTHOR, b"", "owner", DEVICES[0][0], b"")
    roster = Roster(STUDIO, b"", Seq(1), b"", {AUTHOR: owner}, {}, {}, {}, (), None)
    name = SetName.parse(GOLDEN["key"].removeprefix("credentials/"))
    assert name is not None
    for device, seed, _ in DEVICES:
        opened = open_role_set(BODY, name, roster, device, partial(open_as_device, seed))
        assert opened.contents == GOLDEN["contents"].encode()
        assert opened.devices == {device for device, _, _ in DEVICES}


def test_the_page_alone_is_enough_to_open_a_set() -> None:
    found = msgspec.msgpack.decode(BODY)
    assert list(found) == ["format", "author", "keys", "sealed", "signature"]
    named = STUDIO + found["author"] + GOLDEN["key"].removeprefix("credentials/").encode() + b"\0"
    unsigned = msgspec.msgpack.encode(found | {"signature": b""})
    message = (
        b"lucidnode 2026 credentials of a role signature\0" + named + blake3(unsigned).digest()
    )
    VerifyKey(found["author"]).verify(message, found["signature"])
    context = b"lucidnode 2026 credentials of a role seal\0" + named
    for device, seed, public in DEVICES:
        once, sealed = (
            found["keys"][bytes.fromhex(device)][part] for part in (slice(32), slice(32, None))
        )
        box = crypto_sign_ed25519_pk_to_curve25519(public)
        secret = crypto_sign_ed25519_sk_to_curve25519(crypto_sign_seed_keypair(seed)[1])
        shared = crypto_scalarmult(secret, once)
        key = hmac.digest(shared, context + once + box, "sha256")
        content_key = AESGCM(key).decrypt(bytes(12), sealed, None)
        contents = AESGCM(content_key).decrypt(found["sealed"][:12], found["sealed"][12:], context)
        assert contents == GOLDEN["contents"].encode()
