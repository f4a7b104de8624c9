"""A peer that takes blocks and keeps nothing: what `scripts/bench peers` has another serve at 1 Gbit/s.

    python -P -m lab.taking_peer HOME THEIR_HOME ADDRESS CONTROL_PORT PROJECT RATE

It reads names and sizes of blocks up to an empty line, says that it is ready, takes them at the next
line, and says how many seconds that took. In the place of the workstation of HOME, whose daemon does not run. A machine of its own would hash
and write what it gets; here all of that would be taken from the cores that serve. So the bytes end in
the kernel, uncopied, and what a server has to do stays: each request is authorised as ever.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from lab.errors import LabError
from lucidnode import node_key
from lucidnode.discovery.candidate import Candidate
from lucidnode.membership import unlock
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq, parse_project_id
from lucidnode.node.config import DEVICE_FILE, lan_key_of, load_config
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.peers import frames
from lucidnode.node.peers.body_connection import BodyConnection
from lucidnode.node.peers.errors import PeerLost
from lucidnode.node.peers.link import PeerLink
from lucidnode.node.peers.link_dialer import LinkDialer
from lucidnode.node.peers.messages import PROTOCOL, HandshakeRequest, HandshakeResponse, Message
from lucidnode.node.peers.sessions import ClientSession
from lucidnode.node.peers.tls import Tls

_PATIENCE_S = 10.0
_AT_ONCE = 4


class _Both:
    """The two that talk, as a roster would have them."""

    def __init__(self, *identities: DeviceIdentity) -> None:
        self._devices = {each.id: each.certificate for each in identities}

    def devices(self) -> Mapping[DeviceId, bytes]:
        """Return their certificates."""
        return self._devices

    def projects(self) -> Collection[ProjectId]:
        """Return none: nobody is answered."""
        return ()

    def log_head(self) -> tuple[Seq, bytes]:
        """Return that nothing was read."""
        return Seq(0), bytes(32)


class _Session:
    """Told of the link; `access` is what the other grants over it."""

    def __init__(self) -> None:
        self.access: asyncio.Future[ClientSession] = asyncio.get_running_loop().create_future()

    def reached(self, link: PeerLink, welcome: HandshakeResponse) -> bool:
        """Take the link."""
        self.access.set_result(ClientSession(link.host, welcome))
        return True

    def heard(self, link: PeerLink, message: Message) -> None:
        """Care for nothing that is said."""

    def lost(self, link: PeerLink) -> None:
        """Note nothing: who asks for a block will hear of it."""


class _Dropping(BodyConnection):
    """Has the kernel drop the bytes of a body."""

    async def rest(self, size: int, _: Callable[[memoryview], None]) -> bytearray:
        """Let *size* bytes go by; nobody is told, and none is returned."""
        loop = asyncio.get_running_loop()
        left = size
        while left:
            await self._into_chunk()
            if self._ahead:
                came = min(len(self._ahead), self._chunk)
                del self._ahead[:came]
            else:
                came = await self._dropped(loop, self._chunk)
                if not came:
                    raise PeerLost("the body broke off")
            self._chunk -= came
            left -= came
        await self._end()
        return bytearray()

    async def _dropped(self, loop: asyncio.AbstractEventLoop, most: int) -> int:
        while True:
            try:
                # Linux drops what is asked for so, instead of copying it.
                return len(self._socket.recv(most, socket.MSG_TRUNC))
            except BlockingIOError:
                ready = loop.create_future()
                loop.add_reader(self._socket, ready.set_result, None)
                try:
                    await ready
                finally:
                    loop.remove_reader(self._socket)


async def _taken(
    home: Path,
    theirs: Path,
    place: Candidate,
    project: ProjectId,
    rate: float,
    blocks: Sequence[tuple[str, int]],
) -> float:
    """Take *blocks* at *rate* bytes a second; return the seconds that it took."""
    me, other = map(_identity, (home, theirs))
    members, outgoing = _Both(me, other), _Session()
    dialer = LinkDialer(
        lan_key=lan_key_of(home, load_config(home)),
        tls=Tls(me, members),
        members=members,
        outgoing=outgoing,
        hello=lambda: HandshakeRequest(PROTOCOL, secrets.token_bytes(16), 1, 1),
    )
    async with dialer, asyncio.TaskGroup() as linked:
        link = linked.create_task(dialer.dial(place))
        async with asyncio.timeout(_PATIENCE_S):
            access = await outgoing.access
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        seconds = await _asked(access, project, rate, blocks)
        link.cancel()
    return seconds


def _identity(home: Path) -> DeviceIdentity:
    """Return the identity of a workstation of a lab."""
    words = (home.parent / "passphrase").read_text().strip()
    node_key.hold_kept(home, unlock(home, words).keys)
    return DeviceIdentity.load(home / DEVICE_FILE)


async def _asked(
    access: ClientSession, project: ProjectId, rate: float, blocks: Sequence[tuple[str, int]]
) -> float:
    began, asked = time.monotonic(), 0
    waiting = iter(blocks)

    async def ask() -> None:
        nonlocal asked
        connection = await _Dropping.open(access.host, access.port)
        for block, size in waiting:
            asked += size
            await asyncio.sleep(began + asked / rate - time.monotonic())
            await _one(connection, access, project, block)
        connection.close()

    async with asyncio.TaskGroup() as asking:
        for _ in range(_AT_ONCE):
            asking.create_task(ask())
    return time.monotonic() - began


async def _one(
    connection: BodyConnection, access: ClientSession, project: ProjectId, block: str
) -> None:
    path = f"/b/{access.session_pseudonym(project)}/{block}?fetch=0"
    status = await connection.ask("GET", path, access.authorisation("GET", path))
    frame = frames.PROGRESS
    while status == 200 and frame == frames.PROGRESS:
        frame = await connection.exactly(1)
    if frame != frames.FOUND:
        raise LabError(f"block {block} is not served: status {status}")
    await connection.rest(int.from_bytes(await connection.exactly(4)), lambda _: None)


def main(home: str, theirs: str, address: str, port: str, project: str, rate: str) -> None:
    """Run as a process of its own."""
    blocks = [(name, int(size)) for name, size in map(str.split, iter(sys.stdin.readline, "\n"))]
    place = Candidate((address,), int(port))
    taken = _taken(Path(home), Path(theirs), place, parse_project_id(project), float(rate), blocks)
    print(asyncio.run(taken))


if __name__ == "__main__":
    main(*sys.argv[1:])
