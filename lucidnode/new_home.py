"""What makes a directory the home of a workstation: its keys, its secrets, its settings.

A home that belongs to a studio has `node.json`; it is written last, so a run that was interrupted
can be made again.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lucidnode.disk_room import check_for_founding
from lucidnode.fs.errors import MembershipError
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.membership.member_file import Membership, open_membership, seal_membership
from lucidnode.node.bucket.address import BucketAddress
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.network import Network
from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import Refused
from lucidnode.node.client.roster_entry import DeviceClaim, device_proof_message
from lucidnode.node.config import (
    BUCKET_FILE,
    DEFAULT_CACHE_BYTES,
    DEVICE_FILE,
    MEMBER_FILE,
    NODE_FILE,
    SOCKET_FILE,
    NodeConfig,
)
from lucidnode.node.identity import DeviceIdentity

_MIB = 1024 * 1024
_LONGEST_SOCKET = 107
"""Bytes of a path in struct sockaddr_un, unix(7), without the closing zero."""


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What a person chose for this workstation; None keeps the default."""

    cache_dir: Path | None
    cache_limit_mib: int | None

    def applied(self, config: NodeConfig) -> NodeConfig:
        """Return *config* with these choices."""
        if self.cache_dir is not None:
            config = msgspec.structs.replace(config, cache_dir=str(self.cache_dir.absolute()))
        if self.cache_limit_mib is not None:
            config = msgspec.structs.replace(config, cache_limit=self.cache_limit)
        return config

    @property
    def cache_limit(self) -> int:
        """Return the most that the cache may hold, in bytes."""
        if self.cache_limit_mib is None:
            return DEFAULT_CACHE_BYTES
        return self.cache_limit_mib * _MIB


def check_fresh(home: Path, local: NodeOptions) -> None:
    """Raise Refused or DiskFull, a sentence, if no workstation can be made in *home*."""
    if (home / NODE_FILE).exists():
        # Never a word of removing it: it may hold the only key to a studio, and unsent work.
        raise Refused(
            f"{home} belongs to a studio already and is kept as it is: to have a second studio on "
            "this workstation, name another directory with --home"
        )
    if len(os.fsencode(home / SOCKET_FILE)) > _LONGEST_SOCKET:
        raise Refused(f"{home} is too long a name for a socket: name a shorter one with --home")
    check_for_founding(local.cache_dir or home, local.cache_limit)


def device_of(home: Path) -> DeviceIdentity:
    """Return the device key in *home*, which is made if there is none. Raises OSError."""
    path = home / DEVICE_FILE
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(home.iterdir()):
        home.chmod(0o700)  # somebody made it for us
    # Left by a run that did not finish: no studio knows it, so it serves as well as a new one.
    return DeviceIdentity.load(path) if path.exists() else DeviceIdentity.create(path)


def unfinished(home: Path, passphrase: str) -> Membership | None:
    """Return the membership of an earlier run that did not finish, if *passphrase* opens it."""
    try:
        return open_membership((home / MEMBER_FILE).read_bytes(), passphrase)
    except (FileNotFoundError, NotADirectoryError, MembershipError):
        return None


def claim_of(device: DeviceIdentity, studio: bytes, keys: MemberKeys) -> DeviceClaim:
    """Return the proof that *device* belongs to the member with *keys*."""
    message = device_proof_message(studio, keys.public, keys.box, device.public, device.certificate)
    return DeviceClaim(device.public, device.certificate, device.sign(message))


def settings(
    address: BucketAddress,
    url: str,
    network: Network,
    studio: bytes,
    genesis: bytes,
    lan_key: bytes,
) -> NodeConfig:
    """Return the settings of a workstation of *studio*, all else by default."""
    return NodeConfig(
        studio=studio.hex(),
        genesis=genesis.hex(),
        lan_key=lan_key.hex(),
        bucket_url=url,
        endpoint_url=address.endpoint,
        region=address.region,
        authorities=network.authorities or None,
    )


def save_secrets(
    home: Path,
    membership: Membership,
    earlier: Membership | None,
    passphrase: str,
    credentials: Credentials | None,
) -> None:
    """Keep what a workstation needs; *earlier* is what the member file holds, if it opens.

    Raises OSError.
    """
    path = home / MEMBER_FILE
    if membership != earlier:
        if path.exists():
            _set_aside(path)
        write_durably(path, seal_membership(membership, passphrase))
    if credentials is not None:
        write_durably(home / BUCKET_FILE, msgspec.json.encode(credentials))
    else:
        with contextlib.suppress(FileNotFoundError):
            (home / BUCKET_FILE).unlink()


def _set_aside(path: Path) -> None:
    """Move a member file out of the way: nobody else may have its keys, ever."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)
