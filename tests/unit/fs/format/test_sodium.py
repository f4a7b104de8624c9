"""The library behind the door is the one the format names, and its refusals are ours."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.errors import Forged
from lucidnode.fs.format import sodium


def test_aegis_256_with_a_32_byte_tag_is_the_one_of_the_internet_draft() -> None:
    # draft-irtf-cfrg-aegis-aead, "AEGIS-256 Test Vectors", Test Vector 1.
    key = bytes.fromhex("10010000" + "00" * 28)
    nonce = bytes.fromhex("10000200" + "00" * 28)
    sealed = sodium.aegis256_seal(key, nonce, bytes(16), b"")
    assert sealed.hex() == (
        "754fc3d8c973246dcc6d741412a4b236"
        "1181a1d18091082bf0266f66297d167d2e68b845f61a3b0527d31fc7b7b89f13"
    )


def test_ed25519_is_the_one_of_rfc_8032() -> None:
    # RFC 8032, section 7.1, TEST 1.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert sodium.signing_public(seed).hex() == (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert sodium.sign(seed, b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


@given(st.binary(min_size=32, max_size=32))
def test_x25519_agrees_with_another_library(secret: bytes) -> None:
    other = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    assert sodium.box_public(secret) == other


@pytest.mark.parametrize("length", [0, 1, 31])
def test_anything_shorter_than_a_tag_is_forged(length: int) -> None:
    with pytest.raises(Forged):
        sodium.aegis256_open(bytes(32), bytes(32), bytes(length), b"")


def test_ciphertext_opens_only_with_its_own_key_nonce_and_associated_data() -> None:
    key, nonce = sodium.random_bytes(32), sodium.random_bytes(32)
    sealed = sodium.aegis256_seal(key, nonce, b"frames", b"place")
    assert sodium.aegis256_open(key, nonce, sealed, b"place") == b"frames"
    other = sodium.random_bytes(32)
    for wrong in [
        (other, nonce, b"place"),
        (key, other, b"place"),
        (key, nonce, b"plac"),
        (key, nonce, b""),
    ]:
        with pytest.raises(Forged):
            sodium.aegis256_open(wrong[0], wrong[1], sealed, wrong[2])


def test_a_sealed_box_opens_for_its_key_only() -> None:
    mine, other = sodium.random_bytes(32), sodium.random_bytes(32)
    sealed = sodium.seal_to(sodium.box_public(mine), b"key of a project")
    assert sodium.unseal(mine, sealed) == b"key of a project"
    for secret, box in [(other, sealed), (mine, sealed[:-1]), (mine, b""), (mine, sealed + b"\0")]:
        with pytest.raises(Forged):
            sodium.unseal(secret, box)


@pytest.mark.parametrize("position", range(16 + sodium.BOX_OVERHEAD))
def test_a_sealed_box_with_any_byte_changed_does_not_open(position: int) -> None:
    secret = bytes(range(32))
    box = bytearray(sodium.seal_to(sodium.box_public(secret), bytes(16)))
    box[position] ^= 1
    with pytest.raises(Forged):
        sodium.unseal(secret, bytes(box))


def test_sealing_to_a_key_that_gives_no_secrecy_is_refused() -> None:
    with pytest.raises(Forged):
        sodium.seal_to(bytes(32), b"key of a project")


def test_argon2id_depends_on_passphrase_salt_and_cost() -> None:
    cheap = sodium.PassphraseCost(passes=1, kibibytes=8)
    keys = {
        sodium.argon2id(b"one", bytes(16), cheap),
        sodium.argon2id(b"two", bytes(16), cheap),
        sodium.argon2id(b"one", b"s" * 16, cheap),
        sodium.argon2id(b"one", bytes(16), sodium.PassphraseCost(passes=2, kibibytes=8)),
        sodium.argon2id(b"one", bytes(16), sodium.PassphraseCost(passes=1, kibibytes=16)),
    }
    assert len(keys) == 5
    assert sodium.argon2id(b"one", bytes(16), cheap) in keys
