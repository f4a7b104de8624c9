"""Who counts the blocks on their way: called at the place where the bytes move."""

from __future__ import annotations

from typing import Protocol

from lucidnode.node.client.wire import Source


class Traffic(Protocol):
    """An observer of block traffic. Sizes are bytes of ciphertext; it must not block or raise."""

    def fetched(self, source: Source, seconds: float) -> None:
        """Count a block that is here now, where it came from and how long it took."""

    def received(self, size: int) -> None:
        """Count block bytes taken from a peer, useful or not."""

    def served(self, size: int) -> None:
        """Count block bytes given to a peer."""

    def wasted(self, reason: str, size: int) -> None:
        """Count bytes that were moved for nothing, whoever sent them."""

    def peer_failed(self, reason: str) -> None:
        """Count a request that a peer did not answer as it should."""
