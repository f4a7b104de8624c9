"""Looks for what lies below a project in the bucket, and in none of its folders."""

from __future__ import annotations

from collections.abc import Callable

from lucidnode.fs.fsck.finding import ObjectFinding
from lucidnode.fs.fsck.project_objects import ProjectObjects


async def check_elsewhere(objects: ProjectObjects, found: Callable[[ObjectFinding], None]) -> None:
    """Tell *found* of each such object. Raises a NodeError."""
    async for name in objects.elsewhere():
        found(ObjectFinding("project", name, "foreign", "nothing of ours has such a name"))
