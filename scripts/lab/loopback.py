"""No network at all: every place is this machine's loopback. What is left when one is not root."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lab.errors import LabError

T = TypeVar("T")

LEFT_OUT = (
    "discovery by multicast (peers are named on the command line)",
    "the rate and latency of the line to the cloud",
    "pulling a cable (the workstation is frozen instead)",
)
"""What a lab on loopback cannot show, in words for a person."""


class Loopback:
    """Implements Network without any right."""

    def build(self, _nodes: list[str]) -> None:
        """Nothing to make."""

    def entering(self, _place: str) -> list[str]:
        return []

    def within(self, _place: str, call: Callable[[], T]) -> T:
        return call()

    def address(self, _place: str) -> str:
        return "127.0.0.1"

    def namespace(self, _place: str) -> str | None:
        return None

    def cut(self, _node: str) -> None:
        raise LabError("loopback has no cable to pull")

    def heal(self, _node: str) -> None:
        raise LabError("loopback has no cable to plug in")

    def holds(self, _pid: int) -> bool:
        return False

    def exists(self) -> bool:
        return False

    def destroy(self) -> None:
        """Nothing to remove."""
