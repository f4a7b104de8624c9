"""Whether a second device has said that a checkpoint is true."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lucidnode.fs.checkpoints.checkpoint_client import CheckpointClient
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.node.client.attestation import manifest_hash, opened_attestation
from lucidnode.node.client.checkpoint import CheckpointHeader
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, Seq

MOST_LOOKED_AT = 8
"""Attestations of one checkpoint that are read: whoever puts more there gains nothing."""


class Words(NamedTuple):
    """Who has attested a manifest, and who another one at the same entry; None if nobody has."""

    true: DeviceId | None
    other: DeviceId | None


async def words_on(
    checkpoints: CheckpointClient,
    codec: EntryCodec,
    seq: Seq,
    manifest: bytes,
    listed: Iterable[tuple[Seq, DeviceId]],
) -> Words:
    """Return what devices that may write, but for the maker, say of *manifest*. Raises a NodeError.

    *listed* are the attestations that there are, of any checkpoints.
    """
    project = codec.keys().project
    try:
        maker = CheckpointHeader.parse(manifest).device
    except Malformed:
        return Words(None, None)
    writers = [
        device
        for at, device in listed
        if at == seq and device != maker and codec.may_write_now(device) is not None
    ]
    true = other = None
    for device in writers[:MOST_LOOKED_AT]:
        body = await checkpoints.attestation(project, seq, device)
        try:
            said = opened_attestation(body or b"", project, seq, device, codec.may_write_now)
        except Malformed:
            continue
        if said.manifest == manifest_hash(manifest):
            true = device
        else:
            other = device
    return Words(true, other)
