"""What projects are called, so that no two of them bear one name: by the log of members alone. Pure.

Names are sealed, so no rule of the log can forbid that two are alike. The first that took a name keeps
it; a later one is shown with a number behind it, until somebody gives it a name of its own. A project
that is deleted gives its name up, and one that is brought back takes it as a new one would.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lucidnode.node.client.ids import ProjectId, Seq


class ProjectNaming(NamedTuple):
    """From entry *seq* of the log on, *project* wants to be called *name*; None gives its name up."""

    seq: Seq
    project: ProjectId
    name: str | None


def told_apart(namings: Iterable[ProjectNaming]) -> dict[ProjectId, str]:
    """Return the name under which each project is shown; one that gave it up, the last it had."""
    holders: dict[str, ProjectId] = {}
    held: dict[ProjectId, str] = {}
    numbers: dict[str, int] = {}
    for naming in sorted(namings, key=lambda each: each.seq):
        if holders.get(held.get(naming.project, "")) == naming.project:
            del holders[held[naming.project]]
        if (name := naming.name) is None:
            continue
        unique = name
        while unique in holders:
            numbers[name] = numbers.get(name, 1) + 1
            unique = f"{name} ({numbers[name]})"
        holders[unique] = naming.project
        held[naming.project] = unique
    return held
