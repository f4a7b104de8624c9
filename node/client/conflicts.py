"""What the daemon and a mount say to each other to settle a conflict for the dashboard."""

from __future__ import annotations

from typing import Literal

import msgspec

ConflictOrder = Literal["mine", "theirs", "dismiss"]
"""Which version stays: that of this workstation, the other one, or both, each under its own name."""


class ConflictQuery(msgspec.Struct, frozen=True, tag="conflict"):
    """Have the mount settle the conflict copy at *path*, as it named it itself (StatusReply)."""

    number: int
    path: str
    order: ConflictOrder


class ConflictReply(msgspec.Struct, frozen=True, tag="conflict", omit_defaults=True):
    """It is settled, durably on this workstation; or *refused* is a sentence that says why not."""

    number: int
    refused: str = ""
