"""One round of a collection from its beginning to its end, in a process of its own or for a command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from lucidnode.fs.collection.budget import READS_FOR_ONE, Budget
from lucidnode.fs.collection.collection import Collection, Round
from lucidnode.fs.collection.past_ledger import PastLedger
from lucidnode.fs.collection.round_spec import Collected, CollectSpec
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.errors import CannotCollect, GivenWay
from lucidnode.fs.history.past import Past
from lucidnode.fs.history.past_reader import read_on
from lucidnode.fs.project_home import project_directory
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.fs.snapshots.snapshot_row import snapshots_of
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import AccessDenied
from lucidnode.node.client.ids import BlockId, Seq


async def one_round(
    past: Past,
    client: DaemonClient,
    access: ProjectAccess,
    clock: Clock,
    show: Callable[[str], None],
    *,
    dry: bool,
    after: BlockId | None = None,
    budget: Budget | None = None,
    nobody_asked: bool = False,
) -> Round:
    """Do one round with a *past* that is open: see `Collection`, and what its `run` raises."""

    def kept_points(tree: TreeReader) -> Sequence[Seq]:
        head = past.head().seq
        return sorted({min(each.row.seq, head) for each in snapshots_of(tree)})

    ledger = PastLedger(
        past, client.journal, client.checkpoints, access, kept_points, clock, lambda _seq: None
    )
    return await Collection(
        access.keys().project,
        ledger,
        client.collection,
        clock,
        show,
        dry=dry,
        after=after,
        budget=budget,
        nobody_asked=nobody_asked,
    ).run()


async def collect(spec: CollectSpec, clock: Clock, show: Callable[[str], None]) -> Collected:
    """Do the round that is this workstation's turn. Raises an FsError or a NodeError: it goes on later.

    GivenWay where a command wants to read the past.
    """
    budget = Budget(spec.requests)
    async with DaemonClient(Path(spec.home) / SOCKET_FILE) as client:
        access = await ProjectAccess.open(client.roster, spec.membership, spec.project)
        directory = project_directory(Path(spec.home), spec.project)
        opened = Past.open(directory, access.keys().replica, access.workstation)
        with contextlib.closing(opened) as past, past.lent():

            def gone_on(words: str) -> None:
                if past.is_wanted():
                    raise GivenWay("a command reads the history of this project")
                show(words)

            def read(seq: Seq) -> None:
                budget.spend(1 / READS_FOR_ONE)
                if not budget.has_entry():
                    raise GivenWay(f"it has read the journal up to entry {seq}, as much as it may")
                gone_on(f"reading the journal, entry {seq:,}")

            try:
                await read_on(past, client.journal, access, clock, read)
                told = await one_round(
                    past,
                    client,
                    access,
                    clock,
                    gone_on,
                    dry=False,
                    after=BlockId(spec.after) if spec.after else None,
                    budget=budget,
                    nobody_asked=True,
                )
            except (CannotCollect, AccessDenied) as error:
                return Collected(after=spec.after, why=str(error))
    refused = told.why if told.refused.blocks and not told.deleted.blocks else ""
    return Collected(
        told.deleted.blocks,
        told.deleted.bytes,
        bytes(told.after or b""),
        refused,
        told.entries,
        told.next_ns,
    )
