"""Founding a studio and joining one: the two moments at which one process touches both planes.

A home that belongs to a studio has `node.json`; it is written last, so a run that was interrupted
can be made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lucidnode.disk_room import check_for_founding
from lucidnode.fs.errors import MembershipError
from lucidnode.fs.membership.entries import genesis_entry, join_entry
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.member_file import Membership, open_membership, seal_membership
from lucidnode.fs.membership.ticket import Ticket
from lucidnode.node.bucket.address import BucketAddress
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.counted import Request
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.keys import STUDIO, roster_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.open_bucket import open_bucket, prepare_bucket
from lucidnode.node.bucket.probe import probe
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock, SystemClock
from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import Refused, Unavailable
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.roster_entry import DeviceClaim, device_proof_message, entry_hash
from lucidnode.node.client.roster_rules import RosterReader
from lucidnode.node.config import (
    BUCKET_FILE,
    DEFAULT_CACHE_BYTES,
    DEVICE_FILE,
    MEMBER_FILE,
    NODE_FILE,
    SOCKET_FILE,
    NodeConfig,
    save_config,
)
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.journal import register
from lucidnode.node.journal.log_slots import AGAIN_S, LASTING_S, LogSlots, Unchained
from lucidnode.node.roster.slots import fits, is_gap, read_all, roster_slots

_MIB = 1024 * 1024
_IN_DOUBT_S = 2 * LASTING_S
"""How long a newcomer waits for the proof that something in the log of members is no entry."""

_TRIES = 20
_COMMIT_S = 30.0
_LONGEST_SOCKET = 107
"""Bytes of a path in struct sockaddr_un, unix(7), without the closing zero."""

_TAKEN = (
    "there is a studio in this bucket already: ask its owner for a ticket and use "
    "`lucidnode join`, or choose another prefix"
)
_TAKEN_OR_OURS = (
    "there is a studio in this bucket already: if you began to found it on this workstation, use "
    "the passphrase you chose then, else ask its owner for a ticket"
)
_BROKEN_LOG = (
    "the bucket has lost a part of the studio's log of members: have a workstation of the studio "
    "running, which puts it back, and try again"
)
_JITTER = secrets.SystemRandom().random


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """The bucket as a person names it. Without *credentials* the machine's own are used."""

    url: str
    address: BucketAddress
    credentials: Credentials | None
    network: Network

    @classmethod
    def parse(
        cls,
        url: str,
        endpoint: str | None,
        region: str | None,
        credentials: Credentials | None,
        network: Network,
    ) -> BucketSpec:
        """Return the place that *url* and *endpoint* name. Raises Malformed."""
        return cls(url, parse_address(url, endpoint, region), credentials, network)


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


async def check_bucket(home: Path, place: BucketSpec) -> None:
    """Make sure that the bucket at *place* is there, ours to use, and no studio yet.

    A missing one is created. Raises as `create_studio` does. If *home* has keys of a run that did not
    finish, the studio there may be its own: `create_studio` can tell, with the passphrase.
    """
    _, bucket = await _opened_place(place)
    if await _is_founded(bucket) and not (home / MEMBER_FILE).exists():
        raise WrongBucket(_TAKEN)


