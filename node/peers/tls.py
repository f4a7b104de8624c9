"""The TLS contexts of this node, kept in step with the roster."""

from __future__ import annotations

import ssl

from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.peers.members import Members


class Tls:
    """Both sides of TLS, trusting the devices that are in the roster now."""

    def __init__(self, identity: DeviceIdentity, members: Members) -> None:
        self._identity = identity
        self._members = members
        self.refresh()

    def refresh(self) -> None:
        """Read the roster again. Connections made from now on go by it."""
        trusted = list(self._members.devices().values())
        self.server: ssl.SSLContext = self._identity.server_context(trusted)
        self.client: ssl.SSLContext = self._identity.client_context(trusted)
