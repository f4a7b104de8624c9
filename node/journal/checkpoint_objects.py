"""The manifests of checkpoints between this node's mounts and the bucket.

What they say is sealed: a daemon signs what its mount hands over, and creates it if it is absent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import AlreadyThere
from lucidnode.node.bucket.keys import attestation_key, checkpoint_key, checkpoint_prefix
from lucidnode.node.client.attestation import Attestation, attestation_message, attestation_of
from lucidnode.node.client.backoff import Jitter
from lucidnode.node.client.checkpoint import CheckpointHeader, checkpoint_message
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import AccessDenied, Refused
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq, block_ids
from lucidnode.node.client.journal import HASH_SIZE
from lucidnode.node.client.wire import CommitReply, CommitRequest
from lucidnode.node.journal import register

MAKE_S = 60.0
"""How long one manifest is tried before its outcome counts as unknown."""

_SEQ_DIGITS = 16
_PAGE = 1000


class CheckpointUploads(Protocol):
    """What is asked of who uploads blocks (Uploads)."""

    async def wait_for(self, project: ProjectId, blocks: Sequence[BlockId]) -> None: ...
    def committed(self, project: ProjectId, blocks: Sequence[BlockId]) -> None: ...


class CheckpointObjects:
    """Lists, reads and makes checkpoints."""

    def __init__(
        self,
        bucket: Bucket,
        uploads: CheckpointUploads,
        device: DeviceId,
        sign: Callable[[bytes], bytes],
        clock: Clock,
        jitter: Jitter,
    ) -> None:
        self._bucket = bucket
        self._uploads = uploads
        self._device = device
        self._sign = sign
        self._clock = clock
        self._jitter = jitter

    async def seqs(self, project: ProjectId) -> list[Seq]:
        """Return the entries of which there is a manifest, lowest first. Raises Unavailable."""
        return [
            Seq(int(name))
            for name in await self._names(project)
            if len(name) == _SEQ_DIGITS and name.isdecimal() and name.isascii() and int(name)
        ]

    async def delete(self, project: ProjectId, seqs: Sequence[Seq]) -> list[Seq]:
        """Delete the manifests of *seqs*; return those that the store did not refuse to delete.

        Raises Unavailable; to do it again is harmless.
        """
        devices: dict[Seq, list[DeviceId]] = {}
        for seq, device in await self.attestations(project):
            devices.setdefault(seq, []).append(device)
        deleted: list[Seq] = []
        for seq in seqs:
            try:
                # The manifest last: what is left behind when this breaks off is found again by it.
                for device in devices.get(seq, ()):
                    await self._bucket.delete(attestation_key(project, seq, device))
                await self._bucket.delete(checkpoint_key(project, seq))
            except (AccessDenied, Refused):
                break
            deleted.append(seq)
        return deleted

    async def attestations(self, project: ProjectId) -> list[tuple[Seq, DeviceId]]:
        """Return which attestations there are, of which checkpoint by whom. Raises Unavailable."""
        found = map(attestation_of, await self._names(project))
        return [each for each in found if each is not None]

    async def attestation(self, project: ProjectId, seq: Seq, device: DeviceId) -> bytes:
        """Return an attestation, whatever it says. Raises NotThere, Unavailable, Corrupt."""
        return await self._bucket.get(attestation_key(project, seq, device))

    async def attest(self, project: ProjectId, seq: Seq, manifest: bytes) -> None:
        """Sign and create this device's word for the manifest of this hash; the first one stays.

        Raises Refused for what is no hash, and Unavailable.
        """
        if len(manifest) != HASH_SIZE:
            raise Refused("no manifest has such a hash")
        unsigned = Attestation(seq, project, self._device, manifest).encode()
        body = unsigned + self._sign(attestation_message(unsigned))
        with contextlib.suppress(AlreadyThere):
            await self._bucket.create(attestation_key(project, seq, self._device), body)

    async def _names(self, project: ProjectId) -> list[str]:
        prefix = checkpoint_prefix(project)
        found: list[str] = []
        after: str | None = None
        while True:
            page = await self._bucket.list(prefix, after, _PAGE)
            found += [listed.key.removeprefix(f"{prefix}/") for listed in page]
            if len(page) < _PAGE:
                return found
            after = page[-1].key

    async def manifest(self, project: ProjectId, seq: Seq) -> bytes:
        """Return the manifest of entry *seq*, whatever it says. Raises NotThere, Unavailable, Corrupt."""
        return await self._bucket.get(checkpoint_key(project, seq))

    async def make(self, project: ProjectId, seq: Seq, request: CommitRequest) -> CommitReply:
        """Upload what *request* needs, then create its manifest as that of *seq*.

        Waits as long as the uploads take. Raises Refused for one that belongs elsewhere, and
        NotThere or Corrupt if a block is lost.
        """
        header = CheckpointHeader.parse(request.unsigned)
        if (header.seq, header.project, header.device) != (seq, project, self._device):
            raise Refused(f"the checkpoint is not number {seq} of this project and device")
        needs = block_ids(request.needs)
        await self._uploads.wait_for(project, needs)
        body = request.unsigned + self._sign(checkpoint_message(request.unsigned))
        outcome = await register.commit(
            self._bucket,
            checkpoint_key(project, seq),
            body,
            self._clock,
            self._clock.boot() + MAKE_S,
            self._jitter,
        )
        self._uploads.committed(project, needs)
        match outcome:
            case register.Committed():
                return CommitReply("committed", body)
            case register.Lost(held=held):
                return CommitReply("lost", held.body or b"")
            case register.Unknown(cause=cause):
                return CommitReply("unknown", b"", str(cause))
