"""Makes the way into a colleague's dashboard, for this user's own browser."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import secrets
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NotThere, Refused, Unavailable
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.supervision import outside
from lucidnode.node.client.wire import DashboardWay
from lucidnode.node.dashboard.login import Login, Opened
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.peers.errors import PeerLost
from lucidnode.node.peers.status import PeerStatus

CONNECT_S = 5.0


class Visits:
    """Signs logins with *identity* for dashboards whose certificate their workstation has told us itself."""

    def __init__(
        self,
        identity: DeviceIdentity,
        studio: Callable[[], bytes],
        peers: Callable[[], Sequence[PeerStatus]],
        clock: Clock,
    ) -> None:
        self._identity = identity
        self._studio = studio
        self._peers = peers
        self._clock = clock

    async def way_in(self, device: DeviceId) -> DashboardWay:
        """Return the way into the dashboard of *device*.

        Raises NotThere if nobody is linked by that id, Refused if it shows its dashboard to nobody or
        somebody else answers in its place, Unavailable if nobody does.
        """
        peer = next((each for each in self._peers() if each.device == device), None)
        if peer is None or not peer.address or peer.summary is None:
            raise NotThere("that workstation is not connected now: `lucidnode peers` shows who is")
        port, pin = peer.summary.page_port, peer.summary.page_pin
        if not port or not pin:
            raise Refused(
                "that workstation shows its dashboard to nobody else: an owner can turn it on for "
                "all with `lucidnode config set dashboard.listen 8441 --global`"
            )
        await _check(peer.address, port, pin)
        unsigned = Login(self._identity.id, self._clock.wall_ns(), secrets.token_bytes(16), b"")
        opened = Opened(self._studio(), DeviceId(peer.device), pin)
        login = replace(unsigned, signature=self._identity.sign(unsigned.signed(opened)))
        url = f"https://{_bracketed(peer.address)}:{port}/?login={login.text()}"
        return DashboardWay(url, pin)


async def _check(host: str, port: int, pin: bytes) -> None:
    """Raise unless the certificate at *host* is the one that *pin* is the SHA-256 of."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # by the pin, and before anything is said
    try:
        with outside(PeerLost):
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(host, port, ssl=context)
    except PeerLost as error:
        raise Unavailable(
            f"nobody answers at {host}, port {port}: a firewall there may have to let it in"
        ) from error
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    if hashlib.sha256(shown or b"").digest() != pin:
        raise Refused(
            f"at {host}, port {port}, answers another certificate than that workstation's: "
            "somebody stands between, or another program has the port"
        )


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host.partition("%")[0]).version == 6 else host
    except ValueError:
        return host
