"""The device key: made once, kept private, and the only way onto the LAN."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from lucidnode.node.client.errors import Refused
from lucidnode.node.client.roster_entry import device_id
from lucidnode.node.identity import DeviceIdentity


def test_a_loaded_device_is_the_one_that_was_created(tmp_path: Path) -> None:
    made = DeviceIdentity.create(tmp_path / "home" / "device.pem")
    read = DeviceIdentity.load(tmp_path / "home" / "device.pem")
    assert (read.id, read.public, read.certificate) == (made.id, made.public, made.certificate)
    assert read.sign(b"x") == made.sign(b"x")
    assert made.id == device_id(made.public)


def test_the_key_is_readable_by_its_owner_only_and_nothing_is_left_beside_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "device.pem"
    DeviceIdentity.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_keeps_its_key_for_life(tmp_path: Path) -> None:
    path = tmp_path / "device.pem"
    DeviceIdentity.create(path)
    before = path.read_bytes()
    with pytest.raises(Refused, match="already"):
        DeviceIdentity.create(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_unusable_key_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "device.pem"
    with pytest.raises(Refused, match="No such file"):
        DeviceIdentity.load(path)
    made = DeviceIdentity.create(path)
    path.chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        DeviceIdentity.load(path)
    path.chmod(0o600)
    for content in (b"", path.read_bytes()[:60], made.certificate, b"\0" * 4096):
        path.write_bytes(content)
        with pytest.raises(Refused, match="damaged"):
            DeviceIdentity.load(path)


@pytest.mark.parametrize("lost", ["cut", "damaged", "gone"])
def test_a_certificate_that_was_lost_from_the_file_is_made_again(tmp_path: Path, lost: str) -> None:
    path = tmp_path / "device.pem"
    made = DeviceIdentity.create(path)
    whole = path.read_bytes()
    end = whole.index(b"-----BEGIN CERTIFICATE")
    damaged = whole.replace(whole[end + 40 : end + 60], b"?" * 20)
    path.write_bytes({"cut": whole[: end + 100], "damaged": damaged, "gone": whole[:end]}[lost])
    read = DeviceIdentity.load(path)
    assert path.read_bytes() == whole
    assert path.stat().st_mode & 0o777 == 0o600
    seen = handshake(
        read.client_context([made.certificate]), made.server_context([read.certificate])
    )
    assert seen == (made.certificate, made.certificate)


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[bytes | None, bytes | None]:
    """Shake hands in memory; return the certificates that client and server saw."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    dialling = client.wrap_bio(to_client, to_server, server_hostname="x")
    dialled = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (dialling, dialled):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return dialling.getpeercert(binary_form=True), dialled.getpeercert(binary_form=True)


def test_tls_joins_devices_that_trust_each_other_and_shows_who_they_are(tmp_path: Path) -> None:
    a = DeviceIdentity.create(tmp_path / "a.pem")
    b = DeviceIdentity.create(tmp_path / "b.pem")
    trusted = [a.certificate, b.certificate]
    seen = handshake(a.client_context(trusted), b.server_context(trusted))
    assert seen == (b.certificate, a.certificate)


def test_tls_refuses_whoever_is_not_trusted_on_either_side(tmp_path: Path) -> None:
    a = DeviceIdentity.create(tmp_path / "a.pem")
    b = DeviceIdentity.create(tmp_path / "b.pem")
    both = [a.certificate, b.certificate]
    for trusted_by_a, trusted_by_b in ((both, [b.certificate]), ([a.certificate], both), ([], [])):
        with pytest.raises(ssl.SSLError):
            handshake(a.client_context(trusted_by_a), b.server_context(trusted_by_b))


def test_tls_is_of_version_1_3_and_no_other(tmp_path: Path) -> None:
    a = DeviceIdentity.create(tmp_path / "a.pem")
    old = a.client_context([a.certificate])
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        handshake(old, a.server_context([a.certificate]))
