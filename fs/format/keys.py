"""The keys of one project, by epoch. Format 1 (docs/format.md, "Keys").

A member holds one random 32-byte key for each epoch of a project; every key in use is derived
from it and the project id with BLAKE3's derive_key, one context for each purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from blake3 import blake3

from lucidnode.fs.errors import KeyMissing
from lucidnode.fs.format.sodium import KEY_SIZE
from lucidnode.node.client.ids import ProjectId

CONTEXT_CONTENT = "lucidnode 2026 format 1 content"
CONTEXT_NONCE = "lucidnode 2026 format 1 nonce"
CONTEXT_JOURNAL = "lucidnode 2026 format 1 journal"
CONTEXT_REPLICA = "lucidnode 2026 format 1 replica at rest"

MAX_EPOCH = 2**32 - 1

ANNOUNCED_EPOCHS = frozenset({1})
"""The epochs of every project in a roster of format 1. Only an owner's roster entry can add one."""


@dataclass(frozen=True, slots=True, repr=False)
class EpochKeys:
    """What one epoch's key turns into."""

    content: bytes
    """Keys of single blocks are derived from it."""
    nonce: bytes
    """Keys the hash that names a block's content."""
    journal: bytes
    """Seals journal entries."""


@dataclass(frozen=True, slots=True)
class ProjectKeys:
    """Everything needed to read and write one project. Its repr shows no key."""

    project: ProjectId
    epochs: Mapping[int, EpochKeys] = field(repr=False)
    replica: bytes = field(repr=False)
    """Encrypts the local replica at rest. From the oldest epoch, so that it never changes."""

    @classmethod
    def of(cls, project: ProjectId, keys: Mapping[int, bytes]) -> ProjectKeys:
        """Return the keys of *project* from one 32-byte key for each epoch, at least one.

        Raises ValueError.
        """
        if not keys or any(len(key) != KEY_SIZE for key in keys.values()):
            raise ValueError("a project needs a 32-byte key for each epoch")
        if not all(1 <= epoch <= MAX_EPOCH for epoch in keys):
            raise ValueError("epochs are 1 to 2**32 - 1")
        return cls(
            project,
            MappingProxyType({epoch: _epoch_keys(project, keys[epoch]) for epoch in sorted(keys)}),
            _derived(CONTEXT_REPLICA, project, keys[min(keys)]),
        )

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


def _epoch_keys(project: ProjectId, key: bytes) -> EpochKeys:
    return EpochKeys(
        content=_derived(CONTEXT_CONTENT, project, key),
        nonce=_derived(CONTEXT_NONCE, project, key),
        journal=_derived(CONTEXT_JOURNAL, project, key),
    )


def _derived(context: str, project: ProjectId, key: bytes) -> bytes:
    """Both parts of the key material have a fixed size, so their joint has one reading."""
    return blake3(key + bytes.fromhex(project), derive_key_context=context).digest()