async def create_studio(
    home: Path, place: BucketSpec, local: NodeOptions, passphrase: str, label: Label
) -> None:
    """Found a studio in the bucket at *place* and make *home* its first workstation.

    Raises WrongBucket, Unfit, AccessDenied, Unavailable or Refused, each a sentence.
    """
    address, bucket = await _opened_place(place)
    lan_key = secrets.token_bytes(32)
    earlier = await asyncio.to_thread(_unfinished, home, passphrase)
    if await _is_founded(bucket):
        if earlier is None and (home / MEMBER_FILE).exists():
            raise WrongBucket(_TAKEN_OR_OURS)
        if earlier is None or not await _founded_by(bucket, earlier):
            raise WrongBucket(_TAKEN)
        # An earlier run of ours, which was not told how it ended: nobody has joined it yet.
        await asyncio.to_thread(
            _save_secrets, home, earlier, earlier, passphrase, place.credentials
        )
        await bucket.put(STUDIO, _for_people(earlier.studio))
        config = _config(
            address, place.url, place.network, earlier.studio, earlier.genesis, lan_key
        )
        await asyncio.to_thread(save_config, home, local.applied(config))
        return
    await probe(bucket)
    studio = secrets.token_bytes(16)
    device = await asyncio.to_thread(_device, home)
    keys, name_key = MemberKeys.new(), secrets.token_bytes(32)
    genesis = genesis_entry(studio, name_key, keys, _claim(device, studio, keys), label)
    membership = Membership(studio, entry_hash(genesis), name_key, keys, label)
    config = _config(address, place.url, place.network, studio, membership.genesis, lan_key)
    await asyncio.to_thread(_save_secrets, home, membership, earlier, passphrase, place.credentials)
    match await _commit(bucket, roster_key(Seq(1)), genesis):
        case register.Lost():
            raise WrongBucket(_TAKEN)
        case register.Unknown() as unknown:
            raise unknown.error("the new studio is not confirmed: try again")
        case register.Committed():
            pass
    await bucket.put(STUDIO, _for_people(studio))
    await asyncio.to_thread(save_config, home, local.applied(config))


async def join_studio(
    home: Path, ticket: Ticket, network: Network, local: NodeOptions, passphrase: str, label: Label
) -> None:
    """Make *home* a workstation of the studio that *ticket* invites to.

    Raises TicketSpent, or what the bucket says.
    """
    credentials = ticket_credentials(ticket)
    address = await _invited_to(ticket, network)
    bucket = _opened(address, credentials, network)
    device = await asyncio.to_thread(_device, home)
    earlier = await asyncio.to_thread(_unfinished, home, passphrase)
    membership = _membership(earlier, ticket, label)
    claim = _claim(device, ticket.studio, membership.keys)
    await asyncio.to_thread(_save_secrets, home, membership, earlier, passphrase, credentials)
    await _join_log(bucket, ticket, membership, claim, SystemClock())
    config = _config(address, ticket.bucket, network, ticket.studio, ticket.genesis, ticket.lan_key)
    await asyncio.to_thread(save_config, home, local.applied(config))


async def check_invited(ticket: Ticket, network: Network) -> None:
    """Make sure that the bucket *ticket* invites to can be used from here. Raises as `join_studio` does."""
    await _invited_to(ticket, network)


async def _invited_to(ticket: Ticket, network: Network) -> BucketAddress:
    return await prepare_bucket(
        parse_address(ticket.bucket, ticket.endpoint, ticket.region),
        credential_source(ticket_credentials(ticket), network),
        network,
        create=False,
    )


def ticket_credentials(ticket: Ticket) -> Credentials | None:
    """Return the bucket's credentials that *ticket* brings, if it does. Raises Refused."""
    if not ticket.credentials:
        return None
    try:
        return msgspec.convert(ticket.credentials, Credentials)
    except msgspec.ValidationError as error:
        # Not the error's own words: they may quote the secret.
        raise Refused("the ticket's credentials are none: ask for a new ticket") from error


async def _read_patiently(slots: LogSlots, reader: RosterReader, clock: Clock) -> None:
    """Read the log to its end, as `read_all`; what counts as no entry has to last before it does."""
    end = clock.boot() + _IN_DOUBT_S
    while True:
        try:
            return await read_all(slots, reader)
        except Unavailable:
            if not slots.is_in_doubt or clock.boot() >= end:
                raise
        await clock.sleep(AGAIN_S)


