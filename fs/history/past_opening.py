"""Opens the past of a project for whoever wants it, once others who have it are done with it."""

from __future__ import annotations

from pathlib import Path

from lucidnode.fs.commit.repair.access import RepairAccess
from lucidnode.fs.errors import ReplicaBusy
from lucidnode.fs.history.past import Past
from lucidnode.node.client.clock import Clock

_ROOM_S = 60.0
"""Seconds that a collection has to make room: it may be in the midst of 500 deletes."""

_OTHERS_S = 10.0
"""Seconds in which another command may be done: it has asked for little, or a snapshot was looked into."""

_AGAIN_S = 0.25


async def past_opened(directory: Path, access: RepairAccess, clock: Clock, place: str = "") -> Past:
    """Open the past in the project's *directory*; a collection makes room. Raises as `Past.open`."""
    began = clock.boot()
    while True:
        try:
            return Past.open(directory, access.keys().replica, access.workstation, place)
        except ReplicaBusy:
            makes_room = not place and Past.ask_for(directory)
            patience_s = _ROOM_S if makes_room else _OTHERS_S
            if clock.boot() > began + patience_s:
                raise
        await clock.sleep(_AGAIN_S)
