"""Founding a studio and joining one: the two moments at which one process touches both planes.

A home that belongs to a studio has `node.json`; it is written last, so a run that was interrupted
can be made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lucidnode.disk_room import check_for_cache
from lucidnode.fs.errors import MembershipError, TicketSpent
from lucidnode.fs.membership.entries import genesis_entry, join_entry
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.member_file import Membership, open_membership, seal_membership
from lucidnode.fs.membership.ticket import Ticket
from lucidnode.node import register
from lucidnode.node.bucket.address import BucketAddress, S3Address, parse_address
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.counted import Request
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.keys import STUDIO, roster_key
from lucidnode.node.bucket.probe import probe
from lucidnode.node.bucket.stack import open_bucket, prepare_bucket
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import NotThere, Refused, Unavailable
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.roster_entry import DeviceClaim, device_proof_message, entry_hash
from lucidnode.node.client.roster_rules import verified
from lucidnode.node.config import (
    BUCKET_FILE,
    DEVICE_FILE,
    MEMBER_FILE,
    NODE_FILE,
    SOCKET_FILE,
    NodeConfig,
    save_config,
)
from lucidnode.node.identity import DeviceIdentity

_MIB = 1024 * 1024
_TRIES = 20
_COMMIT_SECONDS = 30.0
_LONGEST_SOCKET = 107
"""Bytes of a path in struct sockaddr_un, unix(7), without the closing zero."""

_TAKEN = (
    "there is a studio in this bucket already: ask its owner for a ticket and use "
    "`lucidnode join`, or choose another prefix"
)
_JITTER = secrets.SystemRandom().random


@dataclass(frozen=True, slots=True)
class Place:
    """The bucket as a person names it. Without *credentials* the machine's own are used."""

    url: str
    address: BucketAddress
    credentials: Credentials | None

    @classmethod
    def parse(
        cls, url: str, endpoint: str | None, region: str | None, credentials: Credentials | None
    ) -> Place:
        """Return the place that *url* and *endpoint* name. Raises Malformed."""
        return cls(url, parse_address(url, endpoint, region), credentials)


@dataclass(frozen=True, slots=True)
class Local:
    """What a person chose for this workstation; None keeps the default."""

    cache_dir: Path | None
    cache_limit_mib: int | None

    def applied(self, config: NodeConfig) -> NodeConfig:
        """Return *config* with these choices."""
        if self.cache_dir is not None:
            config = msgspec.structs.replace(config, cache_dir=str(self.cache_dir.absolute()))
        if self.cache_limit_mib is not None:
            config = msgspec.structs.replace(config, cache_limit=self.cache_limit_mib * _MIB)
        return config


def check_fresh(home: Path, local: Local) -> None:
    """Raise Refused or NoSpace, a sentence, if no workstation can be made in *home*."""
    if (home / NODE_FILE).exists():
        raise Refused(
            f"{home} belongs to a studio already: name another directory with --home, or remove it"
        )
    if len(os.fsencode(home / SOCKET_FILE)) > _LONGEST_SOCKET:
        raise Refused(f"{home} is too long a name for a socket: name a shorter one with --home")
    check_for_cache(local.cache_dir or home)


async def check_place(place: Place) -> None:
    """Make sure that the bucket at *place* is there, ours to use, and no studio yet.

    A missing one is created. Raises as `found` does.
    """
    await _open_for_founding(place)


async def found(home: Path, place: Place, local: Local, passphrase: str, label: Label) -> None:
    """Found a studio in the bucket at *place* and make *home* its first workstation.

    Raises WrongBucket, Unfit, AccessDenied, Unavailable or Refused, each a sentence.
    """
    address, bucket = await _open_for_founding(place)
    await probe(bucket)
    studio, lan_key = secrets.token_bytes(16), secrets.token_bytes(32)
    device = await asyncio.to_thread(_device, home)
    keys, name_key = MemberKeys.new(), secrets.token_bytes(32)
    genesis = genesis_entry(studio, name_key, keys, _claim(device, studio, keys), label)
    membership = Membership(studio, entry_hash(genesis), name_key, keys, label)
    config = _config(address, place.url, studio, membership.genesis, lan_key)
    await asyncio.to_thread(_save_secrets, home, membership, passphrase, place.credentials)
    match await _commit(bucket, roster_key(Seq(1)), genesis):
        case register.Lost():
            raise WrongBucket(_TAKEN)
        case register.Unknown():
            raise Unavailable("the bucket did not confirm the new studio: try again")
        case register.Committed():
            pass
    await bucket.put(STUDIO, msgspec.json.encode({"format": 1, "studio": studio.hex()}))
    await asyncio.to_thread(save_config, home, local.applied(config))


