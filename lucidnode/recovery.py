"""Recovery codes at work: making one, trying it, and coming back with it. Touches both planes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lucidnode.fs.errors import NotAllowed, SealDamaged, WrongPassphrase
from lucidnode.fs.membership.entries import invite_entry
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.recovery_code import (
    MAX_RECOVERY_BYTES,
    SHOWN_AS,
    new_recovery_code,
    object_name,
    open_recovery,
    seal_recovery,
)
from lucidnode.fs.membership.ticket import Ticket
from lucidnode.membership import append_entry, read_roster
from lucidnode.new_studio import BucketSpec, opened_place
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import recovery_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import Malformed, NodeError, NotThere, Refused
from lucidnode.node.client.json_text import json_in
from lucidnode.node.config import lan_key_of, load_config, load_credentials
from lucidnode.putting_out import revoke

RECOVERY_FILE = "recovery.json"
"""In the home of the owner who made codes: the names of what they open, so that the newest ends the others."""

_LASTS_NS = 100 * 365 * 86_400 * 10**9


class _Made(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    objects: list[str]


@dataclass(frozen=True, slots=True)
class RecoverySheet:
    """What an owner keeps on paper; *invite* is the key of what the code joins with, in the roster."""

    code: str
    invite: bytes
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
    """Return a fresh code for the owner *mine*; earlier ones go on until `end_earlier_codes`.

    Raises NotAllowed for who is no owner, and what bucket and daemon say.
    """
    earlier = await asyncio.to_thread(_made_here, home)
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
        lan_key=lan_key_of(home, config),
        name_key=mine.name_key,
        invite=invite,
        expires_ns=now_ns + _LASTS_NS,
        suggested_name=mine.label.member,
    )
    bucket, name = await _bucket_of(home), object_name(code)
    await asyncio.to_thread(_remember, home, [*earlier, name])
    try:
        await bucket.put(recovery_key(name), await asyncio.to_thread(seal_recovery, ticket, code))
        await append_entry(
            socket,
            mine,
            lambda view: invite_entry(view, invite, "owner", ticket.expires_ns, SHOWN_AS),
        )
    except BaseException:
        with contextlib.suppress(NodeError):
            await bucket.delete(recovery_key(name))
        await asyncio.to_thread(_remember, home, earlier)
        raise
    return RecoverySheet(
        code=code,
        invite=invite.public,
        studio=mine.studio.hex(),
        bucket=config.bucket_url,
        endpoint=config.endpoint_url,
        name=mine.label.member,
        device=mine.label.device,
        made=time.strftime("%Y-%m-%d", time.localtime(now_ns // 10**9)),
    )


async def end_earlier_codes(home: Path, code: str) -> None:
    """Have only *code*, which its owner holds in his hands, open something of what was made here.

    Raises what the bucket says; then some may open something still, until this is asked for again.
    """
    newest = object_name(code)
    bucket = await _bucket_of(home)
    for name in await asyncio.to_thread(_made_here, home):
        if name != newest:
            await bucket.delete(recovery_key(name))
    await asyncio.to_thread(_remember, home, [newest])


async def close_earlier_codes(socket: Path, mine: Membership, sheet: RecoverySheet) -> None:
    """Have nobody join with a code of *mine* but that of *sheet*, nor read with it what comes.

    So who has copied from the bucket what an earlier one opens, and finds that one, has the past
    alone. Raises what bucket and daemon say.
    """
    ended = (await read_roster(socket, mine)).recovery_codes() - {sheet.invite}
    if ended:
        await revoke(socket, mine, ended)


async def find_recovery(place: BucketSpec, code: str) -> Ticket:
    """Return what *code* opens in the bucket at *place*: a ticket that joins with that place.

    Raises WrongPassphrase if there is nothing for that code, Refused if it is damaged, and what the
    bucket says.
    """
    ticket = await _opened((await opened_place(place, create=False))[1], code)
    credentials = msgspec.to_builtins(place.credentials) if place.credentials else {}
    return msgspec.structs.replace(
        ticket,
        bucket=place.url,
        endpoint=place.address.endpoint,
        region=place.address.region,
        credentials={name: value for name, value in credentials.items() if value is not None},
    )


async def check_recovery(home: Path, socket: Path, mine: Membership, code: str) -> None:
    """See that *code* would make somebody an owner of the studio of *mine*; nothing changes by it.

    Raises WrongPassphrase if it opens nothing, Refused if what it opens is no good, and what bucket
    and daemon say.
    """
    ticket = await _opened(await _bucket_of(home), code)
    view = await read_roster(socket, mine)
    if ticket.genesis != mine.genesis or ticket.invite.public not in view.roster.invites:
        raise Refused(
            "what this code opens lets nobody into this studio: make another with `lucidnode recovery new`"
        )


async def forget_recovery(place: BucketSpec, code: str) -> None:
    """Take away what *code* opened, which is used up."""
    with contextlib.suppress(NodeError):  # it opens nothing any more, there or not
        _, bucket = await opened_place(place, create=False)
        await bucket.delete(recovery_key(object_name(code)))


async def _bucket_of(home: Path) -> Bucket:
    config = load_config(home)
    place = BucketSpec.parse(
        config.bucket_url,
        config.endpoint_url,
        config.region,
        await asyncio.to_thread(load_credentials, home),
        Network.of(os.environ, config.authorities),
    )
    _, bucket = await opened_place(place, create=False)
    return bucket


async def _opened(bucket: Bucket, code: str) -> Ticket:
    sealed = await _kept(bucket, recovery_key(object_name(code)))
    if sealed is None:
        raise WrongPassphrase(
            "the bucket has nothing that this code opens: check both; it may have been used, or "
            "replaced by a later one"
        )
    try:
        return await asyncio.to_thread(open_recovery, sealed, code)
    except SealDamaged as error:
        raise Refused(f"what the code opens is damaged in the bucket ({error})") from error


async def _kept(bucket: Bucket, key: str) -> bytes | None:
    size = await bucket.size(key)
    if size is None or size > MAX_RECOVERY_BYTES:
        return None
    try:
        return await bucket.get(key)
    except NotThere:
        return None


def _made_here(home: Path) -> list[str]:
    try:
        return json_in((home / RECOVERY_FILE).read_bytes(), _Made).objects
    except FileNotFoundError:
        return []
    except Malformed as error:
        raise Refused(f"{home / RECOVERY_FILE} is damaged: remove it") from error


def _remember(home: Path, objects: list[str]) -> None:
    write_durably(home / RECOVERY_FILE, msgspec.json.encode(_Made(objects)))
