"""Recovery codes at work: making one, trying it, and coming back with it. Touches both planes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lucidnode.direct_bucket import open_directly
from lucidnode.fs.errors import NotAllowed, SealDamaged, WrongPassphrase
from lucidnode.fs.membership.entries import invite_entry
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.recovery_code import (
    MAX_RECOVERY_BYTES,
    new_recovery_code,
    object_name,
    open_recovery,
    seal_recovery,
)
from lucidnode.fs.membership.ticket import Ticket
from lucidnode.membership import append_entry, read_roster
from lucidnode.new_studio import BucketSpec
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import recovery_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.open_bucket import prepare_bucket
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import NodeError, NotThere, Refused
from lucidnode.node.config import load_config, load_credentials

RECOVERY_FILE = "recovery.json"
"""In the home of the owner who made a code: the name of what it opens, so that the next replaces it."""

_SHOWN_AS = "(recovery code)"
"""In the list of open invites, which an ended code stays in: nobody has what it would join with."""

_LASTS_NS = 100 * 365 * 86_400 * 10**9


class _Made(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    object: str


@dataclass(frozen=True, slots=True)
class RecoverySheet:
    """What an owner keeps on paper."""

    code: str
    studio: str
    bucket: str
    endpoint: str | None
    name: str
    device: str
    made: str

    def text(self) -> str:
        """Return the sheet, for people."""
        endpoint = f" --endpoint-url {self.endpoint}" if self.endpoint else ""
        return (
            "Lucidnode: recovery sheet\n\n"
            f"Studio {self.studio}\n"
            f"Made {self.made} by {self.name} on {self.device}\n\n"
            f"    {self.code}\n\n"
            "When every workstation of the owners is lost, this code and access to the bucket\n"
            "make you an owner again, with all files, on any machine:\n\n"
            f"    lucidnode recover {self.bucket}{endpoint}\n\n"
            "It works once, and until its maker makes another. Whoever has it and the bucket can\n"
            "read everything: keep it as you keep the deeds of the house, away from both.\n"
        )


async def make_recovery_code(home: Path, socket: Path, mine: Membership) -> RecoverySheet:
    """Return a fresh code for the owner *mine*; the one that was made here before opens nothing any more.

    Raises NotAllowed for who is no owner, and what bucket and daemon say.
    """
    if (await read_roster(socket, mine)).me.role != "owner":
        raise NotAllowed("only an owner of the studio can make a recovery code")
    config = load_config(home)
    code, invite, now_ns = new_recovery_code(), MemberKeys.new(), time.time_ns()
    ticket = Ticket(
        bucket=config.bucket_url,
        endpoint=config.endpoint_url,
        region=config.region,
        credentials={},
        studio=mine.studio,
        genesis=mine.genesis,
        lan_key=bytes.fromhex(config.lan_key),
        name_key=mine.name_key,
        invite=invite,
        expires_ns=now_ns + _LASTS_NS,
        suggested_name=mine.label.member,
    )
    place = BucketSpec.parse(
        config.bucket_url,
        config.endpoint_url,
        config.region,
        await asyncio.to_thread(load_credentials, home),
        Network.of(os.environ, config.authorities),
    )
    bucket = await _opened(place)
    name = object_name(code)
    await bucket.put(recovery_key(name), await asyncio.to_thread(seal_recovery, ticket, code))
    try:
        await append_entry(
            socket,
            mine,
            lambda view: invite_entry(view, invite, "owner", ticket.expires_ns, _SHOWN_AS),
        )
    except BaseException:
        with contextlib.suppress(NodeError):
            await bucket.delete(recovery_key(name))
        raise
    made = home / RECOVERY_FILE
    earlier = await asyncio.to_thread(_earlier, made)
    await asyncio.to_thread(write_durably, made, msgspec.json.encode(_Made(name)))
    if earlier is not None:
        await bucket.delete(recovery_key(earlier))
    return RecoverySheet(
        code=code,
        studio=mine.studio.hex(),
        bucket=config.bucket_url,
        endpoint=config.endpoint_url,
        name=mine.label.member,
        device=mine.label.device,
        made=time.strftime("%Y-%m-%d", time.localtime(now_ns // 10**9)),
    )


async def find_recovery(place: BucketSpec, code: str) -> Ticket:
    """Return what *code* opens in the bucket at *place*: a ticket that joins with that place.

    Raises WrongPassphrase if there is nothing for that code, Refused if it is damaged, and what the
    bucket says.
    """
    sealed = await _kept(await _opened(place), recovery_key(object_name(code)))
    if sealed is None:
        raise WrongPassphrase(
            "the bucket has nothing that this code opens: check both; it may have been used, or "
            "replaced by a later one"
        )
    try:
        ticket = await asyncio.to_thread(open_recovery, sealed, code)
    except SealDamaged as error:
        raise Refused(f"what the code opens is damaged in the bucket ({error})") from error
    credentials = msgspec.to_builtins(place.credentials) if place.credentials else {}
    return msgspec.structs.replace(
        ticket,
        bucket=place.url,
        endpoint=place.address.endpoint,
        region=place.address.region,
        credentials={name: value for name, value in credentials.items() if value is not None},
    )


async def forget_recovery(place: BucketSpec, code: str) -> None:
    """Take away what *code* opened, which is used up."""
    with contextlib.suppress(NodeError):  # it opens nothing any more, there or not
        await (await _opened(place)).delete(recovery_key(object_name(code)))


async def _kept(bucket: Bucket, key: str) -> bytes | None:
    size = await bucket.size(key)
    if size is None or size > MAX_RECOVERY_BYTES:
        return None
    try:
        return await bucket.get(key)
    except NotThere:
        return None


async def _opened(place: BucketSpec) -> Bucket:
    source = credential_source(place.credentials, place.network)
    address = await prepare_bucket(place.address, source, place.network, create=False)
    return open_directly(address, place.credentials, place.network)


def _earlier(made: Path) -> str | None:
    try:
        return msgspec.json.decode(made.read_bytes(), type=_Made).object
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise Refused(f"{made} is damaged: remove it") from error
