"""A webhook in the log of its project, and the job of telling it. Format 1 (docs/format.md, "Webhooks").

Both are attributes of the root. The record says where the receiver is and has the secret under which it
is told, sealed to each member who may write; the member who added it has signed it. The job says which
workstation tells it, and how far. Bytes of other members are parsed strictly: what is of any other form
is no webhook.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from lucidnode.fs.errors import Forged
from lucidnode.fs.format import sodium
from lucidnode.fs.leases.lease_row import NOBODY
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.public_keys import is_box_key, verify
from lucidnode.node.client.webhooks import MAX_URL, WEBHOOK_ID

WEBHOOK = b"user.lucid.webhook."
"""What the names of records begin with; the id follows."""

WEBHOOK_JOB = b"user.lucid.webhook-job."
"""What the names of jobs begin with; the id follows."""

MAX_SEALS = 400
"""Members that one record has the secret for: an attribute has 65,536 bytes at most."""

_DOMAIN = b"lucidnode webhook v1\0"
_ID = re.compile(WEBHOOK_ID)
_DEVICE = re.compile(r"[0-9a-f]{32}")
_SECRET = re.compile(r"[0-9a-f]{64}")
_MAX_COUNT = 2**53 - 1
_MAX_SEALED = 256


class WebhookRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A receiver at *url*, who is told *paths* or no names, added by member *by* at *device*.

    *seals* has the secret for each member's box key. *signature* is that of *by* over all else.
    """

    url: str
    paths: bool
    by: bytes
    device: DeviceId
    signature: bytes
    seals: dict[bytes, bytes]

    def encoded(self) -> bytes:
        """Return the value of the attribute."""
        return _ENCODER.encode(self)

    def sealed_to(self, secret: str, boxes: Iterable[bytes]) -> WebhookRecord:
        """Return the record with *secret* for exactly those of *boxes*, as many as there may be."""
        kept = sorted(set(boxes))[:MAX_SEALS]
        seals = {
            box: self.seals.get(box) or sodium.seal_to(box, secret.encode())
            for box in kept
            if is_box_key(box)
        }
        return msgspec.structs.replace(self, seals=seals)


class WebhookJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who tells a webhook, NOBODY if that is free, and what it has been told: all up to entry *after*.

    And *told* events of the next one. *fence* grows with every change.
    """

    holder: DeviceId
    fence: int
    after: int
    told: int

    def encoded(self) -> bytes:
        """Return the value of the attribute."""
        return _ENCODER.encode(self)

    def changed(self, holder: DeviceId, after: int, told: int) -> WebhookJob:
        """Return the job after this one. What has been told is never less."""
        place = max((self.after, self.told), (after, told))
        return WebhookJob(holder, self.fence + 1, *place)


_ENCODER = msgspec.msgpack.Encoder()
_RECORD = msgspec.msgpack.Decoder(WebhookRecord)
_JOB = msgspec.msgpack.Decoder(WebhookJob)


def record_name(ident: str) -> bytes:
    """Return the attribute of the record of webhook *ident*."""
    return WEBHOOK + ident.encode()


def job_name(ident: str) -> bytes:
    """Return the attribute of the job of webhook *ident*."""
    return WEBHOOK_JOB + ident.encode()


def ident_in(name: bytes) -> str | None:
    """Return the id that the attribute *name* of a record ends with, None if it is none."""
    text = name.removeprefix(WEBHOOK).decode("ascii", "replace")
    return text if _ID.fullmatch(text) else None


def new_record(
    project: ProjectId,
    ident: str,
    url: str,
    secret: str,
    *,
    paths: bool,
    keys: MemberKeys,
    device: DeviceId,
) -> WebhookRecord:
    """Return a record that the holder of *keys* signs, with the secret for nobody yet."""
    said = _said(project, ident, url, secret, paths=paths, device=device)
    return WebhookRecord(url, paths, keys.public, device, keys.sign(said), {})


def opened_secret(
    record: WebhookRecord, project: ProjectId, ident: str, keys: MemberKeys
) -> str | None:
    """Return the secret of *record* if it has one for *keys*, and whoever added it has signed all of it."""
    sealed = record.seals.get(keys.box)
    if sealed is None:
        return None
    try:
        secret = sodium.unseal(keys.box_secret, sealed).decode("ascii")
    except (ValueError, Forged):
        return None
    said = _said(project, ident, record.url, secret, paths=record.paths, device=record.device)
    is_signed = verify(record.by, said, record.signature)
    return secret if _SECRET.fullmatch(secret) and is_signed else None


def record_in(value: bytes) -> WebhookRecord | None:
    """Return the record in *value*, None if there is none."""
    try:
        record = decoded(_RECORD, value)
    except Malformed:
        return None
    sound = (
        0 < len(record.url) <= MAX_URL
        and len(record.seals) <= MAX_SEALS
        and all(is_box_key(box) and len(of) <= _MAX_SEALED for box, of in record.seals.items())
        and _DEVICE.fullmatch(record.device)
        and record.encoded() == value
    )
    return record if sound else None


def job_in(value: bytes | None) -> WebhookJob | None:
    """Return the job in *value*, None if there is none."""
    if value is None:
        return None
    try:
        job = decoded(_JOB, value)
    except Malformed:
        return None
    sound = (
        (job.holder == NOBODY or _DEVICE.fullmatch(job.holder))
        and 0 < job.fence < _MAX_COUNT
        and 0 <= job.after < _MAX_COUNT
        and 0 <= job.told < _MAX_COUNT
        and job.encoded() == value
    )
    return job if sound else None


def _said(
    project: ProjectId, ident: str, url: str, secret: str, *, paths: bool, device: DeviceId
) -> bytes:
    digest = blake2b(secret.encode(), digest_size=32).digest()
    return _DOMAIN + _ENCODER.encode([project, ident, url, paths, device, digest])
