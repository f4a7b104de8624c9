"""How far a check has come, so that one that was broken off goes on. No names of files are in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lucidnode.fs.fsck.finding import ObjectFinding
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.msgpack import decoded

FSCK_STATE_FILE = "fsck.state"


class FsckState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entries up to *entries* were judged, and blocks up to the one called *blocks* were read.

    *found* is what was amiss among these.
    """

    entries: int = 0
    blocks: str = ""
    found: Sequence[ObjectFinding] = ()


_DECODER = msgspec.msgpack.Decoder(FsckState)


def kept_state(path: Path) -> FsckState:
    """Return what was kept at *path*: where to go on, from the beginning if there is nothing sound."""
    try:
        return decoded(_DECODER, path.read_bytes())
    except (OSError, Malformed):
        return FsckState()


def keep_state(path: Path, state: FsckState) -> None:
    """Keep *state* at *path*. Raises OSError. Torn by a power cut, it is none: the check begins anew."""
    beside = path.with_name(f"{path.name}.new")
    beside.touch(0o600)
    beside.write_bytes(msgspec.msgpack.encode(state))
    os.replace(beside, path)  # noqa: PTH105  # of a moment
