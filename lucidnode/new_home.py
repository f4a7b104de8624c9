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

from lucidnode import node_key
from lucidnode.disk_room import check_for_founding
from lucidnode.fs.errors import MembershipError
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.membership.member_file import Membership, open_membership, seal_membership
from lucidnode.node.bucket.address import BucketAddress
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.network import Network
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.durable import set_aside, write_durably
from lucidnode.node.client.errors import NotOurs, Refused
from lucidnode.node.client.roster_entry import DeviceClaim, device_proof_message
from lucidnode.node.config import (
    BUCKET_FILE,
    DEFAULT_CACHE_BYTES,
    DEVICE_FILE,
    MEMBER_FILE,
    NODE_FILE,
    NodeConfig,
    kept_lan_key,
    save_credentials,
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
    ready(home)
    # Left by a run that did not finish: no studio knows it, so it serves as well as a new one. One
    # that is sealed for other keys may be known to a studio, and is kept.
    if path.exists():
        with contextlib.suppress(NotOurs):
            return DeviceIdentity.load(path)
        set_aside(path)
    return DeviceIdentity.create(path)


def ready(home: Path) -> None:
    """Make the directory *home*, for its owner alone, if it is not there. Raises OSError."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(home.iterdir()):
        home.chmod(0o700)  # somebody made it for us


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
    home: Path,
    lan_key: bytes,
) -> NodeConfig:
    """Return the settings of the workstation *home* of *studio*, all else by default."""
    return NodeConfig(
        studio=studio.hex(),
        genesis=genesis.hex(),
        lan_key=kept_lan_key(home, lan_key),
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

    The node key was begun (lucidnode/node_key.py). Raises OSError.
    """
    path = home / MEMBER_FILE
    if membership != earlier:
        if path.exists():
            set_aside(path)  # nobody else may have its keys, ever
        write_durably(path, seal_membership(membership, passphrase))
    node_key.keep_begun(home, membership.keys)
    if credentials is not None:
        save_credentials(home, credentials)
    else:
        with contextlib.suppress(FileNotFoundError):
            (home / BUCKET_FILE).unlink()
