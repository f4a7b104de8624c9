"""Who may ask for block bodies: the secrets handed out over the control channel. Pure.

A request carries

    Authorization: Lucid <session, 32 hex> <number, decimal> <code, 64 hex>

where the code is keyed BLAKE3 under the session's secret over

    "lucid body 1" 0x00 method 0x00 path and query 0x00 number

Numbers count up and none is taken twice, so a request overheard cannot be sent again. The answer is
not covered: a block is checked against its name, and the worst a forged frame does is cost time.
Projects appear in paths under an alias of this session, so that a listener on the LAN cannot tell
one studio from another.
"""

from __future__ import annotations

import hmac
import itertools
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from blake3 import blake3

from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.peers.messages import HandshakeResponse

REPLAY_WINDOW = 4096
"""How far a number may lag behind the highest seen: requests overtake each other on several
connections, but never by more than a peer has under way."""

_HEADER = re.compile(r"Lucid ([0-9a-f]{32}) ([1-9][0-9]{0,17}) ([0-9a-f]{64})")


def session_pseudonym(secret: bytes, project: ProjectId) -> str:
    """Return the name of *project* in paths of the session with *secret*: 32 hex digits."""
    return blake3(b"project\0" + bytes.fromhex(project), key=secret).digest(length=16).hex()


class ClientSession:
    """The asking side of a session: where the peer serves bodies, and how to be let in."""

    def __init__(self, host: str, welcome: HandshakeResponse) -> None:
        self.host = host
        self.port = welcome.body_port
        self.encrypted = welcome.encrypted
        self._session = welcome.session
        self._secret = welcome.secret
        self._numbers = itertools.count(1)

    def authorisation(self, method: str, path: str) -> str:
        """Return the header that authorises one request, never to be used for another."""
        number = next(self._numbers)
        return f"Lucid {self._session.hex()} {number} {_code(self._secret, method, path, number)}"

    def session_pseudonym(self, project: ProjectId) -> str:
        """Return the name of *project* in this session's paths."""
        return session_pseudonym(self._secret, project)


@dataclass(slots=True)
class ServerSession:
    """The answering side of a session."""

    device: DeviceId
    id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _highest: int = 0
    _taken: set[int] = field(default_factory=set)
    _projects: dict[str, ProjectId] = field(default_factory=dict)

    def project(self, name: str, projects: Iterable[ProjectId]) -> ProjectId | None:
        """Return which of *projects* goes by the alias *name* in this session."""
        found = self._projects.get(name)
        if found is None:
            self._projects = {
                session_pseudonym(self.secret, project): project for project in projects
            }
            found = self._projects.get(name)
        return found

    def take(self, number: int) -> bool:
        """Use up *number*. False if it was used before, or is too old to tell."""
        if number in self._taken or number <= self._highest - REPLAY_WINDOW:
            return False
        self._taken.add(number)
        self._highest = max(self._highest, number)
        if len(self._taken) > 2 * REPLAY_WINDOW:
            self._taken = {n for n in self._taken if n > self._highest - REPLAY_WINDOW}
        return True


class SessionTable:
    """The sessions this node has granted, by session id."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, ServerSession] = {}

    def give(self, device: DeviceId) -> ServerSession:
        """Begin a session with *device*."""
        session = ServerSession(device)
        self._sessions[session.id] = session
        return session

    def revoke(self, session: ServerSession) -> None:
        """End a session: no later request is admitted."""
        self._sessions.pop(session.id, None)

    def admit(self, method: str, path: str, header: str) -> ServerSession | None:
        """Return the session under which a request comes, or None: then it gets nothing at all."""
        match = _HEADER.fullmatch(header)
        if match is None:
            return None
        session = self._sessions.get(bytes.fromhex(match[1]))
        if session is None:
            return None
        number = int(match[2])
        # The code first: a number must not be used up by one who cannot compute it.
        if not hmac.compare_digest(match[3], _code(session.secret, method, path, number)):
            return None
        return session if session.take(number) else None


def _code(secret: bytes, method: str, path: str, number: int) -> str:
    message = f"lucid body 1\0{method}\0{path}\0{number}"
    return blake3(message.encode(), key=secret).hexdigest()