async def join(home: Path, ticket: Ticket, local: Local, passphrase: str, label: Label) -> None:
    """Make *home* a workstation of the studio that *ticket* invites to.

    Raises TicketSpent, or what the bucket says.
    """
    credentials = msgspec.convert(ticket.credentials, Credentials) if ticket.credentials else None
    address = await prepare_bucket(
        parse_address(ticket.bucket, ticket.endpoint, ticket.region), credentials, create=False
    )
    bucket = _opened(address, credentials)
    device = await asyncio.to_thread(_device, home)
    membership = await asyncio.to_thread(_membership, home, ticket, passphrase, label)
    claim = _claim(device, ticket.studio, membership.keys)
    await asyncio.to_thread(_save_secrets, home, membership, passphrase, credentials)
    for _ in range(_TRIES):
        roster = verified(await _read_roster(bucket), ticket.genesis)
        if membership.keys.public in roster.members:
            break  # by an earlier run that was not told how it ended
        entry = join_entry(roster, ticket.invite, membership, claim, time.time_ns())
        slot = roster_key(Seq(roster.head + 1))
        match await _commit(bucket, slot, entry):
            case register.Committed():
                break
            case register.Lost():
                continue
            case register.Unknown():
                raise Unavailable("the bucket did not confirm that you joined: try again")
    else:
        raise TicketSpent("too many others join at this moment: try again")
    config = _config(address, ticket.bucket, ticket.studio, ticket.genesis, ticket.lan_key)
    await asyncio.to_thread(save_config, home, local.applied(config))


async def _open_for_founding(place: Place) -> tuple[BucketAddress, Bucket]:
    address = await prepare_bucket(place.address, place.credentials, create=True)
    bucket = _opened(address, place.credentials)
    if await bucket.size(roster_key(Seq(1))) is not None:
        raise WrongBucket(_TAKEN)
    return address, bucket


def _opened(address: BucketAddress, credentials: Credentials | None) -> Bucket:
    return open_bucket(address, credentials, SystemClock(), _JITTER, _uncounted)


async def _commit(
    bucket: Bucket, key: str, body: bytes
) -> register.Committed | register.Lost | register.Unknown:
    clock = SystemClock()
    return await register.commit(bucket, key, body, clock, clock.boot() + _COMMIT_SECONDS, _JITTER)


def _uncounted(_request: Request) -> None:
    """Founding is not part of any node's bandwidth."""


def _device(home: Path) -> DeviceIdentity:
    path = home / DEVICE_FILE
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(home.iterdir()):
        home.chmod(0o700)  # somebody made it for us
    # Left by a run that did not finish: no studio knows it, so it serves as well as a new one.
    return DeviceIdentity.load(path) if path.exists() else DeviceIdentity.create(path)


def _membership(home: Path, ticket: Ticket, passphrase: str, label: Label) -> Membership:
    """Return the keys of an earlier run that did not finish, or fresh ones.

    That run's entry may have been accepted, and the ticket works once: with other keys the member
    would be locked out.
    """
    with contextlib.suppress(FileNotFoundError, MembershipError):
        earlier = open_membership((home / MEMBER_FILE).read_bytes(), passphrase)
        if (earlier.studio, earlier.genesis) == (ticket.studio, ticket.genesis):
            return earlier
    return Membership(ticket.studio, ticket.genesis, ticket.name_key, MemberKeys.new(), label)


def _claim(device: DeviceIdentity, studio: bytes, keys: MemberKeys) -> DeviceClaim:
    message = device_proof_message(studio, keys.public, keys.box, device.public, device.certificate)
    return DeviceClaim(device.public, device.certificate, device.sign(message))


def _config(
    address: BucketAddress, url: str, studio: bytes, genesis: bytes, lan_key: bytes
) -> NodeConfig:
    return NodeConfig(
        studio=studio.hex(),
        genesis=genesis.hex(),
        lan_key=lan_key.hex(),
        bucket_url=url,
        endpoint_url=address.endpoint if isinstance(address, S3Address) else None,
        region=address.region if isinstance(address, S3Address) else None,
    )


def _save_secrets(
    home: Path, membership: Membership, passphrase: str, credentials: Credentials | None
) -> None:
    write_durably(home / MEMBER_FILE, seal_membership(membership, passphrase))
    if credentials is not None:
        write_durably(home / BUCKET_FILE, msgspec.json.encode(credentials))
    else:
        with contextlib.suppress(FileNotFoundError):
            (home / BUCKET_FILE).unlink()


async def _read_roster(bucket: Bucket) -> list[bytes]:
    entries: list[bytes] = []
    while True:
        try:
            entries.append(await bucket.get(roster_key(Seq(len(entries) + 1))))
        except NotThere:
            return entries
