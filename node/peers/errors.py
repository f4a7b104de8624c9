"""What goes wrong with peers, grouped by what the office does next. None of it reaches a reader.

NodeError
├── PortTaken            another program listens on the port we were told to use: tell a person
└── PeerFailed           ask the next source, and this peer no more until a probe succeeds
    ├── PeerSilent       no sign of life within its patience
    ├── PeerSlow         alive, and too slow to be worth waiting for
    ├── PeerLost         refused the connection or broke it off
    ├── PeerRefused      does not (or no longer) accept our credentials
    └── PeerLied         broke the protocol or sent another block: not asked again at all
"""

from __future__ import annotations

from typing import ClassVar

from lucidnode.node.client.errors import NodeError


class PortTaken(NodeError):
    """A port from the configuration is in use."""


class PeerFailed(NodeError):
    """A peer did not answer as it should. `reason` is its name in the metrics."""

    reason: ClassVar[str]


class PeerSilent(PeerFailed):
    """Nothing came in time."""

    reason = "silent"


class PeerSlow(PeerFailed):
    """The whole did not come in time."""

    reason = "slow"


class PeerLost(PeerFailed):
    """There is no connection any more."""

    reason = "lost"


class PeerRefused(PeerFailed):
    """The peer answered with a status of refusal."""

    reason = "refused"


class PeerLied(PeerFailed):
    """The peer sent what no honest peer sends."""

    reason = "lied"
