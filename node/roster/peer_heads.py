"""How far peers say that they have read the log of members, compared with what is known here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.ids import DeviceId, Seq
from lucidnode.node.roster.known_log import KnownLog


@dataclass(frozen=True, slots=True)
class RosterHead:
    """The newest number of the log that a peer has, and its hash."""

    seq: Seq
    hash: bytes


class PeerHeads:
    """The last head of each device of the studio. A difference that stays is an alert."""

    def __init__(self, log: KnownLog, alerts: Alerts) -> None:
        self._log = log
        self._alerts = alerts
        self._heads: dict[DeviceId, RosterHead] = {}

    def note(self, device: DeviceId, head: RosterHead) -> None:
        """Take note of the head that *device* has."""
        self._heads[device] = head

    def all(self) -> dict[DeviceId, RosterHead]:
        """Return what was said until now."""
        return dict(self._heads)

    def judged_by(self, hashes: Sequence[bytes]) -> tuple[list[str], list[str]]:
        """Return the devices whose head is in a log with these *hashes*, and those whose is not.

        What a device says is its own word. One that is further than that log is in neither.
        """
        agreeing: list[str] = []
        disagreeing: list[str] = []
        for device, head in sorted(self._heads.items()):
            if head.seq <= len(hashes):
                is_there = hashes[head.seq - 1] == head.hash
                (agreeing if is_there else disagreeing).append(device)
        return agreeing, disagreeing

    async def compare(
        self, heads: Mapping[DeviceId, RosterHead], confirm: Callable[[], Awaitable[None]]
    ) -> None:
        """Settle *heads*, which were said before the last look at the bucket.

        *confirm* looks once more before it is an alert. Raises what *confirm* raises.
        """
        for device, head in heads.items():
            topic = f"roster-peer:{device}"
            if device not in self._log.current.devices:
                self._heads.pop(device, None)
                self._alerts.end(topic)
            elif self._agrees(head):
                self._alerts.end(topic)
            elif self._log.current.newer is None:
                if not self._alerts.is_on(topic):
                    await confirm()
                if self._agrees(head):
                    continue
                self._alerts.begin(
                    topic,
                    f"The workstation {device[:8]} says that it has read another log of members "
                    f"than this one: {head.seq} entries there, {len(self._log.reader.log)} here.",
                    "If it says the same of this workstation, the bucket shows the two different "
                    "things: invite nobody until whoever runs the bucket has found out why.",
                )

    def _agrees(self, head: RosterHead) -> bool:
        hashes = self._log.reader.hashes
        return head.seq <= len(hashes) and hashes[head.seq - 1] == head.hash
