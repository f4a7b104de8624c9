"""Every operation on a project, as Linux defines it, over the replicated tables.

Nothing here knows of other nodes: what happens when an operation meets a state it was not made
for is the business of fs/replica/pending/rebase.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lucidnode.fs.replica import intents
from lucidnode.fs.replica.intents import Intent, OperationRecord
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.tree.attribute_operations import AttributeOperations
from lucidnode.fs.replica.tree.content_operations import ContentOperations
from lucidnode.fs.replica.tree.name_operations import NameOperations


class Operations:
    """Runs intents on the tree in *database*, inside the caller's transaction.

    An operation that raises may have changed something: the caller rolls back.
    """

    def __init__(self, database: Database) -> None:
        names = NameOperations(database)
        attributes = AttributeOperations(database)
        contents = ContentOperations(database)
        self._runners: dict[type[Intent], Callable[[Any, int], OperationRecord]] = {
            intents.Create: names.create,
            intents.Restore: names.restore,
            intents.Link: names.link,
            intents.Unlink: names.unlink,
            intents.Rmdir: names.rmdir,
            intents.Rename: names.rename,
            intents.SetAttributes: attributes.set_attributes,
            intents.SetXattr: attributes.set_xattr,
            intents.RemoveXattr: attributes.remove_xattr,
            intents.Mark: attributes.mark,
            intents.Lease: attributes.lease,
            intents.Fact: attributes.fact,
            intents.Truncate: contents.truncate,
            intents.Punch: contents.punch,
            intents.Write: contents.write,
            intents.NameBlocks: contents.name_blocks,
            intents.Rekey: contents.rekey,
            intents.Forget: contents.forget,
        }

    def run(self, intent: Intent, version: int) -> OperationRecord:
        """Do *intent*; a file whose content it changes gets *version*. Raises a FileError."""
        return self._runners[type(intent)](intent, version)
