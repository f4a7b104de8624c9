"""The ways into dashboards."""

from __future__ import annotations

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.daemon_socket.transport import DaemonTransport
from lucidnode.node.client.ids import DeviceId

_DASHBOARD_WAY = msgspec.msgpack.Decoder(wire.DashboardWay)


class DaemonDashboard:
    """The dashboards of colleagues; the way into our own is one of the facts."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    async def way_in(self, device: DeviceId) -> wire.DashboardWay:
        """Return the way into the dashboard of a colleague's *device*, for this user's own browser.

        Raises NotThere, Refused or Unavailable with the reason if there is none.
        """
        wish = wire.DashboardWish(device)
        return await self._transport.ask("/v1/dashboard/way-in", wish, _DASHBOARD_WAY)
