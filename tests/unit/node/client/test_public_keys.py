"""Which keys and signatures count, at the edges where libraries disagree."""

from __future__ import annotations

import ssl
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.format import sodium
from lucidnode.node.client.device_certificate import SIZE, device_certificate, is_certificate
from lucidnode.node.client.public_keys import is_box_key, is_signing_key, verify

seeds = st.binary(min_size=32, max_size=32)


def test_a_signature_holds_for_one_message_and_key() -> None:
    seed = sodium.random_bytes(32)
    public, signature = sodium.signing_public(seed), sodium.sign(seed, b"message")
    assert verify(public, b"message", signature)
    assert not verify(public, b"massage", signature)
    assert not verify(sodium.signing_public(bytes(32)), b"message", signature)


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33), bytes(32), b"\xff" * 32])
@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(65), bytes(64), b"\xff" * 64])
def test_keys_and_signatures_of_any_wrong_shape_are_a_plain_no(
    public: bytes, signature: bytes
) -> None:
    assert verify(public, b"message", signature) is False


@given(seeds)
def test_every_key_that_is_made_counts(seed: bytes) -> None:
    assert is_signing_key(sodium.signing_public(seed))
    assert is_box_key(sodium.box_public(seed))


@given(st.binary(max_size=40), st.binary(max_size=70))
def test_no_bytes_raise(key: bytes, signature: bytes) -> None:
    assert not verify(key, b"message", signature)
    is_box_key(key)
    assert not is_certificate(signature, key)


@given(seeds)
def test_a_certificate_says_what_x509_says(seed: bytes) -> None:
    public = sodium.signing_public(seed)
    made = device_certificate(public, partial(sodium.sign, seed))
    assert len(made) == SIZE
    assert is_certificate(made, public)
    parsed = x509.load_der_x509_certificate(made)
    key = parsed.public_key()
    assert isinstance(key, Ed25519PublicKey)
    assert key.public_bytes_raw() == public
    parsed.verify_directly_issued_by(parsed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=made)
    assert context.get_ca_certs() or context.cert_store_stats()["x509"] == 1


def test_a_flipped_bit_anywhere_makes_it_no_certificate() -> None:
    seed = b"d" * 32
    public = sodium.signing_public(seed)
    made = bytearray(device_certificate(public, partial(sodium.sign, seed)))
    for position in range(len(made)):
        made[position] ^= 1 << position % 8
        assert not is_certificate(bytes(made), public)
        made[position] ^= 1 << position % 8
    assert is_certificate(bytes(made), public)
