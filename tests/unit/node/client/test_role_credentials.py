"""Credentials of a role as bytes: who opens them, who may give them, and what does not pass for them."""

from __future__ import annotations

import os
from functools import partial

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import (
    crypto_sign_ed25519_pk_to_curve25519,
    crypto_sign_ed25519_sk_to_curve25519,
    crypto_sign_seed_keypair,
)
from studio_fixture import Studio

from lucidnode.fs.format import sodium
from lucidnode.fs.membership.entries import revoke_entry, role_entry
from lucidnode.fs.membership.member_file import Membership
from lucidnode.node.client.device_seal import SEALED_SIZE, open_as_device, seal_to_device
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.public_keys import box_key_of
from lucidnode.node.client.role_credentials import (
    MAX_SET_BYTES,
    SetName,
    holders,
    open_role_set,
    seal_role_set,
)
from lucidnode.node.client.roster import Device, Roster
from lucidnode.node.client.roster_entry import Role, device_id

NAME = SetName("viewer", 3)
CONTENTS = b'{"access_key":"AK"}'
SEEDS = {name: name.encode() * 16 for name in ("bo", "cy", "di")}


class Office:
    """Ada founded; Bo is an owner, Cy an editor, Di a viewer."""

    def __init__(self) -> None:
        self.studio = Studio(seed=b"ad" * 16)
        roles: dict[str, Role] = {"bo": "owner", "cy": "editor", "di": "viewer"}
        self.people = {
            name: self.studio.join(role, name, seed=SEEDS[name]) for name, role in roles.items()
        }

    @property
    def roster(self) -> Roster:
        return self.studio.roster()

    def sealed(
        self, name: SetName = NAME, by: Membership | None = None, studio: bytes | None = None
    ) -> bytes:
        keys = (by or self.studio.ada).keys
        devices = holders(self.roster, name.role)
        return seal_role_set(
            name,
            studio or self.roster.studio,
            devices,
            CONTENTS,
            keys.public,
            keys.sign,
            os.urandom,
        )

    def opened(self, raw: bytes, who: str, name: SetName = NAME) -> bytes | None:
        return open_role_set(raw, name, self.roster, _device(who), partial(_unseal, who)).contents


def _unseal(who: str, sealed: bytes, context: bytes) -> bytes | None:
    return open_as_device(SEEDS[who], sealed, context)


def _device(who: str) -> DeviceId:
    return device_id(sodium.signing_public(SEEDS[who]))


def test_a_device_key_stands_for_the_box_key_that_libsodium_says() -> None:
    for seed in (bytes(32), b"\x01" * 32, os.urandom(32)):
        public, secret = crypto_sign_seed_keypair(seed)
        assert box_key_of(public) == crypto_sign_ed25519_pk_to_curve25519(public)
        box = X25519PrivateKey.from_private_bytes(crypto_sign_ed25519_sk_to_curve25519(secret))
        assert box.public_key().public_bytes_raw() == box_key_of(public)


def test_a_seal_opens_for_its_device_in_its_place_alone() -> None:
    public = sodium.signing_public(SEEDS["bo"])
    sealed = seal_to_device(public, b"k" * 32, b"here", os.urandom(32))
    assert len(sealed) == SEALED_SIZE
    assert open_as_device(SEEDS["bo"], sealed, b"here") == b"k" * 32
    assert open_as_device(SEEDS["cy"], sealed, b"here") is None
    assert open_as_device(SEEDS["bo"], sealed, b"there") is None
    # A point of small order would agree with everybody on the same key.
    assert open_as_device(SEEDS["bo"], bytes(32) + sealed[32:], b"here") is None


@given(st.integers(0, SEALED_SIZE - 1), st.integers(1, 255))
def test_no_byte_of_a_seal_can_be_changed(at: int, by: int) -> None:
    public = sodium.signing_public(SEEDS["bo"])
    sealed = bytearray(seal_to_device(public, b"k" * 32, b"here", b"e" * 32))
    sealed[at] ^= by
    opened = open_as_device(SEEDS["bo"], bytes(sealed), b"here")
    # X25519 reads no top bit of a key; the key of the seal is made of the bytes all the same.
    assert opened is None


