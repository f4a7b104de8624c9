"""Founding a studio: one of the moments at which one process touches both planes."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lucidnode import node_key
from lucidnode.direct_bucket import JITTER, open_directly
from lucidnode.fs.membership.entries import genesis_entry
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.new_home import NodeOptions, claim_of, device_of, save_secrets, settings, unfinished
from lucidnode.node.bucket.address import BucketAddress
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.keys import STUDIO, roster_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.open_bucket import prepare_bucket
from lucidnode.node.bucket.probe import probe
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.roster_entry import entry_hash
from lucidnode.node.config import MEMBER_FILE, save_config
from lucidnode.node.journal import register

_COMMIT_S = 30.0
"""Seconds for which the first entry is tried before nobody knows whether it is there."""

_TAKEN = (
    "there is a studio in this bucket already: ask its owner for a ticket and use "
    "`lucidnode join`, or choose another prefix"
)
_TAKEN_OR_OURS = (
    "there is a studio in this bucket already: if you began to found it on this workstation, use "
    "the passphrase you chose then, else ask its owner for a ticket"
)


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


async def check_bucket(home: Path, place: BucketSpec) -> None:
    """Make sure that the bucket at *place* is there, ours to use, and no studio yet.

    A missing one is created. Raises as `create_studio` does. If *home* has keys of a run that did not
    finish, the studio there may be its own: `create_studio` can tell, with the passphrase.
    """
    _, bucket = await opened_place(place, create=True)
    if await _is_founded(bucket) and not (home / MEMBER_FILE).exists():
        raise WrongBucket(_TAKEN)


async def create_studio(
    home: Path, place: BucketSpec, local: NodeOptions, passphrase: str, label: Label
) -> None:
    """Found a studio in the bucket at *place* and make *home* its first workstation.

    Raises WrongBucket, StoreUnfit, AccessDenied, Unavailable or Refused, each a sentence.
    """
    address, bucket = await opened_place(place, create=True)
    lan_key = secrets.token_bytes(32)
    earlier = await asyncio.to_thread(unfinished, home, passphrase)
    if await _is_founded(bucket):
        if earlier is None and (home / MEMBER_FILE).exists():
            raise WrongBucket(_TAKEN_OR_OURS)
        if earlier is None or not await _founded_by(bucket, earlier):
            raise WrongBucket(_TAKEN)
        # An earlier run of ours, which was not told how it ended: nobody has joined it yet.
        await asyncio.to_thread(node_key.begin, home, earlier.keys)
        await asyncio.to_thread(save_secrets, home, earlier, earlier, passphrase, place.credentials)
        await bucket.put(STUDIO, _for_people(earlier.studio))
        config = settings(
            address, place.url, place.network, earlier.studio, earlier.genesis, home, lan_key
        )
        await asyncio.to_thread(save_config, home, local.applied(config))
        return
    await probe(bucket)
    studio = secrets.token_bytes(16)
    await asyncio.to_thread(node_key.begin, home, earlier.keys if earlier else None)
    device = await asyncio.to_thread(device_of, home)
    keys, name_key = MemberKeys.new(), secrets.token_bytes(32)
    genesis = genesis_entry(studio, name_key, keys, claim_of(device, studio, keys), label)
    membership = Membership(studio, entry_hash(genesis), name_key, keys, label)
    config = settings(address, place.url, place.network, studio, membership.genesis, home, lan_key)
    await asyncio.to_thread(save_secrets, home, membership, earlier, passphrase, place.credentials)
    match await _commit(bucket, roster_key(Seq(1)), genesis):
        case register.Lost():
            raise WrongBucket(_TAKEN)
        case register.Unknown() as unknown:
            raise unknown.error("the new studio is not confirmed: try again")
        case register.Committed():
            pass
    await bucket.put(STUDIO, _for_people(studio))
    await asyncio.to_thread(save_config, home, local.applied(config))


def _for_people(studio: bytes) -> bytes:
    return msgspec.json.encode({"format": 1, "studio": studio.hex()})


async def opened_place(place: BucketSpec, *, create: bool) -> tuple[BucketAddress, Bucket]:
    """Return the bucket at *place*, prepared as `prepare_bucket` does, which says what it raises."""
    source = credential_source(place.credentials, place.network)
    address = await prepare_bucket(place.address, source, place.network, create=create)
    return address, open_directly(address, place.credentials, place.network)


async def _is_founded(bucket: Bucket) -> bool:
    return await bucket.size(roster_key(Seq(1))) is not None


async def _founded_by(bucket: Bucket, membership: Membership) -> bool:
    return entry_hash(await bucket.get(roster_key(Seq(1)))) == membership.genesis


async def _commit(
    bucket: Bucket, key: str, body: bytes
) -> register.Committed | register.Lost | register.Unknown:
    clock = SystemClock()
    return await register.commit(bucket, key, body, clock, clock.boot() + _COMMIT_S, JITTER)
