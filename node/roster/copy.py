"""The copy of the roster that a node keeps on its disk, and what becomes of it when it is damaged."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.roster import ForeignRoster
from lucidnode.node.client.roster_rules import RosterReader

log = logging.getLogger(__name__)

_LOG = msgspec.msgpack.Decoder(wire.RosterLog)


class DamagedCopy(Exception):
    """The copy cannot be used; the message says why, and where it is now."""


class RosterCopy:
    """One file. Everything is blocking."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, genesis: bytes) -> RosterReader:
        """Return the log as it was kept, an empty one if none was.

        Raises DamagedCopy. The file is then out of the way, beside its place: it may still hold
        what a bucket has lost, and the log is read again from there.
        """
        reader = RosterReader(genesis)
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return reader
        except OSError as error:
            raise DamagedCopy(f"{self._path} cannot be read: {error.strerror}") from error
        try:
            for item in decoded(_LOG, raw).entries:
                reader.read(item)
        except (Malformed, ForeignRoster) as error:
            raise DamagedCopy(f"{self._path} is damaged, {self._set_aside()}") from error
        return reader

    def write(self, reader: RosterReader) -> None:
        """Keep the log of *reader*, durably. Raises DiskFull, OSError."""
        write_durably(self._path, msgspec.msgpack.encode(wire.RosterLog(list(reader.log))))

    def keep_aside(self, reader: RosterReader) -> Path:
        """Keep the log of *reader* beside the copy as well, under a name of its own, durably.

        Raises DiskFull, OSError.
        """
        aside = self._path.with_name(f"{self._path.name}.{reader.hashes[-1][:8].hex()}")
        write_durably(aside, msgspec.msgpack.encode(wire.RosterLog(list(reader.log))))
        return aside

    def _set_aside(self) -> str:
        aside = self._path.with_name(f"{self._path.name}.damaged")
        try:
            self._path.replace(aside)
        except OSError as error:
            return f"and cannot be moved: {error.strerror}"
        return f"and lies at {aside} now"