def test_those_of_the_role_and_owners_open_a_set_and_nobody_else() -> None:
    office = Office()
    for role, able in (("viewer", {"bo", "di"}), ("editor", {"bo", "cy"}), ("owner", {"bo"})):
        name = SetName(role, 1)  # type: ignore[arg-type]
        raw = office.sealed(name)
        assert {who for who in SEEDS if office.opened(raw, who, name) == CONTENTS} == able
        assert {who for who in SEEDS if office.opened(raw, who, name) is None} == set(SEEDS) - able


def test_an_editor_who_may_invite_has_those_of_viewers_for_as_long_as_he_may() -> None:
    office = Office()
    viewers = SetName("viewer", 1)
    for may, able in ((True, {"bo", "cy", "di"}), (False, {"bo", "di"})):
        office.studio.let_invite(office.people["cy"], may=may)
        raw = office.sealed(viewers)
        assert {who for who in SEEDS if office.opened(raw, who, viewers) == CONTENTS} == able
        owners = office.sealed(SetName("owner", 1))
        assert office.opened(owners, "cy", SetName("owner", 1)) is None


def test_a_role_in_one_project_counts_as_the_widest() -> None:
    office = Office()
    demo = office.studio.project("demo")
    view = office.studio.view(office.studio.ada)
    office.studio.entries.append(role_entry(view, office.people["di"].keys.public, demo, "editor"))
    ids = {device.id for device in holders(office.roster, "editor")}
    assert _device("di") in ids
    assert _device("di") not in {device.id for device in holders(office.roster, "viewer")}


@pytest.mark.parametrize("who", ["cy", "di"])
def test_nobody_but_an_owner_gives_a_role_credentials(who: str) -> None:
    office = Office()
    with pytest.raises(Malformed, match="by nobody who may"):
        office.opened(office.sealed(by=office.people[who]), "bo")


def test_what_somebody_gave_who_is_no_owner_any_more_counts_no_longer() -> None:
    office = Office()
    raw = office.sealed(by=office.people["bo"])
    assert office.opened(raw, "di") == CONTENTS
    view = office.studio.view(office.studio.ada)
    office.studio.entries.append(revoke_entry(view, [office.people["bo"].keys.public]))
    with pytest.raises(Malformed, match="by nobody who may"):
        office.opened(raw, "di")


def test_a_set_counts_under_its_own_name_in_its_own_studio_alone() -> None:
    office = Office()
    raw = office.sealed()
    for other in (SetName("viewer", 4), SetName("owner", 3)):
        with pytest.raises(Malformed, match="signature"):
            office.opened(raw, "bo", other)
    with pytest.raises(Malformed, match="signature"):
        office.opened(office.sealed(studio=b"T" * 16), "bo")


def test_a_set_that_is_sealed_to_another_key_than_it_names_is_none() -> None:
    office = Office()
    di = office.roster.devices[_device("di")]
    other = Device(di.id, sodium.signing_public(SEEDS["cy"]), di.certificate, di.member, di.role)
    keys = office.studio.ada.keys
    raw = seal_role_set(
        NAME, office.roster.studio, [other], CONTENTS, keys.public, keys.sign, os.urandom
    )
    with pytest.raises(Malformed, match="another key"):
        office.opened(raw, "di")


@given(st.data())
def test_any_bytes_are_a_set_or_malformed(data: st.DataObject) -> None:
    raw = bytearray(_RAW)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    try:
        assert _OFFICE.opened(bytes(raw), "di") == CONTENTS
    except Malformed:
        assert bytes(raw) != _RAW


_OFFICE = Office()
_RAW = _OFFICE.sealed()


def test_sets_are_small_and_are_refused_when_they_are_not() -> None:
    with pytest.raises(Malformed, match="large"):
        _OFFICE.opened(bytes(MAX_SET_BYTES + 1), "di")
    one = len(msgspec.msgpack.encode({bytes(16): bytes(SEALED_SIZE)}))
    assert 1800 * one < MAX_SET_BYTES


@pytest.mark.parametrize(
    "text", ["", "viewer", "viewer/3", "guest/0000000000000003", f"viewer/{3:016d}/x", f"/{3:016d}"]
)
def test_names_are_strict(text: str) -> None:
    assert SetName.parse(text) is None
    assert SetName.parse(str(NAME)) == NAME
