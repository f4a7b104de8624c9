"""The keys of one project, by epoch. Format 1 (docs/format.md, "Keys").

A member holds one random 32-byte key for each epoch of a project; every key in use is derived
from it and the project id with BLAKE3's derive_key, one context for each purpose.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from blake3 import blake3

from lucidnode.fs.errors import KeyMissing
from lucidnode.fs.format.sodium import (
    AEGIS_NONCE_SIZE,
    KEY_SIZE,
    aegis256_open,
    aegis256_seal,
)
from lucidnode.node.client.ids import ProjectId

CONTEXT_CONTENT = "lucidnode 2026 format 1 content"
CONTEXT_NONCE = "lucidnode 2026 format 1 nonce"
CONTEXT_JOURNAL = "lucidnode 2026 format 1 journal"
CONTEXT_NAME = "lucidnode 2026 format 3 project name"
CONTEXT_OFFICE = "lucidnode 2026 format 1 office message"
CONTEXT_ERA = "lucidnode 2026 format 2 era"
CONTEXT_ERA_BEFORE = "lucidnode 2026 format 2 era before"
CONTEXT_REPLICA = "lucidnode 2026 format 1 replica at rest"

MAX_EPOCH = 2**32 - 1


@dataclass(frozen=True, slots=True, repr=False)
class EpochKeys:
    """What one epoch's key turns into."""

    content: bytes
    """Keys of single blocks are derived from it."""
    nonce: bytes
    """Keys the hash that names a block's content."""
    journal: bytes
    """Seals journal entries."""
    name: bytes
    """Seals what owners call the project."""
    office: bytes
    """Seals what two mounts tell each other over the links of their office."""


@dataclass(slots=True)
class ProjectKeys:
    """Everything needed to read and write one project. Its repr shows no key.

    Whoever has it sees the epochs that begin later, too: `learn`.
    """

    project: ProjectId
    epochs: Mapping[int, EpochKeys] = field(repr=False)
    replica: bytes = field(repr=False)
    """Encrypts the local replica at rest. From the oldest epoch, so that it never changes."""
    announced: Collection[int]
    """The epochs that the roster announces, whether their keys are here or not."""

    @classmethod
    def of(
        cls,
        project: ProjectId,
        keys: Mapping[int, bytes],
        announced: Collection[int] | None = None,
    ) -> ProjectKeys:
        """Return the keys of *project* from one 32-byte key for each epoch, at least one.

        Without *announced*, the roster announces those and no other. Raises ValueError.
        """
        if not keys or any(len(key) != KEY_SIZE for key in keys.values()):
            raise ValueError("a project needs a 32-byte key for each epoch")
        if not all(1 <= epoch <= MAX_EPOCH for epoch in keys):
            raise ValueError("epochs are 1 to 2**32 - 1")
        return cls(
            project,
            MappingProxyType({epoch: _epoch_keys(project, keys[epoch]) for epoch in sorted(keys)}),
            _derived(CONTEXT_REPLICA, project, keys[min(keys)]),
            frozenset(keys) if announced is None else announced,
        )

    def learn(self, later: ProjectKeys) -> None:
        """Know the epochs of *later*, the same project's, as well. Safe beside other threads."""
        if later.project != self.project:
            raise ValueError("keys of another project")
        self.announced = later.announced
        # Another map in the place of this one: a thread that seals goes through the old one.
        self.epochs = MappingProxyType({**self.epochs, **later.epochs})

    @property
    def current(self) -> int:
        """The epoch that new blocks and entries are sealed in."""
        return max(self.epochs)

    def epoch(self, number: int) -> EpochKeys:
        """Return the keys of epoch *number*, else raise KeyMissing."""
        try:
            return self.epochs[number]
        except KeyError:
            raise KeyMissing(f"no key for epoch {number} of project {self.project}") from None


def key_of_next_epoch(project: ProjectId, key: bytes, era_key: bytes, epoch: int) -> bytes:
    """Return the key of *epoch* of *project*, from that of the epoch before and the era's own key.

    So it takes both: to have read the project, and to be of the studio still.
    """
    material = era_key + key + bytes.fromhex(project) + epoch.to_bytes(4, "big")
    return blake3(material, derive_key_context=CONTEXT_ERA).digest()


def seal_era_before(era_key: bytes, epoch: int, before: bytes) -> bytes:
    """Return the era key *before* that of *epoch*, sealed under it. A key seals one other only."""
    sealing = blake3(era_key, derive_key_context=CONTEXT_ERA_BEFORE).digest()
    return aegis256_seal(sealing, bytes(AEGIS_NONCE_SIZE), before, epoch.to_bytes(4, "big"))


def open_era_before(era_key: bytes, epoch: int, sealed: bytes) -> bytes:
    """Return the era key before that of *epoch*, which `seal_era_before` sealed. Raises Forged."""
    sealing = blake3(era_key, derive_key_context=CONTEXT_ERA_BEFORE).digest()
    return aegis256_open(sealing, bytes(AEGIS_NONCE_SIZE), sealed, epoch.to_bytes(4, "big"))


def _epoch_keys(project: ProjectId, key: bytes) -> EpochKeys:
    return EpochKeys(
        content=_derived(CONTEXT_CONTENT, project, key),
        nonce=_derived(CONTEXT_NONCE, project, key),
        journal=_derived(CONTEXT_JOURNAL, project, key),
        name=_derived(CONTEXT_NAME, project, key),
        office=_derived(CONTEXT_OFFICE, project, key),
    )


def _derived(context: str, project: ProjectId, key: bytes) -> bytes:
    """Both parts of the key material have a fixed size, so their joint has one reading."""
    return blake3(key + bytes.fromhex(project), derive_key_context=context).digest()