async def _join_log(
    bucket: Bucket, ticket: Ticket, membership: Membership, claim: DeviceClaim, clock: Clock
) -> None:
    slots = roster_slots(bucket, Alerts(clock), clock, _JITTER)
    reader = RosterReader(ticket.genesis)
    for _ in range(_TRIES):
        await _read_patiently(slots, reader, clock)
        if not reader.log:
            raise WrongBucket("the bucket holds no studio: was it emptied since the invitation?")
        roster = reader.roster()
        if membership.keys.public in roster.members:
            return  # by an earlier run that was not told how it ended
        entry = join_entry(roster, ticket.invite, membership, claim, clock.wall_ns())
        if await is_gap(bucket, reader):
            raise Unavailable(_BROKEN_LOG)
        deadline = clock.boot() + _COMMIT_S
        below = fits(reader.log[-1])
        match await slots.take(Seq(roster.head + 1), entry, below, deadline):
            case register.Committed():
                return
            case register.Lost():
                continue
            case register.Unknown() as unknown:
                raise unknown.error("that you joined is not confirmed: try again")
            case Unchained():
                raise Unavailable(_BROKEN_LOG)
    raise Unavailable("too many others join at this moment: try again")


def _for_people(studio: bytes) -> bytes:
    return msgspec.json.encode({"format": 1, "studio": studio.hex()})


async def _opened_place(place: BucketSpec) -> tuple[BucketAddress, Bucket]:
    source = credential_source(place.credentials, place.network)
    address = await prepare_bucket(place.address, source, place.network, create=True)
    return address, _opened(address, place.credentials, place.network)


async def _is_founded(bucket: Bucket) -> bool:
    return await bucket.size(roster_key(Seq(1))) is not None


async def _founded_by(bucket: Bucket, membership: Membership) -> bool:
    return entry_hash(await bucket.get(roster_key(Seq(1)))) == membership.genesis


def _opened(address: BucketAddress, credentials: Credentials | None, network: Network) -> Bucket:
    source = credential_source(credentials, network)
    return open_bucket(address, source, network, SystemClock(), _JITTER, _uncounted)


def _set_aside(path: Path) -> None:
    """Move a member file out of the way: nobody else may have its keys, ever."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)


async def _commit(
    bucket: Bucket, key: str, body: bytes
) -> register.Committed | register.Lost | register.Unknown:
    clock = SystemClock()
    return await register.commit(bucket, key, body, clock, clock.boot() + _COMMIT_S, _JITTER)


def _uncounted(_request: Request) -> None:
    """Founding is not part of any node's bandwidth."""


def _device(home: Path) -> DeviceIdentity:
    path = home / DEVICE_FILE
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(home.iterdir()):
        home.chmod(0o700)  # somebody made it for us
    # Left by a run that did not finish: no studio knows it, so it serves as well as a new one.
    return DeviceIdentity.load(path) if path.exists() else DeviceIdentity.create(path)


def _membership(earlier: Membership | None, ticket: Ticket, label: Label) -> Membership:
    """Return the keys of an earlier run that did not finish, or fresh ones.

    That run's entry may have been accepted, and the ticket works once: with other keys the member
    would be locked out.
    """
    if earlier and (earlier.studio, earlier.genesis) == (ticket.studio, ticket.genesis):
        return earlier
    return Membership(ticket.studio, ticket.genesis, ticket.name_key, MemberKeys.new(), label)


def _unfinished(home: Path, passphrase: str) -> Membership | None:
    """Return the membership of an earlier run that did not finish, if *passphrase* opens it."""
    try:
        return open_membership((home / MEMBER_FILE).read_bytes(), passphrase)
    except (FileNotFoundError, NotADirectoryError, MembershipError):
        return None


def _claim(device: DeviceIdentity, studio: bytes, keys: MemberKeys) -> DeviceClaim:
    message = device_proof_message(studio, keys.public, keys.box, device.public, device.certificate)
    return DeviceClaim(device.public, device.certificate, device.sign(message))


def _config(
    address: BucketAddress,
    url: str,
    network: Network,
    studio: bytes,
    genesis: bytes,
    lan_key: bytes,
) -> NodeConfig:
    return NodeConfig(
        studio=studio.hex(),
        genesis=genesis.hex(),
        lan_key=lan_key.hex(),
        bucket_url=url,
        endpoint_url=address.endpoint,
        region=address.region,
        authorities=network.authorities or None,
    )


def _save_secrets(
    home: Path,
    membership: Membership,
    earlier: Membership | None,
    passphrase: str,
    credentials: Credentials | None,
) -> None:
    """Keep what a workstation needs; *earlier* is what the member file holds, if it opens."""
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
