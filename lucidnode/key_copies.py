"""Exporting the keys of a workstation, and making a workstation of them. Touches both planes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lucidnode import node_key
from lucidnode.fs.membership.key_copy import KeyCopy, open_copy, seal_copy
from lucidnode.fs.membership.member_file import Membership
from lucidnode.new_home import NodeOptions, ready, save_secrets, unfinished
from lucidnode.new_secret import write_new_secret
from lucidnode.node import sealed_file
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.client.errors import DiskFull, NotOurs, Refused
from lucidnode.node.config import (
    DEVICE_FILE,
    NodeConfig,
    kept_lan_key,
    lan_key_of,
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
        device=sealed_file.read(home / DEVICE_FILE),
        bucket=config.bucket_url,
        endpoint=config.endpoint_url,
        region=config.region,
        authorities=config.authorities,
        credentials={name: value for name, value in held.items() if value is not None},
        lan_key=lan_key_of(home, config),
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
    ready(home)
    earlier = unfinished(home, passphrase)
    node_key.begin(home, earlier.keys if earlier else None)
    _check_device(home, copy.device, is_ours=earlier is not None)
    save_secrets(home, mine, earlier, passphrase, credentials)
    _put_device(home, copy.device)
    config = NodeConfig(
        studio=mine.studio.hex(),
        genesis=mine.genesis.hex(),
        lan_key=kept_lan_key(home, copy.lan_key),
        bucket_url=copy.bucket,
        endpoint_url=copy.endpoint,
        region=copy.region,
        authorities=copy.authorities,
    )
    save_config(home, local.applied(config))


def _check_device(home: Path, pem: bytes, *, is_ours: bool) -> None:
    """Raise Refused if *home* has another device's key; *is_ours* says that an import began it."""
    try:
        if sealed_file.read(home / DEVICE_FILE) == pem:
            return
    except FileNotFoundError:
        return
    except NotOurs:
        if is_ours:
            return
    raise Refused(f"{home} has a device key of its own: name another directory with --home")


def _put_device(home: Path, pem: bytes) -> None:
    path = home / DEVICE_FILE
    try:
        sealed_file.write(path, pem)
    except DiskFull as error:
        raise DiskFull(f"no room for the keys in {home}: {error}") from error
    DeviceIdentity.load(path)
