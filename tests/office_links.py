"""The links of an office, as its mounts see them: words arrive later, twice, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.leases.recalls import Recalls
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import DeviceId


class OfficeLinks:
    """Who is linked hears what is said to him in the next step of the loop, unless *fate* says otherwise."""

    def __init__(self) -> None:
        self.mounts: dict[DeviceId, Recalls] = {}
        self.cut = False
        self.said: list[tuple[DeviceId, DeviceId, bytes]] = []
        """Every word: from whom, to whom, and its bytes."""
        self.viewers: set[DeviceId] = set()
        self.fate: Callable[[], int] = lambda: 1
        """How often a word arrives."""

    def mount(
        self,
        keys: ProjectKeys,
        device: DeviceId,
        random_bytes: Callable[[int], bytes],
        clock: Clock,
    ) -> Recalls:
        """Return what a mount on *device* says and hears; the one before it there hears nothing more."""
        recalls = Recalls(
            keys=lambda: keys,
            writer_key=lambda device, _epoch: None if device in self.viewers else b"key",
            device=device,
            send=partial(self._send, device),
            random_bytes=random_bytes,
            clock=clock,
        )
        self.mounts[device] = recalls
        return recalls

    def repeat(self, number: int) -> None:
        """Bring the word of that number once more."""
        self._bring(*self.said[number])

    def _send(self, sender: DeviceId, receiver: DeviceId, word: bytes) -> None:
        if self.cut or receiver not in self.mounts:
            asyncio.get_running_loop().call_soon(self.mounts[sender].not_linked, receiver)
            return
        self.said.append((sender, receiver, word))
        for _ in range(self.fate()):
            self._bring(sender, receiver, word)

    def _bring(self, sender: DeviceId, receiver: DeviceId, word: bytes) -> None:
        asyncio.get_running_loop().call_soon(self.mounts[receiver].heard, sender, word)
