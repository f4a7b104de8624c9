"""Two workstations of one studio, no peers of each other, each with a store that can turn hostile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli_fixture import Workstation, workstation
from hostile_store import HostileStore
from seaweed_fixture import Seaweed


@dataclass(frozen=True)
class Seat:
    """A workstation with the project mounted, and its way to the store."""

    station: Workstation
    drive: Path
    store: HostileStore

    def alerts(self) -> list[str]:
        """Return what `status` says is amiss."""
        return [f"{each['cause']} {each['remedy']}" for each in self.status()["alerts"]]

    def status(self) -> Any:
        return self.station.status()

    def state(self, name: str) -> str:
        """Return how far a file is."""
        return os.getxattr(self.drive / name, "user.lucid.state").decode()

    def device(self, name: str) -> str:
        """Return the workstation that has the newest content of a file on its way."""
        return os.getxattr(self.drive / name, "user.lucid.device").decode()


@contextmanager
def two_seats(root: Path, seaweed: Seaweed, prefix: str) -> Iterator[tuple[Seat, Seat]]:
    """Mount the project `demo`, with blocks of 256 KiB, of a studio at *prefix* on both."""
    keys = {
        "AWS_ACCESS_KEY_ID": seaweed.owner.access_key,
        "AWS_SECRET_ACCESS_KEY": seaweed.owner.secret_key,
    }
    with (
        HostileStore(seaweed.endpoint).running() as near,
        HostileStore(seaweed.endpoint).running() as far,
        workstation(root / "a", keys) as a,
        workstation(root / "b") as b,
    ):
        a.unlocked("init", f"s3://studio/{prefix}", "--endpoint-url", near.endpoint)
        a.change_settings(mdns=False)
        a.ok("exit")
        a.unlocked("project", "create", "demo", "--block-size", "256K")
        ticket, code = a.unlocked("invite", "--unattended").out.splitlines()
        b.unlocked(
            "join", "@" + str(b.secret_file("ticket", ticket)),
            "--code-file", b.secret_file("code", code),
        )  # fmt: skip
        b.change_settings(mdns=False, endpoint_url=far.endpoint)
        b.ok("exit")
        both = (Seat(a, a.folder / "drive", near), Seat(b, b.folder / "drive", far))
        for seat in both:
            seat.station.unlocked("mount", "demo", seat.drive)
        yield both
