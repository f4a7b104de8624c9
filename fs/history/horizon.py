"""From where on the past of a project is whole: what was collected lies before that."""

from __future__ import annotations

from lucidnode.fs.errors import NoSuchPoint
from lucidnode.fs.format.project_facts import COLLECTED, collected_in
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.ids import Seq


def oldest_whole(tree: TreeReader) -> Seq:
    """Return the entry from which on no state lacks a block, as *tree* has it; 0 if all are whole."""
    return collected_in(tree.fact(COLLECTED))


def check_whole(tree: TreeReader, seq: Seq) -> None:
    """Raise NoSuchPoint if blocks of the state at entry *seq* may have been collected."""
    oldest = oldest_whole(tree)
    if seq < oldest:
        raise NoSuchPoint(
            f"version {seq} is older than this project keeps its past: the oldest that is whole is "
            f"{oldest}"
        )
