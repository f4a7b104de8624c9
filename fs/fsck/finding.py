"""What a check has found to be amiss."""

from __future__ import annotations

from typing import Literal

import msgspec

Amiss = Literal["missing", "damaged", "exchanged", "unchained", "foreign", "differs"]
"""missing: it was there, and is needed. damaged: other bytes than its name or its signature says.
exchanged: sound, but not what this workstation has seen there. unchained: what follows was made on
something else. foreign: nothing of ours has such a name; it harms nothing. differs: what this
workstation keeps is not what the journal says."""


class ObjectFinding(msgspec.Struct, frozen=True):
    """One object of the bucket, by *folder* and *name*, that is not as it should be, and why.

    The *folder* of what lies in none of ours is `project`, and *name* its path there.
    """

    folder: str
    name: str
    amiss: Amiss
    why: str

    @property
    def is_harm(self) -> bool:
        """Whether something is lost, or may be."""
        return self.amiss != "foreign"
