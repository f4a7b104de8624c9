"""Exporting the keys of a workstation, and making a workstation of them. Touches both planes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lucidnode.fs.membership.key_copy import KeyCopy, open_copy, seal_copy
from lucidnode.fs.membership.member_file import Membership
from lucidnode.new_home import NodeOptions, save_secrets, unfinished
from lucidnode.new_secret import write_new_secret
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import DiskFull, Refused
from lucidnode.node.config import (
    DEVICE_FILE,
    NodeConfig,
    load_config,
    load_credentials,
    save_config,
)
from lucidnode.node.identity import DeviceIdentity


def export_keys(home: Path, mine: Membership, passphrase: str, target: Path) -> None:
    """Write a copy of the keys in *home* into the new file *target*, sealed under *passphrase*.

    Takes about a second by design. Raises Refused if *target* is there, DiskFull, OSError.
    """
    config = load_config(home)
    DeviceIdentity.load(home / DEVICE_FILE)  # a copy of damaged keys is none
    credentials = load_credentials(home)
    held = msgspec.to_builtins(credentials) if credentials else {}
    copy = KeyCopy(
        membership=mine,
        device=(home / DEVICE_FILE).read_bytes(),
        bucket=config.bucket_url,
        endpoint=config.endpoint_url,
        region=config.region,
        authorities=config.authorities,
        credentials={name: value for name, value in held.items() if value is not None},
        lan_key=bytes.fromhex(config.lan_key),
    )
    sealed = seal_copy(copy, passphrase)
    write_new_secret(target, sealed)


def import_keys(home: Path, raw: bytes, passphrase: str, local: NodeOptions) -> None:
    """Make *home* the workstation whose exported keys *raw* are; its passphrase is *passphrase*.

    Takes about two seconds by design. Raises WrongPassphrase, SealDamaged, Refused if another
    device's key is in *home*, DiskFull, OSError.
    """
    copy = open_copy(raw, passphrase)
    try:
        credentials = msgspec.convert(copy.credentials, Credentials) if copy.credentials else None
    except msgspec.ValidationError:
        # Not the error's own words: they may quote the secret.
        raise Refused("the exported credentials are none: export the keys again") from None
    mine = copy.membership
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(home.iterdir()):
        home.chmod(0o700)
    _put_device(home, copy.device)
    save_secrets(home, mine, unfinished(home, passphrase), passphrase, credentials)
    config = NodeConfig(
        studio=mine.studio.hex(),
        genesis=mine.genesis.hex(),
        lan_key=copy.lan_key.hex(),
        bucket_url=copy.bucket,
        endpoint_url=copy.endpoint,
        region=copy.region,
        authorities=copy.authorities,
    )
    save_config(home, local.applied(config))


def _put_device(home: Path, pem: bytes) -> None:
    path = home / DEVICE_FILE
    if path.exists() and path.read_bytes() != pem:
        raise Refused(f"{home} has a device key of its own: name another directory with --home")
    try:
        write_durably(path, pem)
    except DiskFull as error:
        raise DiskFull(f"no room for the keys in {home}: {error}") from error
    DeviceIdentity.load(path)
