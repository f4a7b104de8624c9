"""What of a project's files cannot be read, as people are told of it: file and block by name."""

from __future__ import annotations

from dataclasses import dataclass

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.bad_blocks import Amiss, topic
from lucidnode.node.client.ids import BlockId


@dataclass(frozen=True, slots=True)
class _Told:
    ino: InodeNo
    amiss: Amiss


class UnreadableFiles:
    """The alerts of one mount about blocks that cannot be had: one for each, until it is `over`."""

    def __init__(self, tree: TreeReader, alerts: Alerts) -> None:
        self._tree = tree
        self._alerts = alerts
        self._told: dict[BlockId, _Told] = {}

    def tell(self, block: BlockId, amiss: Amiss, ino: InodeNo) -> None:
        """Tell that file *ino* cannot be read where it lies in *block*."""
        is_new = self._told.get(block) != _Told(ino, amiss)
        self._told[block] = _Told(ino, amiss)
        self._begin(block, is_new=is_new)

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
        self._alerts.begin(
            topic(block),
            f"The file {self._tree.shown_path(told.ino)} cannot be read in part: its block "
            f"{block.hex()[:16]} is {where} the bucket and on every workstation that answers.",
            "Put a good copy of the file in its place, or switch on a workstation that read it.",
        )
