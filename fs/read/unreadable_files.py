"""What of a project's files cannot be read, as people are told of it: file and block by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.bad_blocks import Amiss, topic
from lucidnode.node.client.ids import BlockId

_NAMED = 3
"""Files of one block that an alert names; how many more there are it says in a number."""


@dataclass(slots=True)
class _Told:
    amiss: Amiss
    files: dict[InodeNo, None] = field(default_factory=dict)
    """In the order in which they were met."""
    is_complete: bool = False


class UnreadableFiles:
    """The alerts of one mount about blocks that cannot be had: one for each, until it is `over`."""

    def __init__(self, tree: TreeReader, alerts: Alerts) -> None:
        self._tree = tree
        self._alerts = alerts
        self._told: dict[BlockId, _Told] = {}

    def tell(self, block: BlockId, amiss: Amiss, ino: InodeNo) -> None:
        """Tell that file *ino* cannot be read where it lies in *block*."""
        told = self._told.setdefault(block, _Told(amiss))
        # Of thousands that a program reads in turn each would be told; `complete` counts them.
        is_new = told.amiss != amiss or (ino not in told.files and len(told.files) < _NAMED)
        told.amiss = amiss
        told.files[ino] = None
        self._begin(block, is_new=is_new)

    def is_complete(self, block: BlockId) -> bool:
        """Tell whether all files in *block* are told of, or none has to be."""
        told = self._told.get(block)
        return told is None or told.is_complete

    def complete(self, block: BlockId, files: Iterable[InodeNo]) -> None:
        """Tell that all *files* lie in *block*, read here or not."""
        told = self._told.get(block)
        if told is not None:
            told.files.update(dict.fromkeys(files))
            told.is_complete = True
            self._begin(block, is_new=True)

    def tell_again(self, block: BlockId) -> None:
        """Tell it once more, if there were too many to be shown when it was told."""
        if block in self._told:
            self._begin(block, is_new=False)

    def over(self, block: BlockId) -> None:
        """Note that *block* can be had, or that nobody needs it."""
        self._told.pop(block, None)
        self._alerts.end(topic(block))

    def _begin(self, block: BlockId, *, is_new: bool) -> None:
        if not is_new and self._alerts.is_on(topic(block)):
            return
        told = self._told[block]
        where = "damaged in" if told.amiss == "damaged" else "missing in"
        paths = [self._tree.shown_path(ino) for ino in list(told.files)[:_NAMED]]
        more = len(told.files) - len(paths)
        which = f"The file {paths[0]}" if len(told.files) == 1 else f"The files {', '.join(paths)}"
        self._alerts.begin(
            topic(block),
            f"{which}{f' and {more} more' if more else ''} cannot be read in part: block "
            f"{block.hex()[:16]} is {where} the bucket and on every workstation that answers.",
            "Put good copies in their place, or switch on a workstation that read them.",
        )
