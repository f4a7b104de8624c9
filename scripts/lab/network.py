"""What the lab needs of a network, whether made of namespaces or just loopback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")

SWITCH = "switch"
CLOUD = "cloud"


class Network(Protocol):
    """Joins places: the workstations by name, `switch` and `cloud`."""

    def build(self, nodes: list[str], /) -> None:
        """Make all of it. On an error some of it may exist: call destroy."""

    def entering(self, place: str, /) -> list[str]:
        """Return the command prefix that runs what follows in *place*."""

    def within(self, place: str, call: Callable[[], T], /) -> T:
        """Return *call()*, run in *place*."""

    def address(self, place: str, /) -> str:
        """Return the IPv4 address at which others reach *place*."""

    def namespace(self, place: str, /) -> str | None:
        """Return the network namespace of *place*, by its name in /run/netns."""

    def cut(self, node: str, /) -> None:
        """Pull the cable of *node*: frames to and from it vanish, and no one gets a reset."""

    def heal(self, node: str, /) -> None:
        """Plug it in again."""

    def holds(self, pid: int, /) -> bool:
        """Return whether process *pid* lives in this network and nowhere else."""

    def exists(self) -> bool:
        """Return whether there is anything to destroy."""

    def destroy(self) -> None:
        """Remove all of it, whatever state it is in. Its processes must have ended."""
