"""What the peers package needs to know of the roster."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from lucidnode.node.client.ids import DeviceId, ProjectId, Seq


class Members(Protocol):
    """The verified roster, as it is now."""

    def devices(self) -> Mapping[DeviceId, bytes]:
        """Return the certificate (DER) of every device that may take part, our own included."""

    def projects(self) -> Collection[ProjectId]:
        """Return the projects of the studio."""

    def log_head(self) -> tuple[Seq, bytes]:
        """Return number and hash of the newest item of the log, for peers to compare."""
