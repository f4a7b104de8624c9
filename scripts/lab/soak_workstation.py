"""What a workstation of a soak has whichever of its processes run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random  # noqa: TID251  # seeded by the caller

from lab.hostile_bucket import HostileBucket
from lucidnode.fs.format import sodium
from lucidnode.fs.membership.member_file import Membership
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.roster_entry import device_id
from lucidnode.node.journal.service import Announce


@dataclass(frozen=True, slots=True, kw_only=True)
class Workstation:
    """A member's, with his keys, a directory, a clock and a way to the bucket of its own."""

    name: str
    directory: Path
    """What is on its disk."""
    device_seed: bytes
    """The Ed25519 seed of its device key."""
    membership: Membership
    project: ProjectId
    bucket: HostileBucket
    clock: Clock
    random: Random
    announce: Announce
    """Tells the other nodes of an entry, over a network that loses some."""

    @property
    def device(self) -> DeviceId:
        """Its device id."""
        return device_id(sodium.signing_public(self.device_seed))

    @property
    def staging(self) -> Path:
        """Where blocks lie that the bucket may not have yet."""
        return self.directory / "staging"
